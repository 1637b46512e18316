"""EBS snapshots on disk: what StartSnapshot begins, PutSnapshotBlock fills and CompleteSnapshot seals.

A snapshot is a folder with `meta.json` and two sparse files: `data`, block i at i * 512 KiB, and `digests`, its SHA-256 at
i * 32 (zeros: not written in this snapshot). A child keeps only its own blocks and looks the others up along its parents. A
deleted parent keeps its files for as long as a child needs them. Memory: one bit a block of each snapshot.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import secrets
import shutil
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

BLOCK_SIZE = 512 * 1024
GIB = 1 << 30
NO_DIGEST = bytes(32)


@dataclass
class Meta:
    """What EBS knows of a snapshot besides its blocks."""

    snapshot_id: str
    volume_gib: int
    parent: str | None
    description: str
    tags: dict[str, str]
    encrypted: bool
    kms_key_arn: str | None
    client_token: str | None
    request: dict[str, Any]  # the parameters that the token stands for
    region: str
    timeout_minutes: int
    started_at: float
    touched_at: float
    state: str = "pending"
    message: str = ""
    deleted: bool = False


@dataclass
class Snapshot:
    meta: Meta
    folder: Path
    parent: Snapshot | None
    written: bytearray = field(default_factory=bytearray)  # a bit a block, of this snapshot alone
    lock: threading.Lock = field(default_factory=threading.Lock)
    data: int = -1
    digests: int = -1

    @property
    def blocks(self) -> int:
        return self.meta.volume_gib * GIB // BLOCK_SIZE

    def has(self, index: int) -> bool:
        return bool(self.written[index >> 3] >> (index & 7) & 1) if index >> 3 < len(self.written) else False

    def count(self) -> int:
        return int.from_bytes(self.written, "little").bit_count()

    def lineage(self) -> Iterator[Snapshot]:
        """This snapshot and its ancestors, nearest first."""
        each: Snapshot | None = self
        while each is not None:
            yield each
            each = each.parent

    def owner(self, index: int) -> Snapshot | None:
        """The nearest in the lineage that wrote the block."""
        return next((each for each in self.lineage() if each.has(index)), None)

    def put(self, index: int, data: Any, digest: bytes) -> None:
        """Write a block, its digest, and only then the bit that says so."""
        view = memoryview(data)
        offset = index * BLOCK_SIZE
        while view:
            done = os.pwrite(self.data, view, offset)
            view, offset = view[done:], offset + done
        os.pwrite(self.digests, digest, index * 32)
        with self.lock:
            self.written[index >> 3] |= 1 << (index & 7)

    def read(self, index: int) -> tuple[bytes, bytes]:
        """(data, digest) of a block that this very snapshot wrote."""
        return os.pread(self.data, BLOCK_SIZE, index * BLOCK_SIZE), os.pread(self.digests, 32, index * 32)

    def indices(self, start: int = 0) -> Iterator[int]:
        """The blocks that this snapshot or an ancestor holds, ascending from `start`."""
        bits = [each.written for each in self.lineage()]
        for position in range(start >> 3, max((len(each) for each in bits), default=0)):
            byte = 0
            for each in bits:
                if position < len(each):
                    byte |= each[position]
            if byte:
                for bit in range(8):
                    index = position * 8 + bit
                    if byte >> bit & 1 and index >= start:
                        yield index

    def linear_checksum(self) -> str:
        """base64(SHA-256(digests of the blocks written here, ascending, joined)) (CompleteSnapshot, LINEAR)."""
        total = hashlib.sha256()
        for position, byte in enumerate(self.written):
            for bit in range(8):
                if byte >> bit & 1:
                    total.update(os.pread(self.digests, 32, (position * 8 + bit) * 32))
        return base64.b64encode(total.digest()).decode()

    def open(self) -> None:
        self.data = os.open(self.folder / "data", os.O_RDWR | os.O_CREAT, 0o600)
        self.digests = os.open(self.folder / "digests", os.O_RDWR | os.O_CREAT, 0o600)

    def close(self) -> None:
        for descriptor in (self.data, self.digests):
            if descriptor >= 0:
                os.close(descriptor)
        self.data = self.digests = -1

    def recall(self) -> None:
        """Rebuild the bitmap from the digests file, walking only its data."""
        self.written = bytearray(self.blocks // 8 + 1)
        end, offset = os.fstat(self.digests).st_size, 0
        while offset < end:
            try:
                start = os.lseek(self.digests, offset, os.SEEK_DATA)
            except OSError:
                return
            offset = os.lseek(self.digests, start, os.SEEK_HOLE)
            for place in range(start // 32 * 32, offset, 32):
                if os.pread(self.digests, 32, place) not in (NO_DIGEST, b""):
                    index = place // 32
                    self.written[index >> 3] |= 1 << (index & 7)


class SnapshotStore:
    """Every snapshot of the sandbox. Thread-safe."""

    def __init__(self, folder: Path, clock: Callable[[], float] = time.time) -> None:
        self.folder = folder
        self.clock = clock
        self.lock = threading.RLock()
        self.snapshots: dict[str, Snapshot] = {}
        self._by_token: dict[tuple[str, str], str] = {}
        folder.mkdir(parents=True, exist_ok=True)
        self._load()

    def start(self, meta: Meta) -> Snapshot:
        with self.lock:
            folder = self.folder / meta.snapshot_id
            folder.mkdir()
            parent = self.snapshots[meta.parent] if meta.parent else None
            snapshot = Snapshot(meta, folder, parent)
            snapshot.written = bytearray(snapshot.blocks // 8 + 1)
            snapshot.open()
            self.snapshots[meta.snapshot_id] = snapshot
            if meta.client_token:
                self._by_token[meta.region, meta.client_token] = meta.snapshot_id
            self.save(snapshot)
            return snapshot

    def by_token(self, region: str, token: str) -> Snapshot | None:
        with self.lock:
            return self.snapshots.get(self._by_token.get((region, token), ""))

    def get(self, snapshot_id: str) -> Snapshot | None:
        """A snapshot that has not been deleted; one that was left alone for too long is in `error` from then on."""
        with self.lock:
            snapshot = self.snapshots.get(snapshot_id)
            if snapshot is None or snapshot.meta.deleted:
                return None
            meta = snapshot.meta
            if meta.state == "pending" and self.clock() - meta.touched_at > meta.timeout_minutes * 60:
                meta.state, meta.message = "error", "The snapshot timed out: no block was written within its Timeout"
                self.save(snapshot)
            return snapshot

    def complete(self, snapshot: Snapshot) -> None:
        with self.lock:
            os.fsync(snapshot.data)
            os.fsync(snapshot.digests)
            snapshot.meta.state = "completed"
            self.save(snapshot)

    def delete(self, snapshot_id: str) -> None:
        with self.lock:
            snapshot = self.snapshots[snapshot_id]
            snapshot.meta.deleted = True
            self.save(snapshot)
            self._sweep()

    def copy(self, source: Snapshot, snapshot_id: str, region: str, **changes: Any) -> Snapshot:
        """A completed snapshot with the same content, which shares the blocks: what a VM import leaves."""
        meta = Meta(
            **{
                **asdict(source.meta),
                "snapshot_id": snapshot_id,
                "parent": source.meta.snapshot_id,
                "client_token": None,
                "request": {},
                "region": region,
                "state": "completed",
                "started_at": self.clock(),
                **changes,
            }
        )
        return self.start(meta)

    def save(self, snapshot: Snapshot) -> None:
        target = snapshot.folder / "meta.json"
        scratch = target.with_suffix(f".{secrets.token_hex(4)}")
        scratch.write_text(json.dumps(asdict(snapshot.meta)))
        scratch.replace(target)

    def set_tags(self, snapshot: Snapshot, tags: Mapping[str, str]) -> None:
        with self.lock:
            snapshot.meta.tags = dict(tags)
            self.save(snapshot)

    def close(self) -> None:
        for snapshot in self.snapshots.values():
            snapshot.close()

    def _sweep(self) -> None:
        """Remove the files of deleted snapshots that no other one builds on."""
        while True:
            needed = {each.parent.meta.snapshot_id for each in self.snapshots.values() if each.parent}
            gone = [
                each for each in self.snapshots.values() if each.meta.deleted and each.meta.snapshot_id not in needed
            ]
            if not gone:
                return
            for each in gone:
                each.close()
                shutil.rmtree(each.folder)
                del self.snapshots[each.meta.snapshot_id]
                if each.meta.client_token:
                    self._by_token.pop((each.meta.region, each.meta.client_token), None)

    def _load(self) -> None:
        found = {}
        for path in self.folder.glob("*/meta.json"):
            meta = Meta(**json.loads(path.read_text()))
            found[meta.snapshot_id] = Snapshot(meta, path.parent, None)
        for snapshot_id, snapshot in found.items():
            snapshot.parent = found.get(snapshot.meta.parent or "")
            snapshot.open()
            snapshot.recall()
            # Puts are not written to meta.json one by one; the file knows when the last one was.
            snapshot.meta.touched_at = max(snapshot.meta.touched_at, os.fstat(snapshot.data).st_mtime)
            self.snapshots[snapshot_id] = snapshot
            if snapshot.meta.client_token:
                self._by_token[snapshot.meta.region, snapshot.meta.client_token] = snapshot_id
