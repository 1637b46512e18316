"""What a source brings along to be held to `contract.py`: a server of two disks that the tests can write to."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from rehost.blocks import Extent
from rehost.sources import FrozenDisk, FrozenServer, Locator, Quiesce, Source

KIB = 1024
MIB = 1024 * KIB


def _initial(size: int, *places: int) -> bytes:
    """Zeros, with 64 KiB of data at each of the places (units of 64 KiB)."""
    content = bytearray(size)
    for place in places:
        content[place * 64 * KIB : (place + 1) * 64 * KIB] = f"{place:8}".encode() * (8 * KIB)
    return bytes(content[:size])


#: What the two disks of a new harness's server hold. The first one's size is no multiple of a block's, and it ends in data.
INITIAL = (_initial(3 * MIB + 512, 0, 1, 17, 47) + b"", _initial(MIB, 5))


class Harness(ABC):
    """One a test. A subclass sets what stands below in its `__init__`: a source with one server whose disks hold INITIAL, the root disk first.

    A test that needs what a platform cannot do is not collected for it: see `lacks`.
    """

    #: A point in time stays readable while its server goes on being written to; otherwise `check` finds the writing out.
    survives_writes: ClassVar[bool]
    #: It tells where a disk changed, not only that it did.
    tracks_changes: ClassVar[bool]
    #: Its disks can become smaller.
    shrinks: ClassVar[bool] = True

    #: Its servers can be powered on and off.
    has_power: ClassVar[bool] = True
    #: They can be made to stand still.
    pauses: ClassVar[bool] = True
    #: It tells of a server that is off whether its disks were written to, without a point in time.
    looks: ClassVar[bool] = True
    #: A server of it that is off can be frozen with `quiesce: require`.
    can_require: ClassVar[bool] = True

    source: Source
    locator: Locator  # the server
    unknown: Locator  # well formed, but there is no such server
    wrong: Sequence[Locator]  # not locators of this source

    def __init__(self, folder: Path) -> None:
        self.folder = folder  # empty, the test's own

    @abstractmethod
    def content(self, disk: int) -> bytes:
        """What the disk holds now."""

    @abstractmethod
    def write(self, disk: int, offset: int, data: bytes) -> None:
        """As the running server would."""

    @abstractmethod
    def resize(self, disk: int, size: int) -> None:
        """Grow with zeros, or cut off."""

    @abstractmethod
    def made(self) -> Sequence[str]:
        """What points in time have left on the source: snapshots, clones, jobs. Empty once all are released."""

    def left_by_power(self) -> Sequence[str]:
        """What of `made` stays of `power_off` until `power_on`."""
        return []

    def losses(self) -> Mapping[str, Callable[[], None]]:
        """Beside a new size: what makes the source forget what changed on disk 0, by the name of its cause."""
        return {}

    def lose_freeze(self, token: str) -> None:
        """Take a point in time away behind rehost's back. Left alone where nothing beside the server itself is made for one."""
        raise NotImplementedError

    def elsewhere(self) -> tuple[str, Mapping[str, Any]]:
        """(`module:function`, its keywords) that opens this source in another process. Left alone where it lives in this one."""
        raise NotImplementedError

    @classmethod
    def lacks(cls) -> frozenset[str]:
        """What of `keeping`, `losing`, `elsewhere`, `shrinking`, `power`, `pausing` and `looking` cannot be had here."""
        lacking = {
            "keeping": not cls.survives_writes,
            "losing": cls.lose_freeze is Harness.lose_freeze,
            "elsewhere": cls.elsewhere is Harness.elsewhere,
            "shrinking": not cls.shrinks,
            "power": not cls.has_power,
            "pausing": not cls.pauses,
            "looking": not cls.looks,
        }
        return frozenset(name for name, lacks in lacking.items() if lacks)

    def close(self) -> None:
        """The end of the test."""
        self.source.close()


def freeze(site: Harness, run: str = "run-1") -> FrozenServer:
    return site.source.freeze(site.locator, quiesce=Quiesce.NONE, run=run)


def read(disk: FrozenDisk, offset: int, length: int) -> bytes:
    """All of a stretch, asking again after a short read."""
    buffer = memoryview(bytearray(length))
    at = 0
    while at < length:
        got = disk.read_into(offset + at, buffer[at:])
        if not got:
            break
        at += got
    return bytes(buffer[:at])


def whole(disk: FrozenDisk) -> bytes:
    return read(disk, 0, disk.size)


def restored(extents: Sequence[Extent], disk: FrozenDisk, onto: bytes) -> bytes:
    """`onto` with the extents read from the disk: what replication makes of them."""
    content = bytearray(onto.ljust(disk.size, b"\0")[: disk.size])
    for extent in extents:
        content[extent.offset : extent.end] = read(disk, extent.offset, extent.length)
    return bytes(content)
