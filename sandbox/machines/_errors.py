"""What can go wrong while a machine's disk is made.

MachineError
├── ToolMissing           a program is not installed
├── ToolFailed            a program refused
├── PackageUnavailable    a Debian package cannot be had here
└── NoSuchFileSystem      a disk has no Linux partition to write into
"""

from __future__ import annotations

from rehost.errors import RehostError


class MachineError(RehostError):
    """The root of this package's errors."""


class ToolMissing(MachineError):
    template = "{tool} is not installed; Debian has it in the package {package}"


class ToolFailed(MachineError):
    template = "{tool} failed on {subject}: {detail}"


class PackageUnavailable(MachineError):
    """`retryable`: the mirror may only have been out of reach."""

    template = "the Debian package {package} cannot be had: {detail}"
    retryable = True


class NoSuchFileSystem(MachineError):
    template = "{disk} has no Linux partition with an ext4 file system in it"
