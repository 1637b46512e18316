"""The manifest of a snapshot that is being written, which is also the journal that a killed copy resumes from.

A block is recorded after its put was acknowledged: first its digest, then its bit in the bitmap, each by one `pwrite`.
So after a SIGKILL a set bit means "acknowledged, and this is its digest"; a block killed between the two is sent once
more. After a power cut, pages may have reached the disk in any order: then (another boot id in the header) only what
lies below the watermark is believed, which `flush` raises once everything below it is on stable storage.

The digests of the parent are copied in at the start, so that blocks which are never touched already have theirs. What a
block was is always asked of the parent itself: its slot here may hold a digest whose bit was not yet set.
"""

from __future__ import annotations

import fcntl
import os
import threading
from dataclasses import replace
from pathlib import Path

from rehost.transfer._blockset import BlockSet
from rehost.transfer._errors import ManifestBusy, ManifestInvalid
from rehost.transfer._files import boot_id, sync_directory
from rehost.transfer._header import DIGEST_AT, DIGEST_SIZE, HEADER_SIZE, BadHeader, Header, State, progress_record
from rehost.transfer._manifest import DigestFile, Manifest, content_digest


class PartialManifest(DigestFile):
    """Made by `open_partial`. `record` is thread-safe; everything else belongs to the thread that opened it."""

    def __init__(
        self, path: Path, fd: int, header: Header, written: BlockSet, parent: Manifest | None, final_path: Path
    ) -> None:
        super().__init__(path, fd, header, written)
        self.parent = parent
        self._final_path = final_path
        self._boot = boot_id()
        self._watermark = header.watermark
        self._lock = threading.Lock()

    @property
    def watermark(self) -> int:
        """All blocks below are done, and their records have been on stable storage since before this was written."""
        return self._watermark

    def parent_digest(self, index: int) -> bytes:
        """The digest of block `index` in the parent; NEVER_WRITTEN without one or beyond its end."""
        if self.parent is None or index >= self.parent.block_count:
            return bytes(DIGEST_SIZE)
        return self.parent.digest(index)

    def record(self, index: int, digest: bytes) -> None:
        """Note that block `index` was acknowledged. Raises OSError (disk full, ...): then it counts as not sent."""
        os.pwrite(self._fd, digest, HEADER_SIZE + index * DIGEST_SIZE)
        with self._lock:
            byte = self._written.add(index)
            os.pwrite(self._fd, bytes((byte,)), self._header.bitmap_at + (index >> 3))

    def flush(self, watermark: int) -> None:
        """Bring every record so far to stable storage and then raise the watermark to `watermark`."""
        os.fdatasync(self._fd)
        os.pwrite(self._fd, *progress_record(watermark, self._boot))
        self._watermark = watermark

    def finish(self) -> Manifest:
        """Turn this into the final manifest of its snapshot, which must be complete. Closes this one.

        Until the rename is done the partial one stays, so that a repeated call after a crash works.
        """
        header = replace(self._header, state=State.FINAL)
        # The header as it will be, but for the digest; from here on a resume finds a final header in the partial file.
        os.pwrite(self._fd, header.pack(), 0)
        digest = content_digest(self._fd, header.file_length)
        os.pwrite(self._fd, digest, DIGEST_AT)
        os.fsync(self._fd)
        self.path.rename(self._final_path)
        sync_directory(self._final_path.parent)
        self.close()
        return Manifest.open(self._final_path, snapshot_id=header.snapshot, size=header.size)

    def discard(self) -> None:
        """Remove the file: its snapshot was given up. Closes."""
        self.path.unlink(missing_ok=True)
        self.close()


def open_partial(
    path: str | os.PathLike[str], *, snapshot_id: str, size: int, parent: Manifest | None
) -> PartialManifest:
    """The partial manifest of `snapshot_id`, resumed where a valid one is found beside `path`, else begun.

    `path` is where `finish` will put the final one; if `Manifest.open(path, snapshot_id=...)` finds it there, the
    snapshot is finished and there is nothing to resume. `parent` is the manifest of the parent snapshot, None without
    a parent; it must stay open as long as this one. A partial manifest of something else, or a damaged one, is
    replaced: its blocks are sent again. Raises ManifestBusy while another process has it open, ManifestInvalid if the
    parent's disk is larger than `size`, OSError.
    """
    final_path = Path(path)
    partial_path = final_path.with_name(final_path.name + ".partial")
    if parent is not None and parent.size > size:
        reason = f"its disk of {parent.size} bytes has shrunk to {size}; a shrunk disk begins a chain of its own"
        raise ManifestInvalid(path=str(parent.path), reason=reason)
    fresh = Header(
        size=size,
        snapshot=snapshot_id,
        parent=None if parent is None else parent.snapshot_id,
        state=State.PARTIAL,
        boot=boot_id(),
    )
    fd = _open_locked(partial_path)
    try:
        found = _resumable(fd, fresh)
        if found is not None:
            header, written = found
        else:
            header, written = fresh, BlockSet(fresh.blocks)
            _begin(fd, header, parent)
            sync_directory(partial_path.parent)
    except BaseException:
        os.close(fd)
        raise
    return PartialManifest(partial_path, fd, header, written, parent, final_path)


def _open_locked(path: Path) -> int:
    while True:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.path.samestat(os.fstat(fd), path.stat()):
                return fd
        except BlockingIOError:
            os.close(fd)
            raise ManifestBusy(path=str(path)) from None
        except FileNotFoundError:
            pass
        os.close(fd)  # finished or discarded by another process between the open and the lock: not ours to touch


def _resumable(fd: int, fresh: Header) -> tuple[Header, BlockSet] | None:
    """The header and bitmap of the file if it is a partial manifest of the same snapshot, else None."""
    try:
        header = Header.unpack(os.pread(fd, HEADER_SIZE, 0))
    except BadHeader:
        return None
    if (header.size, header.snapshot, header.parent) != (fresh.size, fresh.snapshot, fresh.parent):
        return None
    if os.fstat(fd).st_size != header.file_length:
        return None
    written = BlockSet(header.blocks, os.pread(fd, header.bitmap_length, header.bitmap_at))
    if header.state is State.FINAL:  # killed within finish(): every block was done
        return replace(header, state=State.PARTIAL, watermark=header.blocks), written
    if header.boot != fresh.boot:
        written.discard_from(header.watermark)
        os.pwrite(fd, bytes(written.bits), header.bitmap_at)
        os.fdatasync(fd)  # before this boot vouches for the bitmap
        os.pwrite(fd, *progress_record(header.watermark, fresh.boot))
    return header, written


def _begin(fd: int, header: Header, parent: Manifest | None) -> None:
    """Lay the file out: sparse, the parent's digests in place, the header last so that it vouches for the rest."""
    os.ftruncate(fd, 0)
    os.ftruncate(fd, header.file_length)
    if parent is not None:
        parent.copy_digests(fd)
    os.fsync(fd)
    os.pwrite(fd, header.pack(), 0)
    os.fsync(fd)
