"""The copy of one disk into one snapshot: read, look for zeros, hash once, compare, put, record.

Each worker thread takes one block at a time through all of it in its own buffer, so a block is in memory once and is
not copied; the threads overlap because reading, hashing and sending all run without the interpreter's lock. How many
there are at once follows what they achieve (`_window.py`).
"""

from __future__ import annotations

import hashlib
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import Enum, auto
from functools import partial

from rehost.blocks import BLOCK_SIZE
from rehost.transfer._errors import BlockRecordFailed, BlockSendFailed, CopyStopped
from rehost.transfer._manifest import NEVER_WRITTEN, ZERO_BLOCK, ZERO_DIGEST
from rehost.transfer._partial import PartialManifest
from rehost.transfer._plan import CopyPlan
from rehost.transfer._protocol import BlockSink, ReadableDisk, StopSignal, Throttle
from rehost.transfer._read import READ_DELAYS, read_block
from rehost.transfer._window import MOST_IN_FLIGHT, Window
from rehost.transfer._workers import Workers, block_buffer

#: Pieces that the workers may be ahead of the one that is being flushed: a disk that takes long to sync holds nobody up.
AHEAD = 4


@dataclass(frozen=True, slots=True)
class Progress:
    """How far the copy of one disk is. Bytes and blocks read, sent and skipped count from the start of this call."""

    disk: str
    watermark: int  # every block below is done, and the record of it durable
    blocks_done: int  # of the plan, those of earlier calls included
    blocks_total: int  # of the plan
    allocated_bytes: int  # of the plan
    read_bytes: int
    sent_blocks: int
    zero_blocks: int  # read, zero as before, not sent
    unchanged_blocks: int  # read and hashed, equal to the parent's, not sent
    resumed_blocks: int  # found recorded above the watermark, neither read nor sent again
    refusals: int = 0  # answers that asked to slow down
    in_flight: int = field(default=0, compare=False)  # blocks at once, at present

    @property
    def sent_bytes(self) -> int:
        return self.sent_blocks * BLOCK_SIZE


@dataclass(frozen=True, slots=True)
class CopyResult:
    """What EBS CompleteSnapshot takes, and how the last call came to it."""

    progress: Progress
    written_blocks: int  # that the snapshot holds, of every call: ChangedBlocksCount
    checksum: str  # of their digests, LINEAR: Checksum

    @property
    def written_bytes(self) -> int:
        return self.written_blocks * BLOCK_SIZE


def copy_disk(
    disk: ReadableDisk,
    sink: BlockSink,
    manifest: PartialManifest,
    plan: CopyPlan,
    *,
    in_flight: int = MOST_IN_FLIGHT,
    piece_blocks: int = 256,
    stop: StopSignal | None = None,
    on_piece: Callable[[Progress], None] | None = None,
    throttle: Throttle | None = None,
    flush_seconds: float = 1.0,
    read_delays: Sequence[float] = READ_DELAYS,
) -> CopyResult:
    """Copy the blocks of `plan`, resuming from what `manifest` has recorded. Memory: at most `in_flight` blocks.

    `throttle` is asked before each block that is sent.

    Every `piece_blocks` blocks `on_piece` is called in the caller's thread. At most every `flush_seconds` the records so
    far are brought to stable storage, which is what a power cut costs again; a killed process costs nothing. Meanwhile the
    workers go on, at most `AHEAD` pieces.

    Raises BlockReadFailed (after `read_delays`, in seconds, of retries), BlockSendFailed, BlockRecordFailed,
    CopyStopped once `stop` is set, and what `on_piece` raises. No block is read or sent any more when it returns or
    raises; what was acknowledged is recorded; the same call resumes.
    """
    return _Copy(disk, sink, manifest, plan, piece_blocks, throttle, flush_seconds, read_delays).run(
        in_flight, stop, on_piece
    )


class _Outcome(Enum):
    SENT = auto()
    ZERO = auto()
    UNCHANGED = auto()
    RESUMED = auto()


