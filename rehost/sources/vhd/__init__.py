"""Reads virtual disks of Hyper-V: VHDX and VHD, fixed, dynamic, and chains of differencing files.

Sources: [MS-VHDX] v20240423 and Microsoft's "Virtual Hard Disk Image Format Specification" 1.0. Files are only read; the log
of a VHDX that was not closed is replayed in memory. What a file says is checked before it is believed, and memory is bounded
(about 32 MB), whatever it says.
"""

from rehost.sources.vhd._chain import VirtualDisk, open_disk
from rehost.sources.vhd._crc32c import crc32c
from rehost.sources.vhd._errors import (
    ChainChanged,
    DiskDamaged,
    FeatureUnknown,
    FileReadFailed,
    NotAVirtualDisk,
    ParentMissing,
    ParentUnsuitable,
)
from rehost.sources.vhd._files import ByteSource, Files, LocalFile, LocalFiles

__all__ = [
    "ByteSource",
    "ChainChanged",
    "DiskDamaged",
    "FeatureUnknown",
    "FileReadFailed",
    "Files",
    "LocalFile",
    "LocalFiles",
    "NotAVirtualDisk",
    "ParentMissing",
    "ParentUnsuitable",
    "VirtualDisk",
    "crc32c",
    "open_disk",
]
