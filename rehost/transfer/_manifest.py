"""The manifest of a finished snapshot: the SHA-256 of each block of a disk, and which blocks the snapshot itself wrote.

Layout of the file: the header page (`_header.py`); 32 bytes a block, all zero for a block that is zero and that no
snapshot of the chain ever wrote; a bitmap of the blocks that this snapshot wrote. A disk of 16 TiB: 1 GiB.

Digests are read with `pread`, not through a memory map. Both go through the page cache, and a call of about a
microsecond is nothing beside the 512 KiB it saves; but a mapped file that is truncated, or sparse on a disk that fills
up, kills the process with SIGBUS where a call returns an error, and mapped pages count as resident memory.
"""

from __future__ import annotations

import base64
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

from rehost.blocks import BLOCK_SIZE
from rehost.transfer._blockset import BlockSet
from rehost.transfer._errors import ManifestInvalid
from rehost.transfer._files import copy_range, data_chunks
from rehost.transfer._header import DIGEST_AT, DIGEST_SIZE, HEADER_SIZE, BadHeader, Header, State

ZERO_BLOCK = bytes(BLOCK_SIZE)
ZERO_DIGEST = hashlib.sha256(ZERO_BLOCK).digest()

#: Stands for a block that is zero because nothing in the chain of snapshots ever wrote it.
NEVER_WRITTEN = bytes(DIGEST_SIZE)

#: Stands for a block that holds something, nobody knows what: the digest of no block that anyone will ever see.
UNKNOWN_DIGEST = b"\xff" * DIGEST_SIZE

_CHUNK = 64 * 1024


class DigestFile:
    """What a final and a partial manifest share: an open file and its header."""

    def __init__(self, path: Path, fd: int, header: Header, written: BlockSet) -> None:
        self.path = path
        self._fd = fd
        self._header = header
        self._written = written

    @property
    def size(self) -> int:
        """Bytes of the disk."""
        return self._header.size

    @property
    def block_count(self) -> int:
        return self._header.blocks

    @property
    def snapshot_id(self) -> str:
        return self._header.snapshot

    @property
    def parent_id(self) -> str | None:
        return self._header.parent

    @property
    def written_count(self) -> int:
        """How many blocks this snapshot itself holds: `ChangedBlocksCount` of EBS CompleteSnapshot."""
        return len(self._written)

    def written(self, index: int) -> bool:
        """Whether this snapshot itself holds block `index`."""
        return index in self._written

    def written_blocks(self) -> Iterator[int]:
        return iter(self._written)

    def digest(self, index: int) -> bytes:
        """The raw SHA-256 of block `index`, or NEVER_WRITTEN."""
        if not 0 <= index < self.block_count:
            raise IndexError(index)
        return os.pread(self._fd, DIGEST_SIZE, HEADER_SIZE + index * DIGEST_SIZE)

    def is_zero(self, index: int) -> bool:
        """Whether block `index` reads as zeros."""
        return self.digest(index) in (NEVER_WRITTEN, ZERO_DIGEST)

    def data_blocks(self) -> Iterator[int]:
        """The blocks that do not read as zeros, ascending."""
        zero = (NEVER_WRITTEN, ZERO_DIGEST)
        for at, chunk in data_chunks(self._fd, HEADER_SIZE, HEADER_SIZE + self._header.digests_length):
            first = (at - HEADER_SIZE) // DIGEST_SIZE
            for i in range(0, len(chunk), DIGEST_SIZE):
                if chunk[i : i + DIGEST_SIZE] not in zero:
                    yield first + i // DIGEST_SIZE

    def linear_checksum(self) -> str:
        """The aggregate that CompleteSnapshot takes with ChecksumAggregationMethod LINEAR.

        Base64 of the SHA-256 of the raw digests of the blocks this snapshot wrote, joined in ascending order.
        """
        total = hashlib.sha256()
        for start, stop in self._written.runs():
            end = HEADER_SIZE + stop * DIGEST_SIZE
            for at in range(HEADER_SIZE + start * DIGEST_SIZE, end, _CHUNK):
                total.update(os.pread(self._fd, min(_CHUNK, end - at), at))
        return base64.b64encode(total.digest()).decode()

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


class Manifest(DigestFile):
    """Read-only. Thread-safe. `PartialManifest.finish` makes the file."""

    @classmethod
    def open(cls, path: str | os.PathLike[str], *, snapshot_id: str, size: int | None = None) -> Manifest:
        """The manifest of `snapshot_id`, whose disk has `size` bytes (None: whatever size it says).

        Reads it once to check it. Raises ManifestInvalid if it is missing, truncated, altered, or of something else.
        """
        path = Path(path)
        try:
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise ManifestInvalid(path=str(path), reason=f"it cannot be opened: {error.strerror}") from error
        try:
            header = _checked_header(fd, path, snapshot_id, size)
            written = BlockSet(header.blocks, os.pread(fd, header.bitmap_length, header.bitmap_at))
        except BaseException:
            os.close(fd)
            raise
        return cls(path, fd, header, written)

    def copy_digests(self, target: int) -> None:
        """Copy the table of digests to the same place of the file `target`, which has a hole there."""
        copy_range(self._fd, target, HEADER_SIZE, HEADER_SIZE + self._header.digests_length)


def _checked_header(fd: int, path: Path, snapshot_id: str, size: int | None) -> Header:
    try:
        header = Header.unpack(os.pread(fd, HEADER_SIZE, 0))
        reason = _distrust(fd, header, snapshot_id, size)
    except BadHeader as error:
        raise ManifestInvalid(path=str(path), reason=error.reason) from None
    except OSError as error:
        raise ManifestInvalid(path=str(path), reason=f"it cannot be read: {error.strerror}") from error
    if reason is not None:
        raise ManifestInvalid(path=str(path), reason=reason)
    return header


def _distrust(fd: int, header: Header, snapshot_id: str, size: int | None) -> str | None:
    """Why a manifest with this header is not the one that was asked for, or None."""
    if header.state is not State.FINAL:
        return "its snapshot was not complete when it was written"
    # The digest comes before what the header says, so that a flipped bit is told from a manifest of something else.
    if os.fstat(fd).st_size != header.file_length or content_digest(fd, header.file_length) != header.digest:
        return "it is damaged or truncated"
    if header.snapshot != snapshot_id:
        return f"it is of snapshot {header.snapshot}, not of {snapshot_id}"
    if size is not None and header.size != size:
        return f"it is of a disk of {header.size} bytes, not of {size}"
    return None


def content_digest(fd: int, length: int) -> bytes:
    """The SHA-256 that guards a final manifest of `length` bytes, whose own place in the header is left out.

    Chunks of zeros count only through the offsets of the others, so that a sparse manifest costs what is in it.
    """
    total = hashlib.sha256(os.pread(fd, DIGEST_AT, 0))
    for at, chunk in data_chunks(fd, HEADER_SIZE, length):
        total.update(at.to_bytes(8, "little"))
        total.update(chunk)
    return total.digest()
