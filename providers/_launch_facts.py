"""What a launch config leaves to the source: `instanceType: auto` and `privateIp: copy`, made into values while a preview is checked."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from typing import Any

from pulumi.dynamic import CheckFailure

from providers._provider import Props, failure, is_known
from providers._stack import Stack
from rehost.aws import AwsError, Need
from rehost.sources import SourceError, open_source

AUTO = "auto"
COPY = "copy"


def resolved(here: Stack, olds: Props, news: Props) -> tuple[Props, list[CheckFailure]]:
    """The inputs with values in place of `auto` and `copy`, and why; and what keeps them from being known.

    What was chosen once stays while the source is the same machine with the same CPUs and memory: an AWS that offers more types, or a
    source that is off or gone after a cutover, changes no instance.
    """
    added: Props = {}
    failures: list[CheckFailure] = []
    origin = news.get("origin", {})
    if news.get("instanceType") != AUTO and news.get("privateIp") != COPY:
        return added, failures
    facts = facts_of(here, origin)
    try:
        if news.get("instanceType") == AUTO:
            added |= _type(here, olds, news, facts)
        if news.get("privateIp") == COPY:
            added |= _address(olds, origin, facts)
    except _Unknown as error:
        failures.append(failure(error.prop, error))
    except AwsError as error:
        failures.append(failure("instanceType", error))
    return added, failures


class _Unknown(Exception):
    def __init__(self, prop: str, origin: Mapping[str, Any], lacks: str, instead: str) -> None:
        source = origin.get("sourceName")
        super().__init__(
            f"source {source} does not tell {lacks} of this server, and the catalog neither; "
            f"`rehost discover {source}` asks it again, or {instead} in the launch config"
        )
        self.prop = prop


def _type(here: Stack, olds: Props, news: Props, facts: Mapping[str, Any]) -> Props:
    origin = news["origin"]
    cpus, memory = facts.get("cpus"), _memory_mib(facts)
    kept: Props = {key: olds[key] for key in ("instanceType", "instanceTypeReason", "instanceTypeFor") if key in olds}
    if not (cpus and memory):
        if "instanceTypeReason" in kept:
            return kept
        raise _Unknown("instanceType", origin, "the CPUs and the memory", "name an instance type")
    firmware = origin.get("bootMode", AUTO)
    need = Need(
        int(cpus),
        memory,
        origin.get("architecture", "x86_64"),
        facts.get("firmware") if firmware == AUTO else firmware,
    )
    if kept.get("instanceTypeFor") == str(need):
        return kept
    choice = here.aws.instance_types.choose(need, _zone(here, news))
    return {"instanceType": choice.instance_type, "instanceTypeReason": choice.reason, "instanceTypeFor": str(need)}


def _zone(here: Stack, news: Props) -> str | None:
    subnet = news.get("subnet")
    if subnet and is_known(subnet):
        return here.aws.launch_checks.zone_of(subnet)
    zone = news.get("placement", {}).get("zone")
    return str(zone) if zone else None


def _address(olds: Props, origin: Mapping[str, Any], facts: Mapping[str, Any]) -> Props:
    if "privateIpReason" in olds:
        return {key: olds[key] for key in ("privateIp", "privateIpReason")}
    address = str(facts.get("address") or "")
    try:
        ipaddress.IPv4Address(address)
    except ValueError:
        raise _Unknown("privateIp", origin, "an IPv4 address", "write the address") from None
    return {"privateIp": address, "privateIpReason": f"copied from the source {origin.get('sourceName')}"}


def facts_of(here: Stack, origin: Mapping[str, Any]) -> Mapping[str, Any]:
    """What is known of a machine: from the source itself where this process reaches it, and from the catalog."""
    known: dict[str, Any] = {}
    for each in here.control.catalogs.servers(origin["sourceName"]):
        if dict(each.locator) == dict(origin["locator"]) or origin["locator"] == {"name": each.name}:
            known |= {key: value for key, value in each.facts.items() if value}
    if here.embedded:
        known |= {key: value for key, value in _inspected(here, origin).items() if value}
    return known


def _inspected(here: Stack, origin: Mapping[str, Any]) -> Mapping[str, Any]:
    """Empty where the source cannot be asked: the job of the same server says what is wrong with it."""
    try:
        source = open_source(origin["source"], base=here.settings.root)
        try:
            return source.inspect(origin["locator"]).facts
        finally:
            source.close()
    except SourceError:
        return {}


def _memory_mib(facts: Mapping[str, Any]) -> int:
    """vCenter tells MiB, QEMU bytes."""
    return int(facts.get("memoryMib") or int(facts.get("memory") or 0) >> 20)
