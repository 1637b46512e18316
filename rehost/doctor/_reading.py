"""Reads of a frozen disk: its ends, and a sample of what is allocated, evenly over all of it."""

from __future__ import annotations

import bisect
import hashlib
import itertools
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import dataclass, field

from rehost.blocks import Extent
from rehost.sources import FrozenDisk, ReadFailed

MIB = 1 << 20
SECTOR = 512
#: Bytes of one read, and reads at the same time: what a connector asks of a source is of this order.
PIECE, AT_ONCE = MIB, 8
STRETCH = 8 * MIB  # bytes that are read one after the other
ATTEMPTS = 3
#: Extents of a disk that are kept for the sample; further ones are counted alone, so that memory stays bounded.
_KEPT = 100_000


@dataclass
class Areas:
    """What of a disk is allocated, or changed."""

    bytes: int = 0
    extents: int = 0
    kept: list[Extent] = field(default_factory=list)  # within the disk, whole sectors

    @property
    def is_whole(self) -> bool:
        return len(self.kept) == self.extents


def areas(extents: Iterable[Extent], size: int) -> Areas:
    """Raises ValueError where they do not ascend, overlap, or lie outside of the disk."""
    found = Areas()
    end = 0
    for extent in extents:
        if extent.length < 0 or extent.offset < end or extent.end > size:
            message = f"extent {extent.offset}+{extent.length} after byte {end} of {size}"
            raise ValueError(message)
        end = extent.end
        found.bytes += extent.length
        found.extents += 1
        if len(found.kept) < _KEPT:
            start, stop = extent.offset // SECTOR * SECTOR, min(size, -(-extent.end // SECTOR) * SECTOR)
            found.kept.append(Extent(start, stop - start))
    return found


def sample_of(allocated: Areas, budget: int) -> Iterator[Extent]:
    """At most about `budget` bytes in pieces: all that is allocated, or stretches evenly over it."""
    total = sum(each.length for each in allocated.kept)
    if total <= budget:
        yield from itertools.chain.from_iterable(_pieces(each) for each in allocated.kept)
        return
    starts = list(itertools.accumulate((each.length for each in allocated.kept), initial=0))
    stretches = max(1, budget // STRETCH)
    after = 0
    for number in range(stretches):
        at = total * number // stretches
        index = bisect.bisect_right(starts, at) - 1
        extent = allocated.kept[index]
        start = max(after, extent.offset + (at - starts[index]) // SECTOR * SECTOR)
        length = min(STRETCH, extent.end - start)
        if length > 0:
            after = start + length
            yield from _pieces(Extent(start, length))


def _pieces(extent: Extent) -> Iterator[Extent]:
    for offset in range(extent.offset, extent.end, PIECE):
        yield Extent(offset, min(PIECE, extent.end - offset))


class Reader:
    """Reads whole pieces, again where a read failed. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.bytes = 0
        self.again = 0

    def read(self, disk: FrozenDisk, piece: Extent) -> bytes:
        """Raises ReadFailed where it fails `ATTEMPTS` times, or ends before it should."""
        for attempt in range(1, ATTEMPTS + 1):
            try:
                data = self._once(disk, piece)
            except ReadFailed:
                if attempt == ATTEMPTS:
                    raise
                with self._lock:
                    self.again += 1
                time.sleep(attempt)
                continue
            with self._lock:
                self.bytes += len(data)
            return data
        raise AssertionError

    def _once(self, disk: FrozenDisk, piece: Extent) -> bytes:
        buffer = memoryview(bytearray(piece.length))
        done = 0
        while done < piece.length:
            count = disk.read_into(piece.offset + done, buffer[done:])
            if count <= 0 or count % SECTOR:
                what = f"{count} bytes came where {piece.length - done} were asked for, of a disk of {disk.size}"
                raise ReadFailed(disk=disk.key, offset=piece.offset + done, detail=what)
            done += count
        return bytes(buffer)

    def digests(
        self, disks: Mapping[str, FrozenDisk], pieces: Sequence[tuple[str, Extent]]
    ) -> dict[tuple[str, Extent], str]:
        """SHA-256 of each piece, read `AT_ONCE` at a time. The first failure stops the rest."""
        with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="doctor-read") as pool:
            asked = {pool.submit(self.digest, disks[key], piece): (key, piece) for key, piece in pieces}
            try:
                wait(asked, return_when=FIRST_EXCEPTION)
            finally:
                pool.shutdown(cancel_futures=True)
            failed = [future for future in asked if future.done() and not future.cancelled() and future.exception()]
            if failed:
                failed[0].result()
            return {place: future.result() for future, place in asked.items()}

    def digest(self, disk: FrozenDisk, piece: Extent) -> str:
        return hashlib.sha256(self.read(disk, piece)).hexdigest()


def ends(disk: FrozenDisk) -> list[Extent]:
    """The first and the last piece; one where the disk is small."""
    head = Extent(0, min(PIECE, disk.size))
    tail = Extent(max(0, disk.size - PIECE), min(PIECE, disk.size))
    return [head] if head == tail else [head, tail]


def looks_like(head: bytes, tail: bytes) -> str:
    """What begins the disk, in a few words: a partition table, a file system's or volume's mark, or zeros."""
    for sector in (SECTOR, 4096):
        if head[sector : sector + 8] == b"EFI PART":
            whole = tail[-sector : len(tail) - sector + 8] == b"EFI PART"
            return "GPT" if whole else "GPT, without its copy at the end"
    if head[510:512] == b"\x55\xaa":
        return "MBR"
    if head[512:520] == b"LABELONE":
        return "LVM, no partition table"
    if head[1080:1082] == b"\x53\xef":
        return "ext, no partition table"
    return "no partition table" if head.strip(b"\0") else "zeros"


def touched(piece: Extent, changed: Sequence[Extent]) -> bool:
    """Whether the piece has a byte in one of the ascending extents."""
    index = bisect.bisect_right(changed, piece.offset, key=lambda each: each.end)
    return index < len(changed) and changed[index].offset < piece.end
