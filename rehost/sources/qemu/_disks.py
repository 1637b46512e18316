"""The disks of a running machine, as QEMU lists them, and what stands in the way of replicating them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rehost.sources._errors import CommandRefused, DiskUnsuitable
from rehost.sources._protocol import Concern, Severity
from rehost.sources.qemu import _names
from rehost.sources.qemu._monitor import Monitor

MAX_SIZE = 64 << 40  # bytes; StartSnapshot takes up to 65,536 GiB


@dataclass(frozen=True)
class Disk:
    key: str
    node: str  # the block node at which writes of the guest arrive
    size: int  # bytes
    format: str
    allocated: int | None  # bytes that its file takes
    persistent: bool  # whether a dirty bitmap survives QEMU's end


@dataclass(frozen=True)
class Inventory:
    disks: Sequence[Disk]  # the root disk first
    concerns: Sequence[Concern]
    uefi: bool


def inventory(monitor: Monitor) -> Inventory:
    """What the machine has. Raises SourceError."""
    found: list[tuple[int, Disk]] = []
    concerns: list[Concern] = []
    uefi = False
    for number, device in enumerate(monitor.execute("query-block")):
        key = _key(device, number)
        medium = device.get("inserted")
        uefi = uefi or (medium is not None and "flash" in key + device.get("qdev", ""))
        if medium is None or "flash" in key + device.get("qdev", ""):
            continue
        if medium["ro"]:
            concerns.append(_read_only(key, device))
        elif "qdev" not in device:
            concerns.append(_unattached(key))
        else:
            disk = _disk(key, _beneath(monitor, medium))
            concerns += _concerns(disk)
            found.append((_boot_order(monitor, device["qdev"]), disk))
    ordered = [disk for _, disk in sorted(found, key=lambda each: each[0])]
    return Inventory(_distinct(ordered), concerns, uefi)


def check(server: str, disks: Sequence[Disk]) -> None:
    """Raises DiskUnsuitable."""
    if not disks:
        reason = "it has no writable disk; `rehost discover` lists what it has"
        raise DiskUnsuitable(path=server, reason=reason)
    for disk in disks:
        if disk.size > MAX_SIZE:
            reason = f"its size of {disk.size} bytes is above 64 TiB, the largest EBS volume"
            raise DiskUnsuitable(path=f"{server}/{disk.key}", reason=reason)


def _key(device: Mapping[str, Any], number: int) -> str:
    """The same at every start of the machine: the device's id, else the drive's, else its place in the list."""
    path = [part for part in device.get("qdev", "").split("/") if part]
    if path[:2] == ["machine", "peripheral"]:
        return str(path[2])
    if len(path) == 1:
        return str(path[0])
    return str(device["device"]) or f"disk{number}"


def _distinct(disks: Sequence[Disk]) -> Sequence[Disk]:
    keys = [disk.key for disk in disks]
    if len(set(keys)) < len(keys):
        raise DiskUnsuitable(path=", ".join(keys), reason="two of its disks have one name; give their devices ids")
    return disks


def _disk(key: str, medium: Mapping[str, Any]) -> Disk:
    image = medium["image"]
    data = image.get("format-specific", {}).get("data", {})
    return Disk(
        key=key,
        node=medium["node-name"],
        size=image["virtual-size"],
        format=medium["drv"],
        allocated=image.get("actual-size"),
        persistent=medium["drv"] == "qcow2" and data.get("compat") == "1.1",
    )


def _beneath(monitor: Monitor, medium: Mapping[str, Any]) -> Mapping[str, Any]:
    """While a point in time of ours stands, its filter is on top of the disk; the disk itself is what is asked for."""
    if not medium["node-name"].startswith(_names.PREFIX):
        return medium
    for node in monitor.execute("query-named-block-nodes", flat=True):
        is_format = node["drv"] not in ("file", "host_device", "copy-before-write")
        if is_format and node["file"] == medium["file"] and not node["node-name"].startswith(_names.PREFIX):
            return dict(node)
    return medium


def _boot_order(monitor: Monitor, qdev: str) -> int:
    """The device's `bootindex`; those without one come last, in the order in which they stand."""
    path = qdev.removesuffix("/virtio-backend")
    try:
        index = int(monitor.execute("qom-get", path=path, property="bootindex"))
    except CommandRefused:
        index = -1
    return index if index >= 0 else 1 << 31


def _read_only(key: str, device: Mapping[str, Any]) -> Concern:
    if device.get("removable"):
        message = f"the medium in {key} is not copied"
        return Concern("qemu-removable-medium", Severity.INFO, message, "nothing, if the server works without it")
    message = f"the disk {key} is read-only and is not copied"
    remedy = "make it writable if the migrated server needs it, or copy it by itself with an `images` source"
    return Concern("qemu-read-only-disk", Severity.WARNING, message, remedy)


def _unattached(key: str) -> Concern:
    message = f"the drive {key} belongs to no device of the server and is not copied"
    return Concern("qemu-unattached-drive", Severity.INFO, message, "nothing, if the server works without it")


def _concerns(disk: Disk) -> list[Concern]:
    if disk.persistent:
        return []
    message = f"the disk {disk.key} is {disk.format}, which keeps no record of changes: after QEMU restarts, one run reads all of it"
    remedy = "nothing, if that is fine (only what differs is sent); else convert it to qcow2 with compat=1.1"
    return [Concern("qemu-volatile-bitmap", Severity.WARNING, message, remedy)]
