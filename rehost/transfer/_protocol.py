"""What the pipeline asks of the disk it reads and of the snapshot it writes; whatever has these methods fits."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeAlias, TypeVar

from rehost.pacing import Pause

BytesLike: TypeAlias = bytes | bytearray | memoryview

#: Names a block for whoever reads it back, e.g. the block token of EBS ListSnapshotBlocks.
Handle = TypeVar("Handle", contravariant=True)

#: Asks to send some bytes; returns once they may go, False if the pause it is given said so before.
Throttle: TypeAlias = Callable[[int, Pause], bool]


class BlockReader(Protocol[Handle]):
    """Where blocks come back from: one snapshot."""

    def read(self, index: int, handle: Handle, buffer: memoryview, pause: Pause) -> bytes:
        """Read block `index` into `buffer`, of 524,288 bytes, and return its raw SHA-256. Thread-safe.

        It retries what can be retried, waiting with `pause`, and gives up once that returns False.
        """


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

    def put(self, index: int, data: memoryview, digest: bytes, pause: Pause) -> int:
        """Write block `index` and return once it is acknowledged. Thread-safe. Putting a block again replaces it.

        `data` is 524,288 bytes and valid only during the call; `digest` is its raw SHA-256. The sink retries what can
        be retried, waiting with `pause`, and gives up once that returns False; what it raises ends the copy. Returns how
        often it was refused for going too fast.
        """


class StopSignal(Protocol):
    """`threading.Event` is one."""

    def is_set(self) -> bool: ...
