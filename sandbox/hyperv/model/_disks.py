"""Virtual disks as files: a leaf that a machine writes to, frozen ones below it, and what merges them.

A name on Windows (`C:\\VMs\\web\\os.vhdx`) is a file below the folder that stands for drive C.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sandbox.hyperv.model._tracking import Tracker
from sandbox.vhdx import VhdxWriter, Writer, create, merge, open_writer, resize

_PIECE = 1 << 20  # bytes of a guest's raw disk that are compared at a time
_GRAIN = 64 << 10  # bytes that are written where one of them differs


class Drive:
    """The folder behind `C:`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def local(self, name: str) -> Path:
        return self.folder.joinpath(*name.removeprefix("C:").strip("\\").split("\\"))


@dataclass(eq=False)
class DiskFile:
    """A VHDX, AVHDX or VHD. `frozen`: the epoch of the disk's tracker that it does not see any more."""

    name: str
    path: Path
    parent: DiskFile | None = None
    frozen: int | None = None

    @property
    def suffix(self) -> str:
        return self.path.suffix.lower()


@dataclass(eq=False)
class Disk:
    """A drive of a machine. `number` is that of the host's disk that is passed through, which has no file."""

    controller: str  # IDE or SCSI
    controller_number: int
    location: int
    size: int
    sector: int = 512
    leaf: DiskFile | None = None
    passed: int | None = None
    shared: bool = False
    fixed: bool = False
    block: int = 0  # bytes of a VHDX's block; 0: as Hyper-V makes them, 32 MiB
    raw: Path | None = None  # what a guest runs on; synced into the leaf when a point in time is taken
    mirror: Path | None = None  # what the raw file held at the last sync
    id: str = field(default_factory=lambda: str(uuid.uuid4()).upper())

    def __post_init__(self) -> None:
        self.tracker = Tracker(self.size)

    def file(self) -> DiskFile:
        if self.leaf is None:
            message = "a disk that is passed through has no file"
            raise ValueError(message)
        return self.leaf

    def files(self) -> Iterator[DiskFile]:
        """The chain, leaf first."""
        found = self.leaf
        while found is not None:
            yield found
            found = found.parent

    def write(self, offset: int, data: bytes) -> None:
        with open_writer(self.file().path) as writer:
            writer.write(offset, data)
        self.tracker.wrote(offset, len(data))

    def trim(self, offset: int, length: int) -> None:
        with open_writer(self.file().path) as writer:
            writer.trim(offset, length)
        self.tracker.wrote(offset, length)

    def split(self) -> DiskFile:
        """Freeze the leaf and give the machine a child of it; the frozen one is returned."""
        below = self.file()
        base = Path(below.name.replace("\\", "/")).stem.split("_")[0]
        child = f"{base}_{str(uuid.uuid4()).upper()}{'.avhd' if below.suffix in ('.vhd', '.avhd') else '.avhdx'}"
        folder = below.name.rsplit("\\", 1)[0]
        leaf = DiskFile(f"{folder}\\{child}", below.path.with_name(child), parent=below)
        # A VHD's locators hold Windows's names of their own accord; a VHDX's say what they are told.
        names: dict[str, Any] = {} if leaf.suffix == ".avhd" else {"parent_names": {"absolute_win32_path": below.name}}
        create(leaf.path, parent=below.path, **names).close()
        below.frozen = self.tracker.freeze()
        self.leaf = leaf
        return below

    def child_of(self, below: DiskFile) -> DiskFile | None:
        return next((file for file in self.files() if file.parent is below), None)

    def absorb(self, child: DiskFile) -> DiskFile:
        """Merge a file into its parent, which takes its place in the chain; the parent is returned."""
        below = child.parent
        if below is None:
            message = f"{child.name} has no parent"
            raise ValueError(message)
        merge(child.path, below.path)
        above = self.child_of(child)
        below.frozen = child.frozen
        if above is not None:
            above.parent = below
            self._relink(above, below)
        if self.leaf is child:
            self.leaf = below
        child.path.unlink()
        return below

    def _relink(self, child: DiskFile, below: DiskFile) -> None:
        """Point a file to another parent, and those above it to what it has become."""
        if child.suffix == ".avhdx":
            with VhdxWriter(below.path) as above:
                linkage = above.data_write
            with VhdxWriter(child.path) as writer:
                names = {
                    "parent_linkage": f"{{{linkage}}}",
                    "relative_path": f".\\{below.path.name}",
                    "absolute_win32_path": below.name,
                }
                writer.set_parent({**(writer.locator or {}), **names})
            return
        # A VHD knows its parent by an id that is written when it is made: it is made anew, and so are those above it.
        scratch = child.path.with_name("relinked.avhd")
        with open_writer(child.path) as old, create(scratch, parent=below.path) as new:
            _copy(old, new)
        scratch.replace(child.path)
        upper = self.child_of(child)
        if upper is not None:
            self._relink(upper, child)

    def sync(self) -> int:
        """Write what a guest changed in its raw file into the leaf. Bytes that were written are returned."""
        if self.raw is None or self.mirror is None:
            return 0
        written = 0
        with self.raw.open("rb") as new, self.mirror.open("r+b") as old, open_writer(self.file().path) as writer:
            for offset, length in _data(new.fileno(), old.fileno(), self.size):
                for at in range(offset, offset + length, _PIECE):
                    size = min(_PIECE, offset + length - at)
                    now, before = os.pread(new.fileno(), size, at), os.pread(old.fileno(), size, at)
                    if now == before:
                        continue
                    for grain in range(0, size, _GRAIN):
                        piece = now[grain : grain + _GRAIN]
                        if piece != before[grain : grain + _GRAIN]:
                            writer.write(at + grain, piece)
                            os.pwrite(old.fileno(), piece, at + grain)
                            self.tracker.wrote(at + grain, len(piece))
                            written += len(piece)
        return written

    def resize(self, size: int) -> None:
        """Grow it; it has no checkpoints, as Windows demands of differencing disks."""
        resize(self.file().path, size)
        self.size = self.tracker.size = size


