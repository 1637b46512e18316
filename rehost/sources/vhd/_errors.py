"""What can be wrong with a virtual disk's file. Each is one of `rehost.sources`' own errors, so that none needs translating.

SourceError
├── DiskUnsuitable
│   ├── NotAVirtualDisk   neither a VHDX nor a VHD
│   ├── DiskDamaged       its structures contradict the format or each other
│   ├── FeatureUnknown    it says that who does not know this must not read it
│   └── ParentUnsuitable  the parent is there, but is another than the one this disk was made from
├── DiskMissing
│   └── ParentMissing     no name that the disk gives its parent leads to a file
├── SourceChanged
│   └── ChainChanged      a file of the chain was written to since it was opened     (a new run may succeed)
└── ReadFailed
    └── FileReadFailed    the file could not be read just now                       (retryable)
"""

from __future__ import annotations

from rehost.sources._errors import DiskMissing, DiskUnsuitable, ReadFailed, SourceChanged


class NotAVirtualDisk(DiskUnsuitable):
    """Attributes: `path`, `reason`."""

    template = "{path} is not a virtual disk: {reason}"


class DiskDamaged(DiskUnsuitable):
    """Attributes: `path`, `where` (the structure, with its byte offset where it has one), `reason`."""

    template = "the disk {path} is damaged: {where}: {reason}; have Hyper-V check it (Test-VHD), or convert it to a new file (Convert-VHD)"


class FeatureUnknown(DiskUnsuitable):
    """Attributes: `path`, `reason`."""

    template = "the disk {path} cannot be read: {reason}; convert it to a new file (Convert-VHD)"


class ParentUnsuitable(DiskUnsuitable):
    """Attributes: `path`, `parent` (its path), `reason`."""

    template = (
        "the disk {path} cannot be read with its parent {parent}: {reason}; "
        "put the parent back, or merge the chain with Hyper-V (Merge-VHD, Set-VHD -ParentPath)"
    )


class ParentMissing(DiskMissing):
    """Attributes: `path` (the child), `tried` (names, as text)."""

    template = (
        "the parent of the disk {path} is not found; tried {tried}; put it back, or point to it (Set-VHD -ParentPath)"
    )


class ChainChanged(SourceChanged):
    """Attributes as SourceChanged."""


class FileReadFailed(ReadFailed):
    """Attributes as ReadFailed; `disk` is the file's path."""
