"""Which kind of point in time a machine gets. Pure.

Azure has two: incremental snapshots of single disks, and restore points of all of a machine's disks at once. Differences are told
between two snapshots of a disk, and between two restore points of it (both have a family id, in which Get Page Range Diff works:
Snapshots - Get, Disk Restore Point - Get); that both are of one family is not said, so a machine keeps to one kind as far as it can.
"""

from __future__ import annotations

from enum import StrEnum

from rehost.sources._protocol import Quiesce
from rehost.sources.azure._records import DIRECT, MachineRecord


class Way(StrEnum):
    SNAPSHOTS = "snapshots"  # of one disk; or of several, of a machine that is off
    APPLICATION = "application"  # a restore point, for which the agent freezes file systems
    CRASH = "crash"  # a restore point without that: all disks in the order of their writes


def crash_possible(machine: MachineRecord) -> bool:
    """concepts-restore-points: sizes with premium storage, no Ultra or Premium SSD v2 disks, no confidential machines."""
    direct = any(disk.sku in DIRECT for disk in machine.disks)
    return machine.size.premium and not direct and machine.security != "ConfidentialVM"


def choose(machine: MachineRecord, quiesce: Quiesce, *, keeps: Way | None = None) -> Way | None:
    """`keeps`: the kind of the point that the next difference can be told from, if there is one. None: there is no way.

    APPLICATION where the guest is to be quiesced and an agent can do it; whether it succeeds shows only then.
    """
    several = len(machine.disks) > 1
    if machine.off:
        if not crash_possible(machine) or keeps is Way.SNAPSHOTS:
            return Way.SNAPSHOTS
        return Way.CRASH if several or keeps is not None else Way.SNAPSHOTS
    if quiesce is not Quiesce.NONE and machine.agent:
        return Way.APPLICATION
    if not several:
        return Way.SNAPSHOTS
    if crash_possible(machine):
        return Way.CRASH
    return Way.APPLICATION if machine.agent else None
