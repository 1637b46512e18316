"""Which files a disk image consists of, and how QEMU is told to open exactly those.

An image names other files: what it is a change of (its backing file), the extents that hold its data. QEMU would follow such
a name anywhere: to a password file, to a server on the network. So the names are read here, may only lead to files in the
source's folder, and QEMU gets the whole chain spelled out, with the format of each layer, and has no name left to follow.
"""

from __future__ import annotations

import json
import os
import re
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rehost.sources._errors import DiskUnsuitable
from rehost.sources._image_file import detect_format, open_disk
from rehost.sources._vmdk import VmdkUnsuitable, read_descriptor

#: Formats that are read through QEMU, and what QEMU calls them.
DRIVERS: Mapping[str, str] = {"qcow2": "qcow2", "vmdk": "vmdk", "vhd": "vpc", "vhdx": "vhdx", "vdi": "vdi"}

_MAX_LAYERS = 64
_QCOW2_DATA_FILE = 1 << 2  # of the incompatible features
_VHD_DIFFERENCING = 4


@dataclass(frozen=True)
class Stretch:
    """Where an image lies in another file (a member of an OVA)."""

    offset: int  # bytes
    size: int


@dataclass(frozen=True)
class Layers:
    format: str  # of the topmost one
    files: tuple[Path, ...]  # all there are, resolved, the topmost first
    node: Mapping[str, Any]  # QEMU's `blockdev` tree

    @property
    def filename(self) -> str:
        """What qemu-img and qemu-nbd take for a file name."""
        return "json:" + json.dumps(self.node)


def layers_of(path: Path, root: Path, stretch: Stretch | None = None) -> Layers:
    """What the image at `path` consists of. Raises DiskUnsuitable, DiskMissing, DiskUnreadable."""
    return _Walk(root).image(path, stretch)


class _Walk:
    def __init__(self, root: Path) -> None:
        self._root = root
        self._seen: list[Path] = []

    def image(self, path: Path, stretch: Stretch | None = None) -> Layers:
        if path in self._seen or len(self._seen) >= _MAX_LAYERS:
            raise DiskUnsuitable(path=str(path), reason="its chain of backing files goes in a circle, or is too long")
        self._seen.append(path)
        fd = open_disk(path)
        try:
            start = stretch.offset if stretch else 0
            form = detect_format(fd, start)
            if form not in DRIVERS and form != "raw":
                raise DiskUnsuitable(path=str(path), reason=f"it is in {form} format, which is not read; convert it")
            backing, parts = _NAMES[form](path, fd, start)
        finally:
            os.close(fd)
        file: dict[str, Any] = {"driver": "file", "filename": str(path)}
        if stretch is not None:
            file = {"driver": "raw", "offset": stretch.offset, "size": stretch.size, "file": file}
        node: dict[str, Any] = {"driver": DRIVERS.get(form, "raw"), "file": file}
        files = [path, *(self._follow(path, part) for part in parts)]
        if backing is not None:
            below = self.image(self._follow(path, backing))
            node["backing"] = below.node
            files += below.files
        elif form == "qcow2":
            node["backing"] = None
        return Layers(form, tuple(files), node)

    def _follow(self, image: Path, name: str) -> Path:
        """The file that a name in an image means."""
        if re.match(r"[^/]*:", name):
            reason = f"it names {name!r}, which is no file beside it; flatten it: qemu-img convert"
            raise DiskUnsuitable(path=str(image), reason=reason)
        found = Path(os.path.realpath(image.parent / name))
        if not found.is_relative_to(self._root):
            reason = f"it names {name!r}, which leads out of the source's folder {self._root}; put that file there, or flatten it"
            raise DiskUnsuitable(path=str(image), reason=reason)
        os.close(open_disk(found))
        return found


_Names = tuple[str | None, tuple[str, ...]]  # (the backing file, other files), as they stand in the image


def _no_names(_path: Path, _fd: int, _start: int) -> _Names:
    return None, ()


def _qcow2(path: Path, fd: int, start: int) -> _Names:
    head = os.pread(fd, 104, start)
    if len(head) < 72:
        raise DiskUnsuitable(path=str(path), reason="it is cut off within its header; copy it again")
    version, offset, length = struct.unpack_from(">IQI", head, 4)
    features = struct.unpack_from(">Q", head, 72)[0] if version >= 3 and len(head) >= 80 else 0
    if features & _QCOW2_DATA_FILE:
        raise DiskUnsuitable(path=str(path), reason="its data lies in another file; make it whole: qemu-img convert")
    if struct.unpack_from(">I", head, 32)[0]:
        raise DiskUnsuitable(path=str(path), reason="it is encrypted; decrypt it: qemu-img convert")
    if not offset:
        return None, ()
    if length > 1023:
        raise DiskUnsuitable(path=str(path), reason="the name of its backing file is too long to be one")
    return os.pread(fd, length, start + offset).decode("utf-8", "surrogateescape"), ()


def _vmdk(path: Path, fd: int, start: int) -> _Names:
    try:
        descriptor = read_descriptor(fd, start)
    except VmdkUnsuitable as error:
        raise DiskUnsuitable(path=str(path), reason=str(error)) from None
    return descriptor.parent, descriptor.extents


def _vhd(path: Path, fd: int, start: int) -> _Names:
    if start == 0 and os.pread(fd, 8, 0) != b"conectix":  # fixed size: the footer alone
        start = os.fstat(fd).st_size - 512
    # QEMU would read a differencing disk as if it were whole.
    if struct.unpack(">I", os.pread(fd, 4, start + 60).rjust(4, b"\0"))[0] == _VHD_DIFFERENCING:
        reason = "it is a differencing disk; merge it into its parent (Merge-VHD) first"
        raise DiskUnsuitable(path=str(path), reason=reason)
    return None, ()


_NAMES: Mapping[str, Callable[[Path, int, int], _Names]] = {
    "raw": _no_names,
    "qcow2": _qcow2,
    "vmdk": _vmdk,
    "vhd": _vhd,
    "vhdx": _no_names,  # QEMU refuses one with a parent
    "vdi": _no_names,  # likewise
}