class _Copy:
    def __init__(
        self,
        disk: ReadableDisk,
        sink: BlockSink,
        manifest: PartialManifest,
        plan: CopyPlan,
        piece_blocks: int,
        throttle: Throttle | None,
        flush_seconds: float,
        read_delays: Sequence[float],
    ) -> None:
        self._disk = disk
        self._sink = sink
        self._manifest = manifest
        self._plan = plan
        self._piece_blocks = piece_blocks
        self._throttle = throttle
        self._flush_seconds = flush_seconds
        self._read_delays = read_delays
        self._done_before = plan.blocks.count_below(manifest.watermark)
        self._remaining = plan.blocks_total - self._done_before
        self._pieces = -(-self._remaining // piece_blocks)
        # What follows is guarded by Workers.changed.
        self._settled = 0  # pieces, from the first on, that are durable and that the caller knows of
        self._done: Counter[int] = Counter()  # piece -> how many of its blocks are done
        self._ends: dict[int, int] = {}  # piece -> the index after its last block, once that was drawn
        self._counts: Counter[_Outcome] = Counter()
        self._read_bytes = 0
        self._refusals = 0

    def run(self, in_flight: int, stop: StopSignal | None, on_piece: Callable[[Progress], None] | None) -> CopyResult:
        manifest = self._manifest
        flushed = time.monotonic()
        with self._start(in_flight) as running:
            for piece in range(self._pieces):
                if not running.wait(partial(self._is_done, piece), stop):
                    raise CopyStopped(disk=self._disk.key, watermark=manifest.watermark)
                if piece + 1 == self._pieces:
                    manifest.flush(manifest.block_count)
                elif time.monotonic() - flushed >= self._flush_seconds:
                    manifest.flush(self._ends[piece])
                    flushed = time.monotonic()
                del self._ends[piece]
                if on_piece is not None:
                    with running.changed:
                        progress = self._progress()
                    on_piece(progress)
                with running.changed:
                    self._settled = piece + 1
                    running.changed.notify_all()
        if manifest.watermark < manifest.block_count:  # there was nothing to do
            manifest.flush(manifest.block_count)
        return CopyResult(self._progress(), manifest.written_count, manifest.linear_checksum())

    def _start(self, in_flight: int) -> Workers[tuple[int, int], bytearray]:
        self._window = Window(min(in_flight, self._remaining))
        name = f"copy-{self._disk.key}"
        self._workers = Workers(self._draw(), self._block, buffer=block_buffer, count=self._window.size, name=name)
        return self._workers

    def _draw(self) -> Iterator[tuple[int, int]]:
        """(piece, index) of every block to do; waits while the piece is too far ahead of what is settled."""
        changed = self._workers.changed
        for ordinal, index in enumerate(self._plan.blocks.iter_from(self._manifest.watermark)):
            piece, place = divmod(ordinal, self._piece_blocks)
            if place == 0:
                with changed:
                    changed.wait_for(partial(self._may_begin, piece))
                    if self._workers.halted:
                        return
            if place + 1 == self._blocks_in(piece):
                self._ends[piece] = index + 1
            yield piece, index

    def _may_begin(self, piece: int) -> bool:
        return piece <= self._settled + AHEAD or self._workers.halted

    def _blocks_in(self, piece: int) -> int:
        return min(self._piece_blocks, self._remaining - piece * self._piece_blocks)

    def _is_done(self, piece: int) -> bool:
        return self._done[piece] == self._blocks_in(piece)

    def _block(self, item: tuple[int, int], buffer: bytearray) -> None:
        piece, index = item
        began = time.monotonic()
        outcome, read, refusals = self._transfer(index, buffer)
        took = time.monotonic() - began
        with self._workers.changed:
            self._counts[outcome] += 1
            self._read_bytes += read
            self._refusals += refusals
            self._done[piece] += 1
            if self._window.done(outcome, took, throttled=refusals > 0):
                self._workers.allow(self._window.size)
            if self._is_done(piece):
                self._workers.changed.notify_all()

    def _transfer(self, index: int, buffer: bytearray) -> tuple[_Outcome, int, int]:
        """Do what block `index` needs; returns what that was, how many bytes were read, and refusals on the way."""
        if self._manifest.written(index):
            return _Outcome.RESUMED, 0, 0
        before = self._manifest.parent_digest(index)
        if index in self._plan.cleared:
            return _Outcome.SENT, 0, self._send(index, ZERO_BLOCK, ZERO_DIGEST)
        read = read_block(self._disk, index, buffer, delays=self._read_delays, pause=self._workers.pause)
        if buffer == ZERO_BLOCK:
            if before in (NEVER_WRITTEN, ZERO_DIGEST):
                return _Outcome.ZERO, read, 0
            return _Outcome.SENT, read, self._send(index, ZERO_BLOCK, ZERO_DIGEST)
        digest = hashlib.sha256(buffer).digest()
        if digest == before:
            return _Outcome.UNCHANGED, read, 0
        return _Outcome.SENT, read, self._send(index, buffer, digest)

    def _send(self, index: int, data: bytes | bytearray, digest: bytes) -> int:
        pause = self._workers.pause
        if self._throttle is not None and not self._throttle(BLOCK_SIZE, pause):
            raise CopyStopped(disk=self._disk.key, watermark=self._manifest.watermark)
        try:
            with memoryview(data) as view:
                refusals = self._sink.put(index, view, digest, pause)
        except Exception as error:
            raise BlockSendFailed.at(self._disk.key, index, error) from error
        try:
            self._manifest.record(index, digest)
        except OSError as error:
            raise BlockRecordFailed.at(self._disk.key, index, error) from error
        return refusals

    def _progress(self) -> Progress:
        return Progress(
            disk=self._disk.key,
            watermark=self._manifest.watermark,
            blocks_done=self._done_before + self._done.total(),
            blocks_total=self._done_before + self._remaining,
            allocated_bytes=self._plan.allocated_bytes,
            read_bytes=self._read_bytes,
            sent_blocks=self._counts[_Outcome.SENT],
            zero_blocks=self._counts[_Outcome.ZERO],
            unchanged_blocks=self._counts[_Outcome.UNCHANGED],
            resumed_blocks=self._counts[_Outcome.RESUMED],
            in_flight=self._window.size,
            refusals=self._refusals,
        )
