"""Whether everything together has room: addresses of subnets, vCPUs, volumes and snapshots of the account.

What is summed up is the whole estate, application by application: the one that no longer fits is told so. A server that has its
instance already needs no more.
"""

from __future__ import annotations

import re
import threading
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from rehost.aws import SERVER_TAG, STACK_TAG, LiveInstance
from rehost.connector import ImageSettings
from rehost.limits import DEFAULT_VOLUME
from rehost.preflight._facts import Facts
from rehost.preflight._finding import Raw
from rehost.preflight._plan import ApplicationPlan, ServerPlan

#: EC2 user guide, "On-Demand Instance quotas": the quota in vCPUs, by the letters that instance types begin with.
_STANDARD = "L-1216C47A"
_VCPU_QUOTAS = {
    **dict.fromkeys(("a", "c", "d", "h", "i", "m", "r", "t", "z", "im", "is", "mac"), _STANDARD),
    "f": "L-74FC7D96",
    **dict.fromkeys(("g", "gr", "vt"), "L-DB2E81BA"),
    "inf": "L-1945791B",
    "p": "L-417A185B",
    "x": "L-7295265B",
    "u": "L-43DA4232",
    "hpc": "L-F7808C92",
    "dl": "L-6E869C2A",
    "trn": "L-2C3B7624",
}
#: EBS service quotas: storage in TiB, by volume type; and snapshots of a region.
_VOLUME_QUOTAS = {
    "gp2": "L-D18FCD1D", "gp3": "L-7A658B76", "io1": "L-FD252861", "io2": "L-09BD8365",
    "st1": "L-82ACEF56", "sc1": "L-17AF77E8", "standard": "L-9CF3C2EB",
}  # fmt: skip
_SNAPSHOT_QUOTA = "L-309BACF6"
_GIB, _TIB = 1 << 30, 1 << 40


def vcpu_quota(instance_type: str) -> str | None:
    """The code of the quota that an On-Demand instance of the type counts against; None for one that is not known here."""
    letters = re.match("[a-z]+", instance_type)
    return _VCPU_QUOTAS.get(letters[0]) if letters and not instance_type.startswith("mac") else None


@dataclass
class Needs:
    """What the launches of one application still need."""

    launches: bool
    addresses: Counter[str] = field(default_factory=Counter)  # by subnet
    vcpus: Counter[str] = field(default_factory=Counter)  # by quota
    volumes: Counter[str] = field(default_factory=Counter)  # bytes, by volume type
    snapshots: int = 0
    private: dict[tuple[str, str], str] = field(default_factory=dict)  # server, by subnet and address


class Ledger:
    """The needs of all applications that were looked at so far. Thread-safe; an application looked at again counts once."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._needs: dict[str, Needs] = {}

    def enter(self, application: str, needs: Needs) -> list[Needs]:
        """All needs that compete with this one: where nothing is to be launched yet, everybody's, else those of launches."""
        with self._lock:
            self._needs[application] = needs
            return [each for each in self._needs.values() if each.launches or not needs.launches]


def needs_of(
    plan: ApplicationPlan, facts: Facts, stack: str | None, sizes: Mapping[str, Sequence[int]]
) -> tuple[Needs, list[ServerPlan]]:
    """And the servers that have no instance yet."""
    launched = _own(facts.live_instances(), stack)
    waiting = [each for each in plan.servers if each.launch is not None and each.name not in launched]
    types = facts.instance_types(
        {each.launch.instance_type for each in waiting if each.launch and each.launch.instance_type}
    )
    needs = Needs(plan.launches)
    for server in waiting:
        launch = server.launch
        assert launch is not None  # noqa: S101 - `waiting` has those with one
        needs.addresses.update(launch.subnets)
        if launch.private_ip and launch.subnets:
            needs.private[launch.subnets[0], launch.private_ip] = server.name
        view = types.get(launch.instance_type or "")
        quota = vcpu_quota(view.name) if view and not launch.host else None
        if view and quota:
            needs.vcpus[quota] += view.vcpus
        usual = DEFAULT_VOLUME["import" if ImageSettings(server.image).is_import else "register"]
        for number, size in enumerate(sizes.get(server.name, ()), 1):
            needs.volumes[launch.volumes.get(f"disk-{number}") or launch.volume_type or usual] += size
    needs.snapshots = sum(len(sizes.get(each.name, ())) * (each.keep_images + 1) for each in plan.servers)
    return needs, waiting


