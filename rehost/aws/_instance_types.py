"""Which instance type fits a source: asked of EC2, chosen by one rule, so that the same question always has the same answer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from rehost.aws._errors import NotFound, translated
from rehost.aws._session import Session

#: General-purpose, compute and memory families, the newest generation that all regions of the EC2 instance types guide list first;
#: as of November 2026. No burstable ones: how busy a source is, its CPUs and memory do not tell.
FAMILIES = {
    "x86_64": ("c7i", "m7i", "r7i", "x2iedn", "c6i", "m6i", "r6i"),
    "arm64": ("c7g", "m7g", "r7g", "x2gd", "c6g", "m6g", "r6g"),
}
_FIRMWARE = {"bios": "legacy-bios", "uefi": "uefi"}


@dataclass(frozen=True)
class Need:
    """What the source has."""

    cpus: int
    memory_mib: int
    architecture: str = "x86_64"
    firmware: str | None = None  # bios or uefi

    def __str__(self) -> str:
        words = [
            f"{self.cpus} CPUs",
            gib(self.memory_mib),
            self.architecture,
            *([self.firmware] if self.firmware else []),
        ]
        return ", ".join(words)


@dataclass(frozen=True)
class InstanceType:
    name: str
    cpus: int
    memory_mib: int
    firmware: tuple[str, ...]  # EC2's words; empty where it does not say


@dataclass(frozen=True)
class Choice:
    instance_type: str
    reason: str


class InstanceTypes:
    """Thread-safe; the same question is asked of EC2 once."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._ec2 = session.client("ec2")
        self._offered: dict[tuple[str, str | None], tuple[InstanceType, ...]] = {}

    def choose(self, need: Need, zone: str | None = None) -> Choice:
        """The smallest type that has the source's CPUs and memory and boots by its firmware, offered in the zone (None: in the region).

        Smallest is the fewest vCPUs, then the least memory, then the first of FAMILIES. Raises `NotFound` where none has as much.
        """
        where = zone or self._session.region
        fitting = choose(need, self._types(need.architecture, zone))
        if fitting is None:
            raise NotFound(
                operation="DescribeInstanceTypes",
                message=f"no instance type of {', '.join(FAMILIES[need.architecture])} that is offered in {where} has {need}; name one in the launch config",
            )
        size = f"{fitting.cpus} vCPUs, {gib(fitting.memory_mib)}"
        return Choice(
            fitting.name, f"the source has {need}: {fitting.name} ({size}) is the smallest that fits in {where}"
        )

    def offered(self, instance_type: str, zone: str) -> bool:
        """Whether a zone has a type."""
        return bool(self._offerings([instance_type], zone))

    def _types(self, architecture: str, zone: str | None) -> tuple[InstanceType, ...]:
        asked = (architecture, zone)
        if asked not in self._offered:
            known = tuple(self._described([f"{family}.*" for family in FAMILIES[architecture]]))
            names = self._offerings([each.name for each in known], zone)  # some 80; EC2 takes 200 in a filter
            self._offered[asked] = tuple(each for each in known if each.name in names)
        return self._offered[asked]

    def _described(self, patterns: Sequence[str]) -> Iterator[InstanceType]:
        filters = [{"Name": "instance-type", "Values": list(patterns)}, {"Name": "bare-metal", "Values": ["false"]}]
        with translated():
            for page in self._ec2.get_paginator("describe_instance_types").paginate(Filters=filters):
                yield from map(_read, page["InstanceTypes"])

    def _offerings(self, names: Sequence[str], zone: str | None) -> set[str]:
        filters = [{"Name": "instance-type", "Values": list(names)}]
        if zone is not None:
            filters.append({"Name": "location", "Values": [zone]})
        kind = "availability-zone" if zone is not None else "region"
        found: set[str] = set()
        with translated():
            pages = self._ec2.get_paginator("describe_instance_type_offerings")
            for page in pages.paginate(LocationType=kind, Filters=filters):
                found |= {each["InstanceType"] for each in page["InstanceTypeOfferings"]}
        return found


def choose(need: Need, types: Sequence[InstanceType]) -> InstanceType | None:
    """The smallest that fits; None where none does. Pure."""
    families = FAMILIES[need.architecture]
    boot = _FIRMWARE.get(need.firmware or "")
    fitting = [
        each
        for each in types
        if each.cpus >= need.cpus
        and each.memory_mib >= need.memory_mib
        and (boot is None or not each.firmware or boot in each.firmware)
    ]

    def size(each: InstanceType) -> tuple[int, int, int, str]:
        return each.cpus, each.memory_mib, families.index(each.name.split(".")[0]), each.name

    return min(fitting, key=size, default=None)


def _read(each: dict[str, Any]) -> InstanceType:
    return InstanceType(
        each["InstanceType"],
        int(each["VCpuInfo"]["DefaultVCpus"]),
        int(each["MemoryInfo"]["SizeInMiB"]),
        tuple(each.get("SupportedBootModes", ())),
    )


def gib(mib: int) -> str:
    return f"{mib / 1024:.3g} GiB"
