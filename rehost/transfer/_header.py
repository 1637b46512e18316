"""The first page of a manifest: what it describes, how far it is, and the digest that guards it.

byte 0     magic, version (u32), length of the JSON (u32), the JSON: size, blocks, snapshot, parent, state
     2048  watermark (u64) and boot id (36 characters): only while the manifest is partial, zeros in a final one
     4064  SHA-256: of bytes 0..2048 while partial, of everything (see `_manifest.content_digest`) when final
"""

from __future__ import annotations

import hashlib
import json
import struct
from dataclasses import dataclass, replace
from enum import StrEnum

from rehost.blocks import BLOCK_SIZE, block_count
from rehost.transfer._errors import TransferError

HEADER_SIZE = 4096
DIGEST_SIZE = 32
DIGEST_AT = HEADER_SIZE - DIGEST_SIZE

_MAGIC = b"rehost-manifest\0"
_VERSION = 1
_PREFIX = struct.Struct("<16sII")
_PROGRESS = struct.Struct("<Q36s")
_PROGRESS_AT = 2048


class State(StrEnum):
    PARTIAL = "partial"
    FINAL = "final"


class BadHeader(TransferError):
    """The page is not a manifest's header. Attribute: `reason`. Seen outside only as ManifestInvalid."""

    template = "{reason}"


def _padded(length: int) -> int:
    return -(-length // HEADER_SIZE) * HEADER_SIZE


@dataclass(frozen=True, slots=True)
class Header:
    """`size` is the disk's in bytes; `parent` is the snapshot this one is a child of, or None."""

    size: int
    snapshot: str
    parent: str | None
    state: State
    watermark: int = 0
    boot: str = ""
    digest: bytes = bytes(DIGEST_SIZE)

    @property
    def blocks(self) -> int:
        return block_count(self.size)

    @property
    def digests_length(self) -> int:
        """Bytes of the table of digests, which begins right after the header."""
        return _padded(self.blocks * DIGEST_SIZE)

    @property
    def bitmap_at(self) -> int:
        return HEADER_SIZE + self.digests_length

    @property
    def bitmap_length(self) -> int:
        return -(-self.blocks // 8)

    @property
    def file_length(self) -> int:
        return self.bitmap_at + _padded(self.bitmap_length)

    def pack(self) -> bytes:
        """The page; the digest of a partial header is computed, that of a final one is what `digest` holds."""
        text = json.dumps(
            {
                "block_size": BLOCK_SIZE,
                "blocks": self.blocks,
                "parent": self.parent,
                "size": self.size,
                "snapshot": self.snapshot,
                "state": self.state,
            }
        ).encode()
        if _PREFIX.size + len(text) > _PROGRESS_AT:
            raise BadHeader(reason="the snapshot ids are too long for its header")
        page = bytearray(HEADER_SIZE)
        _PREFIX.pack_into(page, 0, _MAGIC, _VERSION, len(text))
        page[_PREFIX.size : _PREFIX.size + len(text)] = text
        if self.state is State.PARTIAL:
            _PROGRESS.pack_into(page, _PROGRESS_AT, self.watermark, self.boot.encode())
            page[DIGEST_AT:] = hashlib.sha256(page[:_PROGRESS_AT]).digest()
        else:
            page[DIGEST_AT:] = self.digest
        return bytes(page)

    @classmethod
    def unpack(cls, page: bytes) -> Header:
        """The header in `page`. Raises BadHeader. The digest of a final manifest is not checked here."""
        if len(page) < HEADER_SIZE:
            raise BadHeader(reason="it is truncated")
        magic, version, length = _PREFIX.unpack_from(page)
        if magic != _MAGIC:
            raise BadHeader(reason="it is not a manifest of rehost")
        if version != _VERSION:
            raise BadHeader(reason=f"it is of version {version}, this program reads version {_VERSION}")
        try:
            fields = json.loads(page[_PREFIX.size : _PREFIX.size + length])
            header = cls(
                size=int(fields["size"]),
                snapshot=str(fields["snapshot"]),
                parent=None if fields["parent"] is None else str(fields["parent"]),
                state=State(fields["state"]),
                digest=page[DIGEST_AT:HEADER_SIZE],
            )
        except (ValueError, KeyError, TypeError):
            raise BadHeader(reason="its header is damaged") from None
        if header.state is State.FINAL:
            return header
        if hashlib.sha256(page[:_PROGRESS_AT]).digest() != header.digest:
            raise BadHeader(reason="its header is damaged")
        watermark, boot = _PROGRESS.unpack_from(page, _PROGRESS_AT)
        return replace(header, watermark=watermark, boot=boot.rstrip(b"\0").decode("ascii", "replace"))


def progress_record(watermark: int, boot: str) -> tuple[bytes, int]:
    """The bytes that say how far a partial manifest is, and where they go."""
    return _PROGRESS.pack(watermark, boot.encode()), _PROGRESS_AT
