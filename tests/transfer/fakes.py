"""A disk of patterns and a chain of snapshots that checks what EBS checks."""

from __future__ import annotations

import base64
import hashlib
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import cache

from rehost.blocks import BLOCK_SIZE, Extent, block_count
from rehost.pacing import Pause


@cache
def pattern(number: int) -> bytes:
    """A block's worth of bytes; pattern 0 is zeros."""
    return number.to_bytes(8, "little") * (BLOCK_SIZE // 8)


class FlakyRead(Exception):
    retryable = True


class PatternDisk:
    """Block i holds `pattern(patterns[i])`; the last block is `tail` bytes long."""

    key = "disk"

    def __init__(self, patterns: Sequence[int], *, tail: int = BLOCK_SIZE, max_read: int = BLOCK_SIZE) -> None:
        self.patterns = list(patterns)
        self.size = (len(self.patterns) - 1) * BLOCK_SIZE + tail
        self.max_read = max_read
        self.reads: Counter[int] = Counter()  # block -> how often it was asked for
        self.failures: Counter[int] = Counter()  # block -> how often it will fail yet
        self._lock = threading.Lock()

    def read_into(self, offset: int, buffer: memoryview) -> int:
        index, start = divmod(offset, BLOCK_SIZE)
        with self._lock:
            self.reads[index] += 1
            if self.failures[index] > 0:
                self.failures[index] -= 1
                message = "flaky"
                raise FlakyRead(message)
        end = min(BLOCK_SIZE, self.size - index * BLOCK_SIZE)
        data = memoryview(pattern(self.patterns[index]))[start:end][: min(len(buffer), self.max_read)]
        buffer[: len(data)] = data
        return len(data)

    def block(self, index: int) -> bytes:
        """The block as EBS has it: padded with zeros."""
        length = min(BLOCK_SIZE, self.size - index * BLOCK_SIZE)
        return pattern(self.patterns[index])[:length].ljust(BLOCK_SIZE, b"\0")

    def extents(self, indices: Sequence[int] | None = None) -> Iterator[Extent]:
        """The extents of these blocks, by default those that are not zero."""
        if indices is None:
            indices = [index for index, number in enumerate(self.patterns) if number]
        for index in indices:
            yield Extent(index * BLOCK_SIZE, min(BLOCK_SIZE, self.size - index * BLOCK_SIZE))


class FakeSnapshot:
    """A sink that holds what it acknowledged, on top of its parent."""

    def __init__(self, parent: FakeSnapshot | None = None) -> None:
        self.parent = parent
        self.blocks: dict[int, bytes] = {}
        self.puts: Counter[int] = Counter()
        self.before_put: Callable[[int], None] = lambda index: None
        self.after_put: Callable[[int], None] = lambda index: None
        self._lock = threading.Lock()

    def put(self, index: int, data: memoryview, digest: bytes, pause: Pause) -> int:
        self.before_put(index)
        content = bytes(data)
        assert len(content) == BLOCK_SIZE
        assert hashlib.sha256(content).digest() == digest
        with self._lock:
            self.blocks[index] = content
            self.puts[index] += 1
        self.after_put(index)
        return 0

    def complete(self, changed_blocks: int, checksum: str) -> None:
        """Refuse what CompleteSnapshot refuses."""
        assert changed_blocks == len(self.blocks)
        digests = b"".join(hashlib.sha256(self.blocks[index]).digest() for index in sorted(self.blocks))
        assert checksum == base64.b64encode(hashlib.sha256(digests).digest()).decode()

    def block(self, index: int) -> bytes:
        if index in self.blocks:
            return self.blocks[index]
        return pattern(0) if self.parent is None else self.parent.block(index)

    def read(self, index: int, handle: int, buffer: memoryview, pause: Pause) -> bytes:
        assert index == handle
        buffer[:] = self.block(index)
        return hashlib.sha256(buffer).digest()

    def listing(self) -> list[tuple[int, int]]:
        """(index, handle) of every block in the chain, as ListSnapshotBlocks gives them; the handle is the index."""
        indices: set[int] = set()
        snapshot: FakeSnapshot | None = self
        while snapshot is not None:
            indices |= set(snapshot.blocks)
            snapshot = snapshot.parent
        return [(index, index) for index in sorted(indices)]

    def holds(self, disk: PatternDisk) -> bool:
        return all(self.block(index) == disk.block(index) for index in range(block_count(disk.size)))


class Abort(Exception):
    """Stands for the process dying at this point."""
