"""VMware's disks: the text descriptor, alone or at the start of a sparse file, which names the files that hold the data.

Source: "Virtual Disk Format 5.0" by VMware. QEMU follows the names in a descriptor wherever they lead, so they are read here
first, and none that leads away is let through.
"""

from __future__ import annotations

import os
import re
import struct
from dataclasses import dataclass

_SECTOR = 512
_MAX_DESCRIPTOR = 1 << 20  # bytes; QEMU takes as many
_MAX_EXTENTS = 4096  # a split disk has one for each 2 GiB
_EXTENT = re.compile(r'^(RW|RDONLY|NOACCESS)\s+(\d+)\s+(\w+)(?:\s+"([^"]*)")?', re.IGNORECASE)
_SETTING = re.compile(r'^\s*([\w.]+)\s*=\s*"?([^"]*)"?\s*$')
_NO_PARENT = "ffffffff"


class VmdkUnsuitable(ValueError):
    """The message is for a person."""


@dataclass(frozen=True)
class Descriptor:
    extents: tuple[str, ...]  # names of the files with the data, as they stand there
    parent: str | None  # the name of the disk that this one is a change of


def read_descriptor(fd: int, offset: int = 0) -> Descriptor:
    """The descriptor of the VMDK that begins at `offset` of the file. Raises VmdkUnsuitable."""
    head = os.pread(fd, 64, offset)
    if head.startswith(b"COWD"):
        raise VmdkUnsuitable("it is a COWD disk of ESX 2; convert it with vmkfstools or qemu-img")
    if not head.startswith(b"KDMV"):
        return _parse(os.pread(fd, _MAX_DESCRIPTOR + 1, offset))
    # SparseExtentHeader: magic, version, flags, capacity, grainSize, descriptorOffset, descriptorSize (in sectors), ...
    _magic, _version, _flags, _capacity, _grain, start, sectors = struct.unpack_from("<IIIQQQQ", head)
    if not start:
        return Descriptor((), None)  # an extent of another disk, or one that needs no words
    if sectors * _SECTOR > _MAX_DESCRIPTOR:
        raise VmdkUnsuitable("its descriptor is too long to be one")
    found = _parse(os.pread(fd, sectors * _SECTOR, offset + start * _SECTOR))
    # It names itself as its one extent: that is this file, under whatever name it once had.
    return Descriptor(found.extents if len(found.extents) > 1 else (), found.parent)


def _parse(data: bytes) -> Descriptor:
    if len(data) > _MAX_DESCRIPTOR:
        raise VmdkUnsuitable("its descriptor is too long to be one")
    extents: list[str] = []
    settings: dict[str, str] = {}
    for line in data.split(b"\0", 1)[0].decode("utf-8", "replace").splitlines():
        if extent := _EXTENT.match(line):
            kind, name = extent[3].upper(), extent[4]
            if kind == "ZERO":
                continue
            if kind not in ("FLAT", "SPARSE", "VMFS", "VMFSSPARSE", "SESPARSE") or not name:
                raise VmdkUnsuitable(f"it has an extent of type {kind}, which lies on no file")
            extents.append(name)
        elif setting := _SETTING.match(line):
            settings[setting[1].lower()] = setting[2].strip()
    if len(extents) > _MAX_EXTENTS:
        raise VmdkUnsuitable(f"it has {len(extents)} extents; {_MAX_EXTENTS} are the most")
    has_parent = settings.get("parentcid", _NO_PARENT).lower() != _NO_PARENT
    parent = settings.get("parentfilenamehint") if has_parent else None
    if has_parent and not parent:
        raise VmdkUnsuitable("it is a change of another disk and does not say of which")
    return Descriptor(tuple(extents), parent)
