"""What a host tells of its machines, as records. Pure: it looks at answers of `machines.ps1` and asks nobody."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from rehost.sources._protocol import Power
from rehost.sources.hyperv._names import parse_items

MIB = 1024 * 1024
#: The last part of an integration service's id; its name is translated.
SERVICES = {
    "vss": "5CED1297-4598-4915-A5FC-AD21BB4D02A4",
    "shutdown": "9F8233AC-BE49-4C79-8EE3-E7E1985B2077",
    "exchange": "2A34B1C2-FD73-4043-8A5B-DD2159BC743F",
    "heartbeat": "84EAAE65-2F2E-45F5-9BB5-0E857DC8EB47",
}
#: States of Get-VM; those in between (Starting, Saving, Stopping ...) are neither.
_POWERS = {
    "Running": Power.ON,
    "Off": Power.OFF,
    "Saved": Power.PAUSED,
    "FastSaved": Power.PAUSED,
    "Paused": Power.PAUSED,
}


def power_of(state: str) -> Power:
    return _POWERS.get(state, Power.UNKNOWN)


@dataclass(frozen=True)
class Slot:
    """Where a disk is attached: the same in every run."""

    type: str  # SCSI, IDE, PMEM
    number: int
    location: int

    @property
    def key(self) -> str:
        return f"{self.type.lower()}{self.number}-{self.location}"

    @classmethod
    def of(cls, told: Mapping[str, Any]) -> Slot:
        return cls(str(told["controllerType"]), int(told["controllerNumber"]), int(told["controllerLocation"]))


@dataclass(frozen=True)
class DiskRecord:
    slot: Slot
    path: str  # on the host, C:\VMs\web.vhdx; empty for what is no file
    size: int  # bytes; 0 where it is not known
    format: str  # vhdx, vhd
    file_size: int
    sector_size: int  # logical, bytes
    pass_through: bool
    shared: bool
    parent: str  # the file that it is a delta of
    problem: str  # why the host could not look into it

    @property
    def key(self) -> str:
        return self.slot.key

    @property
    def label(self) -> str:
        return f"{self.path.rpartition(chr(92))[2] or self.key} ({self.key})"


@dataclass(frozen=True)
class CheckpointRecord:
    id: str
    name: str
    type: str  # Standard, Recovery, Replica, ...
    created: float  # seconds since 1970
    disks: Mapping[Slot, str] = field(default_factory=dict)  # their files


@dataclass(frozen=True)
class MachineRecord:
    id: str
    name: str
    host: str
    cluster: str
    build: int  # of the host's Windows
    state: str
    status: Sequence[str]
    generation: int
    version: str
    cpus: int
    memory_mib: int
    dynamic_memory: bool
    clustered: bool
    replication: str
    disks: Sequence[DiskRecord]  # the root disk first
    nics: Sequence[Mapping[str, str]]
    services: Mapping[str, tuple[bool, str]]  # by our name: on, and its status
    checkpoints: Sequence[CheckpointRecord]
    secure_boot: bool
    tpm: bool
    shielded: bool
    fibre_channel: int
    devices: Sequence[str]
    guest: Mapping[str, str]

    @property
    def power(self) -> Power:
        return power_of(self.state)

    @property
    def merging(self) -> bool:
        return "MergingDisks" in self.status


def record(told: Mapping[str, Any], *, host: str, cluster: str, build: int) -> MachineRecord:
    """One entry of `machines.ps1`."""
    security = told.get("security") or {}
    found = [_disk(each) for each in _list(told.get("disks"))]
    return MachineRecord(
        id=str(told["id"]).upper(),
        name=str(told["name"]),
        host=host,
        cluster=cluster,
        build=build,
        state=str(told.get("state") or ""),
        status=[str(each) for each in _list(told.get("status"))],
        generation=int(told.get("generation") or 1),
        version=str(told.get("version") or ""),
        cpus=int(told.get("cpus") or 0),
        memory_mib=int(told.get("memory") or 0) // MIB,
        dynamic_memory=bool(told.get("dynamicMemory")),
        clustered=bool(told.get("clustered")),
        replication=str(told.get("replication") or "None"),
        disks=_in_boot_order(found, _list(told.get("boot"))),
        nics=[_nic(each) for each in _list(told.get("adapters"))],
        services=_services(_list(told.get("services"))),
        checkpoints=[checkpoint(each) for each in _list(told.get("checkpoints"))],
        secure_boot=told.get("secureBoot") == "On",
        tpm=bool(security.get("tpm")),
        shielded=bool(security.get("shielded")),
        fibre_channel=int(told.get("fibreChannel") or 0),
        devices=sorted({str(each) for each in _list(told.get("devices"))}),
        guest=parse_items(told.get("guest")),
    )


def checkpoint(told: Mapping[str, Any]) -> CheckpointRecord:
    disks = {Slot.of(each): str(each.get("path") or "") for each in _list(told.get("disks"))}
    return CheckpointRecord(
        id=str(told["id"]).upper(),
        name=str(told.get("name") or ""),
        type=str(told.get("type") or ""),
        created=_seconds(str(told.get("created") or "")),
        disks=disks,
    )


def _disk(told: Mapping[str, Any]) -> DiskRecord:
    path = str(told.get("path") or "")
    passed = told.get("passThrough") is not None
    return DiskRecord(
        slot=Slot.of(told),
        path="" if passed else path,
        size=int(told.get("size") or 0),
        format=str(told.get("format") or path.rpartition(".")[2] or "disk").lower() if not passed else "pass-through",
        file_size=int(told.get("fileSize") or 0),
        sector_size=int(told.get("sectorSize") or 512),
        pass_through=passed,
        shared=bool(told.get("shared")) or path.lower().endswith(".vhds"),
        parent=str(told.get("parent") or ""),
        problem=str(told.get("problem") or ""),
    )


def _in_boot_order(found: Sequence[DiskRecord], boot: Sequence[Mapping[str, Any]]) -> list[DiskRecord]:
    """The disk that it boots first; without a boot order, as generation 1 has it, IDE before SCSI."""
    rank = {(int(each["number"]), int(each["location"])): at for at, each in reversed(list(enumerate(boot)))}
    first = min(
        (disk for disk in found if disk.slot.type == "SCSI" and (disk.slot.number, disk.slot.location) in rank),
        key=lambda disk: rank[disk.slot.number, disk.slot.location],
        default=None,
    )
    return sorted(
        found, key=lambda disk: (disk is not first, disk.slot.type != "IDE", disk.slot.number, disk.slot.location)
    )


def _nic(told: Mapping[str, Any]) -> Mapping[str, str]:
    digits = re.sub("[^0-9A-Fa-f]", "", str(told.get("mac") or ""))
    mac = ":".join(digits[at : at + 2] for at in range(0, len(digits), 2)).lower()
    return {"label": str(told.get("name") or ""), "mac": mac, "network": str(told.get("network") or "")}


def _services(told: Sequence[Mapping[str, Any]]) -> dict[str, tuple[bool, str]]:
    found = {}
    for each in told:
        end = str(each.get("id") or "").upper().rpartition("\\")[2]
        name = next((name for name, guid in SERVICES.items() if guid == end), None)
        if name:
            found[name] = (bool(each.get("enabled")), str(each.get("status") or ""))
    return found


def _seconds(text: str) -> float:
    """Of .NET's round-trip format, which has seven digits of a second's fraction."""
    try:
        return datetime.fromisoformat(re.sub(r"(\.\d{6})\d*", r"\1", text).replace("Z", "+00:00")).timestamp()
    except ValueError:
        return 0.0


def _list(value: Any) -> list[Any]:
    """A list that has one entry may come as that entry, one that is empty as null."""
    if value is None:
        return []
    return [each for each in value if each is not None] if isinstance(value, list) else [value]
