"""A point in time of image files: the files themselves as long as nobody writes to them, or reflink clones of them."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rehost.blocks import Extent
from rehost.sources._errors import ChangesUnknown, FreezeLost, ReadFailed, SourceChanged, SourceError, SourceUnavailable
from rehost.sources._fingerprint import Fingerprint
from rehost.sources._image_file import open_disk
from rehost.sources._image_layered import FrozenLayered
from rehost.sources._image_layers import Stretch
from rehost.sources._protocol import ChangePosition, Consistency

#: What this module puts beside a source's files begins with this; `discover` passes over it.
OWN_PREFIX = ".rehost-"

_TOKEN_VERSION = 1
_UNSETTLED = "unsettled"  # a position that nothing ever equals

_STOP_WRITER = (
    "stop what writes to it, or keep it on a file system with reflinks (XFS, Btrfs) that rehost may write to, "
    "and run again"
)


@dataclass(frozen=True, slots=True)
class FrozenFile:
    """One disk of a freeze, as the token keeps it."""

    key: str
    path: str  # the image, absolute
    clone: str | None  # its clone, absolute
    fingerprint: str  # of the file that is read: the clone if there is one
    position: ChangePosition  # the image's fingerprint at the point in time
    prints: tuple[str, ...] = ()  # of all its files, where it is not raw
    stretch: tuple[int, int] | None = None  # (offset, size) within the file `path`, of a member of an OVA

    @property
    def read_path(self) -> Path:
        return Path(self.clone or self.path)


def position_of(fingerprint: Fingerprint, *, is_settled: bool) -> ChangePosition:
    """A position of changes; one whose fingerprint is not settled says nothing about later writes."""
    return str(fingerprint) if is_settled else _UNSETTLED


class FrozenImage:
    """One disk. `read_into` is thread-safe."""

    def __init__(self, file: FrozenFile, fd: int) -> None:
        self._file = file
        self._fd = fd
        self._fingerprint = Fingerprint.parse(file.fingerprint)

    @property
    def key(self) -> str:
        return self._file.key

    @property
    def size(self) -> int:
        return self._fingerprint.size

    @property
    def position(self) -> ChangePosition:
        return self._file.position

    def extents(self, since: ChangePosition | None) -> Iterator[Extent]:
        if since is None:
            return self._allocated()
        self._unchanged(since)
        return iter(())

    def _open(self) -> int:
        """The descriptor. A closed one is the caller's mistake: no ReadFailed, which would be retried."""
        if self._fd < 0:
            message = "the disk is closed; reopen its point in time first"
            raise ValueError(message)
        return self._fd

    def _allocated(self) -> Iterator[Extent]:
        fd = self._open()
        at = 0
        while at < self.size:
            try:
                start = os.lseek(fd, at, os.SEEK_DATA)
                at = min(self.size, os.lseek(fd, start, os.SEEK_HOLE))
            except OSError as error:
                if error.errno == errno.ENXIO:  # nothing but a hole to the end
                    return
                if error.errno not in (errno.EINVAL, errno.EOPNOTSUPP):
                    raise ReadFailed(disk=self.key, offset=at, detail=error.strerror) from error
                start, at = at, self.size  # a file system that does not know its holes
            if start < at:
                yield Extent(start, at - start)

    def _unchanged(self, since: ChangePosition) -> None:
        """Raise ChangesUnknown unless the image is certain to be as it was at `since`: a raw file keeps no record."""
        if _UNSETTLED in (since, self.position):
            raise ChangesUnknown(disk=self.key, reason="it was being written to when its point in time was taken")
        try:
            before = Fingerprint.parse(since)
        except ValueError:
            reason = "the position that was stored is not one of an image file"
            raise ChangesUnknown(disk=self.key, reason=reason) from None
        if what := before.difference(Fingerprint.parse(self.position)):
            raise ChangesUnknown(disk=self.key, reason=f"{what}, and a raw file keeps no record of where")

    def read_into(self, offset: int, buffer: memoryview) -> int:
        fd = self._open()
        wanted = max(0, min(len(buffer), self.size - offset))
        try:
            got = os.preadv(fd, [buffer[:wanted]], offset)
        except OSError as error:
            raise ReadFailed(disk=self.key, offset=offset, detail=error.strerror) from error
        if wanted and not got:
            raise SourceChanged(path=self._file.path, what="it became shorter", advice=_STOP_WRITER)
        return got

    def check(self) -> None:
        if what := self._fingerprint.difference(Fingerprint.of(self._open())):
            raise SourceChanged(path=str(self._file.read_path), what=what, advice=_STOP_WRITER)

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


