"""The demo's machines: disks that really boot, made without root.

`build` makes two servers as they might stand in a data centre: `web-01`, one disk, and `db-01`, a root and a data disk.
Their kernel and their tools come out of Debian packages; where those cannot be had, the disks hold the same ext4 file
systems and `Machines.bootable` is false, with the reason. `write_file` changes a file on a disk as its own guest would. `make_live` and `LiveGuest` are a machine that writes
all the while, in a way that tells afterwards whether a copy of its disks is of one moment.
"""

from __future__ import annotations

from sandbox.machines._accelerator import accelerator
from sandbox.machines._build import Disk, Machine, Machines, build
from sandbox.machines._errors import MachineError, NoSuchFileSystem, PackageUnavailable, ToolFailed, ToolMissing
from sandbox.machines._ext4 import write_file
from sandbox.machines._guest import CONSOLE_PREFIX, MESSAGE_PATH
from sandbox.machines._live import GuestEnded, LiveGuest, Records, RecordsDamaged, check_disks, make_live
from sandbox.machines._network import LOOPBACK, Card, door, open_door, shut_door
from sandbox.machines._shop import SHOP, SHOP_NETWORK, VERSION_PATH, Tier, build_shop

__all__ = [
    "CONSOLE_PREFIX",
    "LOOPBACK",
    "MESSAGE_PATH",
    "SHOP",
    "SHOP_NETWORK",
    "VERSION_PATH",
    "Card",
    "Disk",
    "GuestEnded",
    "LiveGuest",
    "Machine",
    "MachineError",
    "Machines",
    "NoSuchFileSystem",
    "PackageUnavailable",
    "Records",
    "RecordsDamaged",
    "Tier",
    "ToolFailed",
    "ToolMissing",
    "accelerator",
    "build",
    "build_shop",
    "check_disks",
    "door",
    "make_live",
    "open_door",
    "shut_door",
    "write_file",
]
