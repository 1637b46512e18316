"""Taking a point in time of image files.

With reflinks each file is cloned at once, and it does not matter what is written to it afterwards. Several disks have
to be of one moment: none of them may change from before the first clone until after the last, else all are cloned
again. Where files cannot be cloned, they are read themselves, and `check` says whether somebody wrote meanwhile.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

from rehost.sources._errors import DiskUnreadable, FreezeLost, SourceChanged
from rehost.sources._fingerprint import Fingerprint, settled
from rehost.sources._image_file import check_suitable, detect_format, open_disk
from rehost.sources._image_frozen import (
    OWN_PREFIX,
    FrozenFile,
    FrozenImage,
    FrozenImages,
    make_token,
    open_frozen,
    parse_token,
    position_of,
)
from rehost.sources._image_layered import Image, position_of_files
from rehost.sources._image_layers import DRIVERS, Stretch
from rehost.sources._power import any_changed
from rehost.sources._protocol import ChangePosition

#: Makes the open file `target` a clone of the open file `source`, or raises OSError.
Cloner = Callable[[int, int], None]

_CLONE_ATTEMPTS = 5
_SETTLE_BEFORE_CLONE = 0.5  # seconds; a clone of one disk needs no settled file, only its position is the better for it


@dataclass(frozen=True, slots=True)
class Disk:
    """A disk to freeze: its key and the resolved path of its file."""

    key: str
    path: Path
    stretch: Stretch | None = None  # where it lies in that file, if it is not all of it


def freeze_images(disks: Sequence[Disk], *, root: Path, run: str, clone: Cloner, settle_timeout: float) -> FrozenImages:
    """A point in time of `disks`, all within `root`; the one that `run` took before, if it did."""
    names = _Names(disks, run)
    if (found := _earlier(names, root)) is not None:
        return found
    names.remove_strays()
    with ExitStack() as stack:
        fds = []
        forms = []
        for disk in disks:
            fd = open_disk(disk.path)
            stack.callback(os.close, fd)
            forms.append(form_of(disk, fd))
            if forms[-1] not in DRIVERS:
                check_suitable(disk.path, os.fstat(fd).st_size, forms[-1])
            fds.append(fd)
        if any(form in DRIVERS for form in forms):
            return _freeze_layered(disks, fds, forms, root, settle_timeout, stack)
        files = _clone_all(disks, fds, names, clone)
        if files is not None:
            _write_state(names.state, make_token(files, str(names.state)))
            return open_frozen(files, str(names.state), root)
        files = _as_they_are(disks, fds, settle_timeout)
        images = [FrozenImage(file, os.dup(fd)) for file, fd in zip(files, fds, strict=True)]
        return FrozenImages(files, images, None)


class _Names:
    """Where the clones of a run go: hidden, beside the files, told apart by run and file."""

    def __init__(self, disks: Sequence[Disk], run: str) -> None:
        run = run if re.fullmatch(r"[A-Za-z0-9._-]{1,100}", run) else hashlib.sha256(run.encode()).hexdigest()[:32]
        stems = [disk.path.with_name(f"{OWN_PREFIX}{run}-{_short(disk.path)}") for disk in disks]
        self.clones = [stem.with_name(stem.name + ".clone") for stem in stems]
        self.state = stems[0].with_name(stems[0].name + ".json")

    def remove_strays(self) -> None:
        """What a freeze left that was killed before its state file existed."""
        for clone in self.clones:
            with suppress(OSError):
                clone.unlink(missing_ok=True)


def _short(path: Path) -> str:
    return hashlib.sha256(os.fsencode(path)).hexdigest()[:8]


def _earlier(names: _Names, root: Path) -> FrozenImages | None:
    try:
        token = names.state.read_text("utf-8")
    except (OSError, ValueError):
        return None
    try:
        return open_frozen(*parse_token(token, root), root)
    except FreezeLost:
        return None


def _clone_all(disks: Sequence[Disk], fds: Sequence[int], names: _Names, clone: Cloner) -> list[FrozenFile] | None:
    """Clones of one moment, or None where files cannot be cloned."""
    for _ in range(_CLONE_ATTEMPTS):
        before = _settled(disks, fds, _SETTLE_BEFORE_CLONE)
        prints = [_clone_one(fd, path, clone) for fd, path in zip(fds, names.clones, strict=True)]
        cloned = [fingerprint for fingerprint in prints if fingerprint is not None]
        if len(cloned) < len(disks):
            names.remove_strays()
            return None
        after = tuple(Fingerprint.of(fd) for fd in fds)
        if before == after or len(disks) == 1:
            return [
                FrozenFile(
                    key=disk.key,
                    path=str(disk.path),
                    clone=str(path),
                    fingerprint=str(fingerprint),
                    position=position_of(now, is_settled=before == after),
                )
                for disk, path, fingerprint, now in zip(disks, names.clones, cloned, after, strict=True)
            ]
        names.remove_strays()
    what = f"its disks were written to while they were cloned, {_CLONE_ATTEMPTS} times over"
    advice = "its disks cannot be of one moment unless writing pauses for a second: shut the server down or suspend it"
    raise SourceChanged(path=str(disks[0].path.parent), what=what, advice=advice)


def _clone_one(fd: int, path: Path, clone: Cloner) -> Fingerprint | None:
    try:
        target = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o400)
    except OSError:  # a read-only file system, a folder that belongs to somebody else
        return None
    try:
        clone(fd, target)
        os.fsync(target)
        return Fingerprint.of(target)
    except OSError:
        path.unlink(missing_ok=True)
        return None
    finally:
        os.close(target)


def _as_they_are(disks: Sequence[Disk], fds: Sequence[int], timeout: float) -> list[FrozenFile]:
    prints = _as_fingerprints(disks, fds, fds, timeout)
    return [
        FrozenFile(
            key=disk.key,
            path=str(disk.path),
            clone=None,
            fingerprint=str(fingerprint),
            position=position_of(fingerprint, is_settled=True),
        )
        for disk, fingerprint in zip(disks, prints, strict=True)
    ]


def _as_fingerprints(
    disks: Sequence[Disk], fds: Sequence[int], all_fds: Sequence[int], timeout: float
) -> tuple[Fingerprint, ...]:
    prints = _settled(disks, all_fds, timeout)
    if prints is None:
        what = f"it has been written to for the last {timeout:g} s"
        advice = "stop what writes to it, or keep it on a file system with reflinks (XFS, Btrfs), and run again"
        raise SourceChanged(path=_busiest(disks, fds), what=what, advice=advice)
    return prints


def written_since(disk: Disk, since: ChangePosition | None, root: Path) -> bool | None:
    """Whether a file of `disk` was written to after `since`, by the inodes; None where they do not tell."""
    with ExitStack() as stack:
        fd = open_disk(disk.path)
        stack.callback(os.close, fd)
        layered = form_of(disk, fd) in DRIVERS
        fds = Image.open(disk.path, root, disk.stretch, stack).fds if layered else (fd,)
        now = [Fingerprint.of(each) for each in fds]
    try:
        texts = json.loads(since or "") if layered else [since or ""]
        before = [Fingerprint.parse(str(text)) for text in texts]
    except (ValueError, TypeError):
        return None  # not a position of this disk, or one that was taken while somebody wrote
    if len(before) != len(now):
        return True
    return any_changed(_written(old, new) for old, new in zip(before, now, strict=True))


def _written(before: Fingerprint, now: Fingerprint) -> bool | None:
    if not before.difference(now):
        return False
    same_bytes_perhaps = (before.device, before.inode, before.size, before.mtime_ns) == (
        now.device,
        now.inode,
        now.size,
        now.mtime_ns,
    )
    return None if same_bytes_perhaps else True  # a new name, owner or mode sets the change time as well


def form_of(disk: Disk, fd: int) -> str:
    """The format of a disk whose file is open as `fd`."""
    return detect_format(fd, disk.stretch.offset if disk.stretch else 0)


def _freeze_layered(
    disks: Sequence[Disk],
    fds: Sequence[int],
    forms: Sequence[str],
    root: Path,
    timeout: float,
    stack: ExitStack,
) -> FrozenImages:
    """At least one disk is not raw: all files of all disks have to be quiet, and are read as they are."""
    images = [
        Image.open(disk.path, root, disk.stretch, stack) if form in DRIVERS else None
        for disk, form in zip(disks, forms, strict=True)
    ]
    groups = [image.fds if image else (fd,) for image, fd in zip(images, fds, strict=True)]
    for disk, image, form in zip(disks, images, forms, strict=True):
        if image is not None:
            check_suitable(disk.path, image.size, form)
    prints = _as_fingerprints(disks, fds, [fd for group in groups for fd in group], timeout)
    files, at = [], 0
    for disk, group, image in zip(disks, groups, images, strict=True):
        own = [str(each) for each in prints[at : at + len(group)]]
        at += len(group)
        stretch = (disk.stretch.offset, disk.stretch.size) if disk.stretch else None
        position = position_of_files(own) if image else own[0]
        files.append(FrozenFile(disk.key, str(disk.path), None, own[0], position, tuple(own) if image else (), stretch))
    try:
        return open_frozen(files, None, root)
    except FreezeLost as lost:  # written to just now: not lost, but never taken
        raise lost.__cause__ or lost from None


def _busiest(disks: Sequence[Disk], fds: Sequence[int]) -> str:
    newest = max(zip(disks, fds, strict=True), key=lambda pair: Fingerprint.of(pair[1]).newest_ns)
    return str(newest[0].path)


def _settled(disks: Sequence[Disk], fds: Sequence[int], timeout: float) -> tuple[Fingerprint, ...] | None:
    try:
        return settled(fds, timeout=timeout)
    except OSError as error:
        reason = f"what was written to it cannot be brought to the disk: {error.strerror}"
        raise DiskUnreadable(path=str(disks[0].path.parent), reason=reason) from error


def _write_state(path: Path, token: str) -> None:
    """Write the state file so that it is there whole or not at all: it is what makes the clones a point in time."""
    partial = path.with_name(path.name + ".partial")
    with open(partial, "w", encoding="utf-8") as file:
        file.write(token)
        file.flush()
        os.fsync(file.fileno())
    partial.rename(path)
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