def _own(instances: Sequence[LiveInstance], stack: str | None) -> set[str]:
    return {
        each.tags[SERVER_TAG]
        for each in instances
        if SERVER_TAG in each.tags and STACK_TAG in each.tags and stack in (None, each.tags[STACK_TAG])
    }


def names(plan: ApplicationPlan, facts: Facts, stack: str | None) -> Iterator[Raw]:
    """Instances of somebody else under a server's name."""
    theirs: dict[str, list[str]] = {}
    for each in facts.live_instances():
        if not (STACK_TAG in each.tags and stack in (None, each.tags[STACK_TAG])) and "Name" in each.tags:
            theirs.setdefault(each.tags["Name"], []).append(each.instance_id)
    for server in plan.servers:
        if server.name in theirs:
            message = f"instance {theirs[server.name][0]}, which is not this stack's, is called {server.name}, too"
            yield Raw("duplicate-name", message, server.name)


def addresses(needs: Needs, competing: Sequence[Needs], facts: Facts) -> Iterator[Raw]:
    known = facts.subnets()
    for subnet in needs.addresses:
        wanted = sum(each.addresses[subnet] for each in competing)
        if subnet in known and wanted > known[subnet].free:
            free = known[subnet].free
            yield Raw(
                "subnet-full",
                f"subnet {subnet} has {free} free addresses, and {wanted} servers are to be launched into it",
            )
    for place, server in needs.private.items():
        others = sorted({each.private[place] for each in competing if place in each.private} - {server})
        if others:
            yield Raw(
                "private-ip-twice", f"{place[1]} in {place[0]} is the private address of {others[0]}, too", server
            )


def vcpus(needs: Needs, competing: Sequence[Needs], facts: Facts) -> Iterator[Raw]:
    if not needs.vcpus:
        return
    limits = facts.quotas("ec2")
    running = [each for each in facts.live_instances() if each.is_running and each.is_on_demand]
    views = facts.instance_types({each.instance_type for each in running})
    for quota in needs.vcpus:
        used = sum(
            views[each.instance_type].vcpus
            for each in running
            if vcpu_quota(each.instance_type) == quota and each.instance_type in views
        )
        wanted = sum(each.vcpus[quota] for each in competing)
        if quota in limits and used + wanted > limits[quota]:
            message = f"{wanted} vCPUs are to be launched and {used} run, and quota {quota} is {limits[quota]:.0f}"
            yield Raw("vcpu-quota", message)


def volumes(needs: Needs, competing: Sequence[Needs], facts: Facts) -> Iterator[Raw]:
    if not any(needs.volumes.values()):
        return  # no size is known
    limits, used = facts.quotas("ebs"), facts.volume_gib()
    for kind in needs.volumes:
        limit = limits.get(_VOLUME_QUOTAS.get(kind, ""))
        wanted = sum(each.volumes[kind] for each in competing)
        if limit is not None and wanted + used.get(kind, 0) * _GIB > limit * _TIB:
            message = (
                f"{wanted / _TIB:.1f} TiB of {kind} are to be made, {used.get(kind, 0) / 1024:.1f} TiB are there, "
                f"and quota {_VOLUME_QUOTAS[kind]} is {limit:.0f} TiB"
            )
            yield Raw("volume-quota", message)


def snapshots(needs: Needs, competing: Sequence[Needs], facts: Facts) -> Iterator[Raw]:
    if not needs.snapshots:
        return
    limit = facts.quotas("ebs").get(_SNAPSHOT_QUOTA)
    wanted = sum(each.snapshots for each in competing)
    if limit is not None and wanted > limit / 2:
        yield Raw(
            "snapshot-quota", f"the schedules keep up to {wanted} snapshots, and quota {_SNAPSHOT_QUOTA} is {limit:.0f}"
        )
