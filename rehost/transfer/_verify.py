"""Proof that a snapshot holds what its source held: read back, hashed, compared with the manifest."""

from __future__ import annotations

import hashlib
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from enum import StrEnum

from rehost.blocks import BLOCK_SIZE, Extent, block_count, blocks_of
from rehost.pacing import Pause
from rehost.transfer._blockset import BlockSet
from rehost.transfer._errors import BlockReadFailed, CopyStopped
from rehost.transfer._manifest import NEVER_WRITTEN, ZERO_BLOCK, ZERO_DIGEST, Manifest
from rehost.transfer._protocol import BlockReader, BytesLike, Handle, ReadableDisk, StopSignal
from rehost.transfer._read import READ_DELAYS, read_block
from rehost.transfer._window import MOST_IN_FLIGHT, run_windowed
from rehost.transfer._workers import block_buffer


class Difference(StrEnum):
    CONTENT = "content"  # other bytes than the manifest's digest stands for
    MISSING = "missing"  # data in the manifest, absent from what was read
    UNEXPECTED = "unexpected"  # zero in the manifest, data in what was read


@dataclass(frozen=True, slots=True)
class Mismatch:
    offset: int  # bytes
    difference: Difference


@dataclass(frozen=True, slots=True)
class VerifyResult:
    blocks_read: int
    mismatch_count: int
    mismatches: tuple[Mismatch, ...]  # the first found, ascending by offset; at most the limit that was given

    @property
    def ok(self) -> bool:
        return self.mismatch_count == 0

    @property
    def bytes_read(self) -> int:
        return self.blocks_read * BLOCK_SIZE


def verify_snapshot(
    blocks: Iterable[tuple[int, Handle]],
    reader: BlockReader[Handle],
    manifest: Manifest,
    *,
    in_flight: int = MOST_IN_FLIGHT,
    stop: StopSignal | None = None,
    limit: int = 100,
) -> VerifyResult:
    """Read every listed block back, in parallel, and compare its SHA-256 with the manifest.

    `blocks` are the index of each block that the snapshot has, its parents' included, and what `reader` finds it by. A
    difference is a result, not an error. Raises BlockReadFailed (names the snapshot as the disk), CopyStopped.
    """
    check = _Check(manifest, limit)

    def compare(block: tuple[int, Handle], buffer: bytearray, pause: Pause) -> None:
        index, handle = block
        check.block(index, read_back(manifest.snapshot_id, reader, index, handle, buffer, pause))

    if not run_windowed(blocks, compare, buffer=block_buffer, in_flight=in_flight, name="verify", stop=stop):
        raise CopyStopped(disk=manifest.snapshot_id, watermark=0)
    return check.result()


def read_back(
    snapshot_id: str,
    reader: BlockReader[Handle],
    index: int,
    handle: Handle,
    buffer: bytearray | memoryview,
    pause: Pause,
) -> bytes:
    """Block `index` into `buffer`; returns its raw SHA-256. Raises BlockReadFailed, which names the snapshot."""
    try:
        with memoryview(buffer) as view:
            return reader.read(index, handle, view, pause)
    except Exception as error:
        raise BlockReadFailed.at(snapshot_id, index, error) from error


def verify_against_source(
    disk: ReadableDisk,
    allocated: Iterable[Extent],
    manifest: Manifest,
    *,
    in_flight: int = MOST_IN_FLIGHT,
    stop: StopSignal | None = None,
    limit: int = 100,
    read_delays: Sequence[float] = READ_DELAYS,
) -> VerifyResult:
    """Read what is allocated on a disk and compare it with the manifest; what is not allocated has to be zero there.

    Together with `verify_snapshot` this proves a snapshot against its source. Raises BlockReadFailed, CopyStopped.
    """
    check = _Check(manifest, limit)

    def compare(index: int, buffer: bytearray, pause: Pause) -> None:
        read_block(disk, index, buffer, delays=read_delays, pause=pause)
        check.block(index, hashlib.sha256(buffer).digest())

    clipped = (index for index in blocks_of(allocated) if index < block_count(disk.size))
    name = f"verify-{disk.key}"
    if not run_windowed(clipped, compare, buffer=block_buffer, in_flight=in_flight, name=name, stop=stop):
        raise CopyStopped(disk=disk.key, watermark=0)
    return check.result()


class _Check:
    """Gathers, from several threads, how blocks differ from a manifest."""

    def __init__(self, manifest: Manifest, limit: int) -> None:
        self._manifest = manifest
        self._limit = limit
        self._seen = BlockSet(manifest.block_count)
        self._blocks_read = 0
        self._count = 0
        self._found: list[Mismatch] = []
        self._lock = threading.Lock()

    def block(self, index: int, digest: bytes) -> None:
        within = index < self._manifest.block_count
        expected = self._manifest.digest(index) if within else NEVER_WRITTEN
        zero = expected in (NEVER_WRITTEN, ZERO_DIGEST)
        difference = None
        if digest != (ZERO_DIGEST if zero else expected):
            difference = Difference.UNEXPECTED if zero else Difference.CONTENT
        with self._lock:
            self._blocks_read += 1
            if within:
                self._seen.add(index)
            if difference is not None:
                self._note(index, difference)

    def result(self) -> VerifyResult:
        for index in self._manifest.data_blocks():
            if index not in self._seen:
                self._note(index, Difference.MISSING)
        found = sorted(self._found, key=lambda mismatch: mismatch.offset)
        return VerifyResult(self._blocks_read, self._count, tuple(found))

    def _note(self, index: int, difference: Difference) -> None:
        self._count += 1
        if len(self._found) < self._limit:
            self._found.append(Mismatch(index * BLOCK_SIZE, difference))


def read_blocks(
    blocks: Iterable[tuple[int, Handle]], read: Callable[[int, Handle], BytesLike], *, workers: int = 8
) -> Iterator[tuple[int, BytesLike]]:
    """The blocks with their data, in the order listed, read ahead in parallel; memory: `2 * workers` blocks."""
    with ThreadPoolExecutor(workers, thread_name_prefix="read-blocks") as pool:
        ahead: deque[tuple[int, Future[BytesLike]]] = deque()
        try:
            for index, handle in blocks:
                ahead.append((index, pool.submit(read, index, handle)))
                if len(ahead) >= 2 * workers:
                    first, data = ahead.popleft()
                    yield first, data.result()
            while ahead:
                first, data = ahead.popleft()
                yield first, data.result()
        finally:
            for _, data in ahead:
                data.cancel()


def disk_sha256(blocks: Iterable[tuple[int, BytesLike]], size: int) -> str:
    """The SHA-256, in hex, of a disk of `size` bytes as a raw file: what `sha256sum` says of it.

    `blocks` ascend; those that are not given are zeros. Zeros are hashed too, at about 0.5 s a GiB.
    """
    total = hashlib.sha256()
    done = 0
    for index, data in blocks:
        _hash_zeros(total, index * BLOCK_SIZE - done)
        part = memoryview(data)[: size - index * BLOCK_SIZE]
        total.update(part)
        done = index * BLOCK_SIZE + len(part)
    _hash_zeros(total, size - done)
    return total.hexdigest()


def _hash_zeros(total: hashlib._Hash, length: int) -> None:
    for at in range(0, length, BLOCK_SIZE):
        total.update(ZERO_BLOCK[: length - at])
