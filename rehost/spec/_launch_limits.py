"""What EC2 would refuse of a launch config, as far as the spec alone tells; each is looked at with all that it extends."""

from __future__ import annotations

from collections.abc import Iterator

from rehost.spec import _extends, _inherit
from rehost.spec._findings import Finding, closest, short
from rehost.spec._inherit import SECTION
from rehost.spec._merge import Merged
from rehost.spec._schema import schema

#: EBS user guide, "Amazon EBS volume types": which take a figure for IOPS, which for throughput.
_IOPS = ("gp3", "io1", "io2")
_NEED_IOPS = ("io1", "io2")
_THROUGHPUT = ("gp3",)
_NO_ROOT = ("st1", "sc1")


def findings(spec: Merged) -> Iterator[Finding]:
    yield from _extends.findings(spec, SECTION, "launch config")
    for config in _inherit.in_use(spec):
        if isinstance(spec.entries[SECTION][config], dict) and _inherit.is_whole(spec, config):
            yield from _type(spec, config)
            yield from _network(spec, config)
            yield from _placement(spec, config)
            yield from _volumes(spec, config)


def _type(spec: Merged, config: str) -> Iterator[Finding]:
    levels = _extends.chain(spec, SECTION, config)
    if any(spec.is_wrong(SECTION, each, "instanceType") for each in levels):
        return
    keys = {key for each in levels for key in spec.names(SECTION, each)}
    if closest("instanceType", keys - set(schema()["$defs"]["launchConfig"]["properties"])) is not None:
        return  # mistyped, which is said already
    if not keys & {"instanceType", "launchTemplate"} and not any(spec.is_wrong(SECTION, each) for each in levels):
        message = f"{SECTION}.{short(config)} lacks instanceType"
        yield Finding.at(spec.place(SECTION, config), "missing-key", message, "an EC2 instance type, or auto")


def _network(spec: Merged, config: str) -> Iterator[Finding]:
    interfaces = _inherit.names(spec, config, "networkInterfaces")
    if not interfaces:
        return
    home = _inherit.home(spec, config, "networkInterfaces") or config
    where = spec.place(SECTION, home, "networkInterfaces")
    if _inherit.get(spec, config, "publicIp") is not None:
        message = "EC2 gives no public address to an instance that is launched with several network interfaces"
        yield Finding.at(where, "public-address", message, "leave publicIp out, and give it an Elastic IP afterwards")
    if _inherit.home(spec, config, "subnet") is None:
        message = f"launch config {short(config)} has networkInterfaces and no subnet"
        yield Finding.at(where, "no-subnet", message, "the first network interface needs one, too: subnet")


def _placement(spec: Merged, config: str) -> Iterator[Finding]:
    host = _inherit.home(spec, config, "placement", "host")
    tenancy = _inherit.text(spec, config, "placement", "tenancy")
    if host is not None and tenancy != "host":
        message = f"launch config {short(config)} has a dedicated host, and tenancy {tenancy or 'default'}"
        yield Finding.at(spec.place(SECTION, host, "placement", "host"), "wrong-tenancy", message, "use tenancy: host")


def _volumes(spec: Merged, config: str) -> Iterator[Finding]:
    kind = _inherit.text(spec, config, "volumeType")
    yield from _figures(spec, config, kind, ("volumeType",), ("volumeIops",), ("volumeThroughput",))
    default_iops = _inherit.get(spec, config, "volumeIops")
    for disk in _inherit.names(spec, config, "volumes"):
        keys = ("volumes", disk)
        own = _inherit.text(spec, config, *keys, "type")
        inherits = own in (None, kind) and default_iops is not None
        yield from _figures(
            spec, config, own or kind, (*keys, "type"), (*keys, "iops"), (*keys, "throughput"), has_iops=inherits
        )
        if disk == "disk-1" and own in _NO_ROOT:
            where = spec.place(SECTION, _inherit.home(spec, config, *keys, "type") or config, *keys, "type")
            yield Finding.at(where, "wrong-volume", f"disk-1 is the root disk, and {own} cannot hold one", "use gp3")


def _figures(
    spec: Merged,
    config: str,
    kind: str | None,
    type_keys: tuple[str, ...],
    iops_keys: tuple[str, ...],
    throughput_keys: tuple[str, ...],
    *,
    has_iops: bool = False,
) -> Iterator[Finding]:
    for keys, known in ((iops_keys, _IOPS), (throughput_keys, _THROUGHPUT)):
        home = _inherit.home(spec, config, *keys)
        if home is not None and kind not in known:
            has = f"a volume of type {kind} takes" if kind else "a volume whose type is not given takes"
            message = f"{has} no {keys[-1].removeprefix('volume').lower()}"
            yield Finding.at(spec.place(SECTION, home, *keys), "wrong-volume", message, f"of type {', '.join(known)}")
    home = _inherit.home(spec, config, *type_keys)
    if home is not None and kind in _NEED_IOPS and not has_iops and _inherit.home(spec, config, *iops_keys) is None:
        message = f"a volume of type {kind} needs {iops_keys[-1]}"
        yield Finding.at(spec.place(SECTION, home, *type_keys), "wrong-volume", message, "for example 4000")
