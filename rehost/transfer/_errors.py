"""What can go wrong while blocks move.

    TransferError
    ├── ManifestInvalid      a manifest is missing, damaged, or of another snapshot or disk: never trusted
    ├── ManifestBusy         another process is writing the same partial manifest
    ├── CopyStopped          the caller asked for a stop; the copy resumes where it was
    ├── BlockFailed          names disk, block and offset
    │   ├── BlockReadFailed
    │   ├── BlockSendFailed
    │   ├── BlockWriteFailed   into a file that is restored
    │   └── BlockRecordFailed
    └── BadHeader            (internal, `_header.py`) becomes ManifestInvalid where the path is known

A `BlockFailed` carries what the source, the sink or the file system raised as its `__cause__`.
"""

from __future__ import annotations

from typing import Self

from rehost.blocks import BLOCK_SIZE
from rehost.errors import RehostError


class TransferError(RehostError):
    """The root of this package's errors."""


class ManifestInvalid(TransferError):
    """Attributes: `path`, `reason`. Retrying does not help; a run without the manifest does."""

    template = "the manifest {path} is not trusted: {reason}; without it the whole disk is read again"


class ManifestBusy(TransferError):
    """Attributes: `path`. Retrying helps once the other process has ended."""

    template = "the manifest {path} is being written by another process; wait until that connector has stopped"
    retryable = True


class CopyStopped(TransferError):
    """Attributes: `disk`, `watermark` (blocks below it are done and recorded). The same copy can be resumed."""

    template = "the copy of disk {disk} was stopped at block {watermark}; it resumes there"
    retryable = True


class BlockFailed(TransferError):
    """Attributes: `disk`, `index`, `offset` (bytes), `detail`. A resumed copy tries the block again."""

    template = "disk {disk}: block {index} at byte {offset} failed: {detail}"
    retryable = True

    @classmethod
    def at(cls, disk: str, index: int, cause: object) -> Self:
        """The error of block `index`, said in the words of its cause."""
        detail = str(cause) or type(cause).__name__
        return cls(disk=disk, index=index, offset=index * BLOCK_SIZE, detail=detail)


class BlockReadFailed(BlockFailed):
    template = "disk {disk}: block {index} at byte {offset} could not be read: {detail}"


class BlockSendFailed(BlockFailed):
    template = "disk {disk}: block {index} at byte {offset} could not be sent: {detail}"


class BlockWriteFailed(BlockFailed):
    template = "disk {disk}: block {index} at byte {offset} could not be written: {detail}"


class BlockRecordFailed(BlockFailed):
    template = "disk {disk}: block {index} at byte {offset} was sent but not recorded in the manifest: {detail}"
