"""What AWS, or a source, would refuse hours later, as far as the spec alone tells."""

from __future__ import annotations

import re
from collections.abc import Iterator

from rehost.rates import bytes_per_second
from rehost.spec import _inherit
from rehost.spec._checks import members
from rehost.spec._findings import Finding, short
from rehost.spec._merge import Merged

#: By type of source: the keys of a locator that it understands.
LOCATORS = {
    "images": ("name", "path", "disks"),
    "qemu": ("name",),
    "vsphere": ("name", "uuid", "moref", "path"),
    "hyperv": ("name", "uuid", "host"),
    "azure": ("name", "resourceGroup", "id"),
}
#: EC2 user guide, "Tag restrictions": 50 a resource; Name and rehost's own (stack, server, run, token) are among them.
TAGS = 50 - 5
#: EC2 instance types guide, "Naming conventions": after the generation, i is Intel, a is AMD, g is Graviton.
_FAMILY = re.compile(r"(?P<series>[a-z]+)(?P<generation>[0-9]+)(?P<options>[a-z]*)")


def findings(spec: Merged) -> Iterator[Finding]:
    applications = {server: str(path[1]) for path, server in members(spec)}
    for server in spec.names("servers"):
        yield from _processor(spec, server)
        yield from _quiesce(spec, server)
        yield from _locator(spec, server)
        yield from _tags(spec, server, applications.get(server))
    for section in ("sources", "servers"):
        for name in spec.names(section):
            yield from _throttle(spec, section, name)
    yield from _addresses(spec)
    yield from _machines(spec)


def _throttle(spec: Merged, section: str, name: str) -> Iterator[Finding]:
    where = (section, name, "throttle")
    text = spec.text(*where)
    if text is None or spec.is_wrong(*where):
        return
    try:
        bytes_per_second(text)
    except ValueError as error:
        yield Finding.at(spec.place(*where), "throttle-too-low", str(error), "raise it, or leave it out")


def _processor(spec: Merged, server: str) -> Iterator[Finding]:
    architecture = ("servers", server, "image", "architecture")
    wanted = spec.text(*architecture) or "x86_64"
    if spec.is_wrong(*architecture):
        return
    if wanted == "arm64" and spec.text("servers", server, "image", "bootMode") == "bios":
        where = spec.place("servers", server, "image", "bootMode")
        yield Finding.at(where, "wrong-boot-mode", "arm64 instances boot by UEFI alone", "use bootMode: uefi or auto")
    config = spec.text("servers", server, "launchConfig")
    instance_type = _inherit.text(spec, config, "instanceType") if config is not None else None
    if instance_type is None or instance_type == "auto":
        return
    offered = architecture_of(instance_type)
    if offered is not None and offered != wanted:
        where = spec.place("servers", server, "launchConfig")
        message = f"launch config {short(str(config))} is of type {short(instance_type)}, which is {offered}"
        yield Finding.at(where, "wrong-architecture", message, f"the image of {short(server)} is {wanted}")


def architecture_of(instance_type: str) -> str | None:
    """By its name; None where the name does not tell."""
    family = _FAMILY.fullmatch(instance_type.split(".")[0])
    if family is None:
        return None
    if "g" in family["options"] or (family["series"], family["generation"]) == ("a", "1"):
        return "arm64"
    return "x86_64" if family["options"][:1] in ("i", "a") and family["options"] else None


def _quiesce(spec: Merged, server: str) -> Iterator[Finding]:
    source = spec.text("servers", server, "source")
    if source is not None and spec.text("sources", source, "type") == "images":
        where = ("servers", server, "quiesce")
        if spec.text(*where) == "require":
            message = "a source of type images has no guest that could be quiesced"
            yield Finding.at(spec.place(*where), "no-guest", message, "use quiesce: none, and stop the server first")


def _locator(spec: Merged, server: str) -> Iterator[Finding]:
    source = spec.text("servers", server, "source")
    kind = spec.text("sources", source, "type") if source is not None else None
    known = LOCATORS.get(str(kind))
    if known is None:
        return
    for key in spec.names("servers", server, "locator"):
        if key not in known and any(key in keys for keys in LOCATORS.values()):
            where = spec.place("servers", server, "locator", key)
            message = f"a source of type {kind} finds no machine by {key}"
            yield Finding.at(where, "wrong-locator", message, f"use one of {', '.join(known)}")


def _tags(spec: Merged, server: str, application: str | None) -> Iterator[Finding]:
    config = spec.text("servers", server, "launchConfig")
    tags = {*spec.names("servers", server, "tags")}
    if application is not None:
        tags.update(spec.names("applications", application, "tags"))
    if config is not None:
        tags.update(_inherit.names(spec, config, "tags"))
    if len(tags) > TAGS:
        message = f"server {short(server)} has {len(tags)} tags"
        hint = f"with those of its application and its launch config; AWS takes {TAGS} beside our own"
        yield Finding.at(spec.place("servers", server), "too-many-tags", message, hint)


def _addresses(spec: Merged) -> Iterator[Finding]:
    """Two instances cannot have one private address."""
    users: dict[str, str] = {}
    for server in spec.names("servers"):
        config = spec.text("servers", server, "launchConfig")
        if config is None:
            continue
        addresses = [
            ("privateIp",),
            *(("networkInterfaces", each, "privateIp") for each in _inherit.names(spec, config, "networkInterfaces")),
        ]
        for keys in addresses:
            address = _inherit.text(spec, config, *keys)
            home = _inherit.home(spec, config, *keys)
            if address in (None, "copy") or home is None:
                continue
            if home in users and users[home] != server:
                message = (
                    f"launch config {short(home)} has a privateIp, and server {short(users[home])} uses it already"
                )
                hint = "give each its own launch config"
                yield Finding.at(spec.place("servers", server, "launchConfig"), "shared-address", message, hint)
                break
            users.setdefault(home, server)


def _machines(spec: Merged) -> Iterator[Finding]:
    """The same machine under two names is most likely a line that was copied and not changed."""
    machines: dict[tuple[str, str], str] = {}
    for server in spec.names("servers"):
        source = spec.text("servers", server, "source")
        locator = spec.get("servers", server, "locator")
        if source is None or not locator:
            continue
        machine = (source, repr(locator))
        if machine in machines:
            message = f"server {short(server)} is the same machine as server {short(machines[machine])}"
            where = spec.place("servers", server, "locator")
            yield Finding.at(where, "same-machine", message, severity="warning")
        machines.setdefault(machine, server)
