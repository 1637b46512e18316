"""What the sources themselves say of their servers. Each source is opened once, however many servers it has."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from rehost.connector import ImageSettings
from rehost.preflight._facts import Facts
from rehost.preflight._finding import Raw
from rehost.preflight._plan import ServerPlan
from rehost.sources import (
    CredentialsRefused,
    DiscoveredServer,
    Severity,
    Source,
    SourceError,
    SourceUnavailable,
    open_source,
)
from rehost.spec import Estate, Server, SourceSpec

#: Sources that are asked at the same time.
_AT_ONCE = 8
_MODES = {"uefi": "uefi", "legacy-bios": "bios"}


@dataclass
class Told:
    """By server: its concerns, the bytes of its disks, those in use where the source knows, and what else is known of it."""

    raws: dict[str, list[Raw]] = field(default_factory=dict)
    sizes: dict[str, list[int]] = field(default_factory=dict)
    facts: dict[str, Mapping[str, object]] = field(default_factory=dict)
    allocated: dict[str, int] = field(default_factory=dict)


def ask(estate: Estate, servers: Collection[str], base: Path) -> Told:
    """Every named server of every source. A source that is away says so, and nothing of the others is lost."""
    by_source: dict[str, list[Server]] = {}
    for name in servers:
        server = estate.servers[name]
        by_source.setdefault(server.source.name, []).append(server)
    told = Told()
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        asked = [pool.submit(_ask_one, estate.sources[name], each, base) for name, each in by_source.items()]
        for future in asked:
            answer = future.result()
            told.raws.update(answer.raws)
            told.sizes.update(answer.sizes)
            told.facts.update(answer.facts)
            told.allocated.update(answer.allocated)
    return told


def _ask_one(spec: SourceSpec, servers: list[Server], base: Path) -> Told:
    try:
        source = open_source(spec.config, base=base)
    except SourceError as error:
        return _away(spec, servers, error)
    told = Told()
    try:
        for server in servers:
            try:
                found = _inspect(source, server)
            except (SourceUnavailable, CredentialsRefused) as error:
                left = [each for each in servers if each.name not in told.raws]
                told.raws.update(_away(spec, left, error).raws)
                return told
            told.raws[server.name] = found if isinstance(found, list) else _concerns(server.name, found)
            if isinstance(found, DiscoveredServer):
                told.sizes[server.name] = [disk.size for disk in found.disks]
                told.facts[server.name] = found.facts
                used = [disk.allocated for disk in found.disks if disk.allocated is not None]
                if len(used) == len(found.disks):
                    told.allocated[server.name] = sum(used)
        return told
    finally:
        source.close()


def _inspect(source: Source, server: Server) -> DiscoveredServer | list[Raw]:
    try:
        return source.inspect(server.locator)
    except (SourceUnavailable, CredentialsRefused):
        raise
    except SourceError as error:
        return [Raw("source-refuses", str(error), server.name, remedy="`rehost discover` lists what is there")]


def _concerns(server: str, found: DiscoveredServer) -> list[Raw]:
    problem = found.facts.get("problem")
    told = [] if problem is None else [Raw("unsuitable", str(problem), server, Severity.ERROR)]
    return told + [Raw(each.id, each.message, server, each.severity.value, each.remedy) for each in found.concerns]


def _away(spec: SourceSpec, servers: list[Server], error: SourceError) -> Told:
    return Told({each.name: [Raw("source-away", f"source {spec.name}: {error}", each.name)] for each in servers})


def compared(server: ServerPlan, told: Mapping[str, object], facts: Facts) -> list[Raw]:
    """What the source knows of the machine against what it is to become."""
    found: list[Raw] = []
    firmware, mode = told.get("firmware"), ImageSettings(server.image).boot_mode
    if firmware in ("uefi", "bios") and mode in _MODES and _MODES[mode] != firmware:
        found.append(Raw("firmware-differs", f"it boots by {firmware}, and its image by {_MODES[mode]}", server.name))
    elif firmware == "uefi" and mode is None and server.image.get("conversion") == "register":
        found.append(
            Raw("firmware-differs", "it boots by uefi, and a registered image does so only if it says so", server.name)
        )
    view = None
    if server.launch and server.launch.instance_type:
        view = facts.instance_types([server.launch.instance_type]).get(server.launch.instance_type)
    cpus, memory = told.get("cpus"), _memory_mib(told)
    if view and isinstance(cpus, int) and view.vcpus < cpus:
        found.append(Raw("smaller-than-source", f"{view.name} has {view.vcpus} vCPUs, and it has {cpus}", server.name))
    if view and memory and view.memory_mib < memory:
        message = f"{view.name} has {view.memory_mib} MiB of memory, and it has {memory}"
        found.append(Raw("smaller-than-source", message, server.name))
    return found


def _memory_mib(told: Mapping[str, object]) -> int | None:
    if isinstance(mib := told.get("memoryMib"), int):
        return mib
    return memory >> 20 if isinstance(memory := told.get("memory"), int) else None
