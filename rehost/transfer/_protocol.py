"""What the pipeline asks of the disk it reads and of the snapshot it writes; whatever has these methods fits."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeAlias, TypeVar

BytesLike: TypeAlias = bytes | bytearray | memoryview

#: Names a block for whoever reads it back, e.g. the block token of EBS ListSnapshotBlocks.
Handle = TypeVar("Handle")

#: Reads one block back: `read(index, handle)` returns its 524,288 bytes. Thread-safe.
BlockReader: TypeAlias = Callable[[int, Handle], BytesLike]


class ReadableDisk(Protocol):
    """A disk at one point in time; `rehost.sources.FrozenDisk` is one."""

    @property
    def key(self) -> str: ...

    @property
    def size(self) -> int:
        """Bytes."""

    def read_into(self, offset: int, buffer: memoryview) -> int:
        """Fill `buffer` from `offset`; returns the bytes read, perhaps fewer than asked. Thread-safe.

        An exception whose `retryable` attribute is true is retried a few times.
        """


class BlockSink(Protocol):
    """Where blocks go: one snapshot that is being written."""

    def put(self, index: int, data: memoryview, digest: bytes) -> None:
        """Write block `index` and return once it is acknowledged. Thread-safe. Putting a block again replaces it.

        `data` is 524,288 bytes and valid only during the call; `digest` is its raw SHA-256. The sink retries what can
        be retried; what it raises ends the copy.
        """


class StopSignal(Protocol):
    """`threading.Event` is one."""

    def is_set(self) -> bool: ...