def make(drive: Drive, disk: Disk, name: str, source: Path | None, *, guest: bool) -> None:
    """Make the disk's first file; with `source` it holds that raw image, on which a guest runs where `guest`."""
    path = drive.local(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    vhdx = path.suffix.lower() != ".vhd"
    options = {"sector_size": disk.sector} if vhdx else {}
    if disk.block:
        options["block_size"] = disk.block
    create(path, disk.size, fixed=disk.fixed, **options).close()
    disk.leaf = DiskFile(name, path)
    if source is None:
        return
    disk.raw = source
    disk.mirror = drive.folder.parent / "mirrors" / f"{disk.id}.raw"
    disk.mirror.parent.mkdir(exist_ok=True)
    with disk.mirror.open("wb") as file:
        file.truncate(disk.size)
    disk.sync()
    if not guest:
        disk.mirror.unlink()
        disk.raw = disk.mirror = None


def remove(disk: Disk) -> None:
    for file in list(disk.files()):
        file.path.unlink(missing_ok=True)
    if disk.mirror is not None:
        disk.mirror.unlink(missing_ok=True)


def _copy(old: Writer, new: Writer) -> None:
    """What a file itself says of the disk."""
    for offset, length, place in old.pieces():
        for at in range(0, length, _PIECE):
            size = min(_PIECE, length - at)
            if place is None:
                new.zero(offset + at, size)
            else:
                new.write(offset + at, old.read_place(place + at, size))


def _data(new: int, old: int, size: int) -> Sequence[tuple[int, int]]:
    """Where either file has data: what is a hole in both is the same in both."""
    found: list[tuple[int, int]] = []
    at = 0
    while at < size:
        begin = min(_seek(new, at, os.SEEK_DATA, size), _seek(old, at, os.SEEK_DATA, size))
        if begin >= size:
            break
        end = max(_seek(new, begin, os.SEEK_HOLE, size), _seek(old, begin, os.SEEK_HOLE, size))
        # Either may say that it has a hole right there; whole pieces keep this going.
        end = min(size, max(end, begin // _PIECE * _PIECE + _PIECE))
        begin = begin // _GRAIN * _GRAIN
        found.append((begin, end - begin))
        at = end
    return found


def _seek(descriptor: int, at: int, whence: int, size: int) -> int:
    try:
        return os.lseek(descriptor, at, whence)
    except OSError:
        return size  # no data behind it
