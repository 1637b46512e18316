"""One image file: is it a disk that can be replicated, and in which format is it written?"""

from __future__ import annotations

import os
import stat
from pathlib import Path

from rehost.sources._errors import DiskMissing, DiskUnreadable, DiskUnsuitable

SECTOR = 512
MAX_SIZE = 64 << 40  # bytes; StartSnapshot takes up to 65,536 GiB

_VHD_FOOTER = 512

#: Bytes at an offset -> the format that has them there. A raw disk begins with boot code or a partition table, which
#: none of these is.
_MAGIC: tuple[tuple[int, bytes, str], ...] = (
    (0, b"QFI\xfb", "qcow2"),
    (0, b"QED\0", "qed"),
    (0, b"KDMV", "vmdk"),
    (0, b"COWD", "vmdk"),
    (0, b"# Disk DescriptorFile", "vmdk"),
    (0, b"vhdxfile", "vhdx"),
    (0, b"conectix", "vhd"),
    (0x40, b"\x7f\x10\xda\xbe", "vdi"),
    (0, b"WithoutFreeSpace", "parallels"),
    (0, b"WithouFreSpacExt", "parallels"),
    (0, b"\x1f\x8b\x08", "gzip"),
    (0, b"\xfd7zXZ\0", "xz"),
    (0, b"\x28\xb5\x2f\xfd", "zstd"),
    (0, b"PK\x03\x04", "zip"),
)
_UNREAD = ("qed", "parallels")
_COMPRESSED = ("gzip", "xz", "zstd", "zip")


def open_disk(path: Path) -> int:
    """A descriptor of the file at `path`, for reading. Raises DiskMissing, DiskUnreadable, DiskUnsuitable.

    `path` is resolved: it has no symbolic links.
    """
    try:
        _check_kind(path, path.lstat().st_mode)  # before opening: to open a FIFO or a device can have effects
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except (FileNotFoundError, NotADirectoryError):
        raise DiskMissing(path=str(path)) from None
    except PermissionError:
        reason = (
            f"permission denied to uid {os.geteuid()}; give it read access (and search access to the folders above)"
        )
        raise DiskUnreadable(path=str(path), reason=reason) from None
    except OSError as error:
        raise DiskUnreadable(path=str(path), reason=error.strerror) from error
    try:
        _check_kind(path, os.fstat(fd).st_mode)
    except BaseException:
        os.close(fd)
        raise
    return fd


def _check_kind(path: Path, mode: int) -> None:
    if stat.S_ISREG(mode):
        return
    kinds = {
        stat.S_IFDIR: "it is a folder; name the files in it",
        stat.S_IFIFO: "it is a FIFO, not a file",
        stat.S_IFBLK: "it is a block device; copy it into a file first",
        stat.S_IFCHR: "it is a character device, not a file",
        stat.S_IFSOCK: "it is a socket, not a file",
        stat.S_IFLNK: "it became a symbolic link just now",
    }
    raise DiskUnsuitable(path=str(path), reason=kinds.get(stat.S_IFMT(mode), "it is not a regular file"))


def detect_format(fd: int, start: int = 0) -> str:
    """The format by its magic bytes, whatever the file is called; `raw` if there are none. It begins at byte `start`."""
    size = os.fstat(fd).st_size
    head = os.pread(fd, 4096, start)
    for offset, magic, name in _MAGIC:
        if head[offset : offset + len(magic)] == magic:
            return name
    # A VHD of fixed size is the raw disk with a footer behind it.
    if size > _VHD_FOOTER and os.pread(fd, 8, size - _VHD_FOOTER) == b"conectix":
        return "vhd"
    return "raw"


def check_suitable(path: Path, size: int, form: str) -> None:
    """Raise DiskUnsuitable unless a disk of this size and format can become an EBS snapshot."""
    if form in _COMPRESSED:
        reason = f"it is compressed ({form}); unpack it first"
        raise DiskUnsuitable(path=str(path), reason=reason)
    if form in _UNREAD:
        reason = f"it is in {form} format, which is not read; convert it: qemu-img convert -O raw"
        raise DiskUnsuitable(path=str(path), reason=reason)
    if size == 0:
        raise DiskUnsuitable(path=str(path), reason="it is empty; a disk has at least one sector of 512 bytes")
    if size % SECTOR:
        reason = f"its size of {size} bytes is not a multiple of 512; pad it with zeros: truncate -s %512 {path.name}"
        raise DiskUnsuitable(path=str(path), reason=reason)
    if size > MAX_SIZE:
        reason = f"its size of {size} bytes is above 64 TiB, the largest EBS volume"
        raise DiskUnsuitable(path=str(path), reason=reason)
