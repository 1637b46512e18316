"""The footer of a fixed VHD, which ends the page blob behind each of Azure's disks (Virtual Hard Disk Image Format Specification 1.0)."""

from __future__ import annotations

FOOTER = 512  # bytes
_COOKIE = b"conectix"


def disk_size(blob_size: int, tail: bytes) -> int:
    """Bytes of the disk in a blob that ends with `tail`, 512 bytes. Raises ValueError where it is no VHD."""
    size = blob_size - FOOTER
    if len(tail) != FOOTER or not tail.startswith(_COOKIE):
        raise ValueError("its last 512 bytes are no footer of a VHD")
    if size <= 0 or size % 512:
        raise ValueError(f"{size} bytes stand before its footer, which are no whole sectors")
    return size