class FrozenImages:
    """One server. Made by `ImagesSource.freeze` and `reopen`, through `open_frozen`."""

    def __init__(
        self, files: Sequence[FrozenFile], disks: Sequence[FrozenImage | FrozenLayered], state: str | None
    ) -> None:
        self._files = files
        self._state = state
        self.disks: Sequence[FrozenImage | FrozenLayered] = disks

    @property
    def token(self) -> str:
        return make_token(self._files, self._state)

    @property
    def consistency(self) -> Consistency:
        """As after a power cut: whether a guest had these files open cannot be seen from them."""
        return Consistency.CRASH

    def check(self) -> None:
        for disk in self.disks:
            disk.check()

    def close(self) -> None:
        for disk in self.disks:
            disk.close()

    def release(self) -> None:
        self.close()
        remove_made(self._files, self._state)


def make_token(files: Sequence[FrozenFile], state: str | None) -> str:
    return json.dumps({"version": _TOKEN_VERSION, "state": state, "disks": [asdict(file) for file in files]})


def parse_token(token: str, root: Path) -> tuple[list[FrozenFile], str | None]:
    """The disks and the state file of a token. Raises FreezeLost if it is not one of the source at `root`."""
    try:
        fields = json.loads(token)
        files = [_file_of(disk) for disk in fields["disks"]]
        state = fields["state"]
        good = fields["version"] == _TOKEN_VERSION and bool(files)
        good = good and all(Path(file.path).is_relative_to(root) for file in files)
        good = good and all(_is_own(Path(made), root) for made in _made(files, state))
    except (ValueError, KeyError, TypeError):
        good = False
    if not good:
        raise FreezeLost(detail=f"its token is not one of the source {root}")
    return files, state


def _file_of(fields: dict[str, Any]) -> FrozenFile:
    stretch = fields.get("stretch")
    lists = {
        "prints": tuple(map(str, fields.get("prints", ()))),
        "stretch": tuple(map(int, stretch)) if stretch else None,
    }
    return FrozenFile(**{**fields, **lists})


def open_frozen(files: Sequence[FrozenFile], state: str | None, root: Path) -> FrozenImages:
    """Open the files and make sure that they are still what they were.

    Raises FreezeLost; then what was made for the point in time is removed, as it is of no more use.
    """
    disks: list[FrozenImage | FrozenLayered] = []
    try:
        for file in files:
            disks.append(_open_one(file, root))
            disks[-1].check()
    except SourceError as error:
        for disk in disks:
            disk.close()
        remove_made(files, state)
        raise FreezeLost(detail=str(error)) from error
    return FrozenImages(files, disks, state)


def _open_one(file: FrozenFile, root: Path) -> FrozenImage | FrozenLayered:
    if not file.prints:
        return FrozenImage(file, open_disk(file.read_path))
    stretch = Stretch(*file.stretch) if file.stretch else None
    return FrozenLayered(file.key, Path(file.path), root, stretch, file.prints)


def remove_made(files: Sequence[FrozenFile], state: str | None) -> None:
    """Remove the clones and, after them, the state file that leads to them. Can be repeated.

    Raises SourceUnavailable.
    """
    for made in _made(files, state):
        try:
            Path(made).unlink(missing_ok=True)
        except OSError as error:
            raise SourceUnavailable(place=made, reason=f"it cannot be removed: {error.strerror}") from error


def _made(files: Sequence[FrozenFile], state: str | None) -> list[str]:
    return [file.clone for file in files if file.clone is not None] + ([] if state is None else [state])


def _is_own(path: Path, root: Path) -> bool:
    """Tokens come back from a database; nothing but what this module names so is removed on their word."""
    return path.name.startswith(OWN_PREFIX) and path.is_relative_to(root) and ".." not in path.parts
