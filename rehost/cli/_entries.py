"""Entries of a spec for servers that were discovered: YAML for somebody to review, with what speaks against each as comments."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import yaml

from rehost.cli._output import size
from rehost.sources import Concern, DiscoveredServer, Severity

_WIDTH = 110
_NAME = 100  # characters of a name in a spec
#: Concerns that an option of the entry answers.
_LINUX = re.compile(
    r"linux|ubuntu|debian|centos|fedora|rhel|red ?hat|suse|sles|oracle|rocky|alma|photon|coreos|flatcar|mariner|amazon"
)
#: What some reader of YAML takes for a number, beyond what PyYAML quotes: YAML 1.2 needs no dot before an exponent, and has 0o17.
_NUMBER = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|0o[0-7]+|0x[0-9a-fA-F]+")
_REGISTER = frozenset({"too-many-disks", "disk-too-large-for-import"})


def concerns_of(server: DiscoveredServer) -> Sequence[Concern]:
    """Those of the server; a source that says only why a server cannot be replicated is heard as well."""
    problem = server.facts.get("problem")
    if problem is None:
        return server.concerns
    told = Concern("unsuitable", Severity.ERROR, str(problem), "put that right, or leave it out")
    return [told, *server.concerns]


def refused(server: DiscoveredServer) -> bool:
    return any(each.severity is Severity.ERROR for each in concerns_of(server))


def written(source: str, servers: Iterable[DiscoveredServer], taken: Iterable[str]) -> str:
    """The file: an entry a server, under names that are not `taken`; a server that no run could replicate as a comment."""
    names = set(taken)
    lines = [f"# Found by `rehost discover {source}`; review it, then add schedules, launch configs and applications."]
    entries: list[str] = []
    for server in servers:
        name = name_for(server.name, names)
        names.add(name)
        entries.extend(_entry(source, name, server))
    any_live = any(line and not line.lstrip().startswith("#") for line in entries)
    lines.append("servers:" if any_live else "servers: {}")
    return "\n".join([*lines, *entries]) + "\n"


def _entry(source: str, name: str, server: DiscoveredServer) -> list[str]:
    about = [*_comment(_summary(server))]
    for concern in concerns_of(server):
        about += _comment(f"{concern.severity.value} {concern.id}: {concern.message}. {_sentence(concern.remedy)}")
    body = [f"  {key(name)}:", f"    source: {source}", f"    locator: {flow(server.locator)}"]
    image = _image(server)
    if image:
        body.append(f"    image: {flow(image)}")
    if _boots_by_uefi(server) and "bootMode" not in image:
        about += _comment("It boots by uefi: add image: {bootMode: uefi, platform: linux}, or platform: windows.")
    if refused(server):
        body = [f"  # {line[2:]}" for line in body]
    return [*about, *body]


def _image(server: DiscoveredServer) -> Mapping[str, str]:
    options = {}
    if any(each.id in _REGISTER for each in server.concerns):
        options["conversion"] = "register"
    if _boots_by_uefi(server):
        registered, platform = "conversion" in options, platform_of(server.facts)
        if registered or platform:
            options["bootMode"] = "uefi"
        if platform and not registered:  # VM import has to be told, and nobody else may be
            options["platform"] = platform
    return options


def _boots_by_uefi(server: DiscoveredServer) -> bool:
    return server.facts.get("firmware") == "uefi"


def platform_of(facts: Mapping[str, Any]) -> str | None:
    """`linux` or `windows`, as the source names the guest; None where it does not, or names something else."""
    told = f"{facts.get('guest') or ''} {facts.get('guestId') or ''}".lower()
    if "windows" in told:
        return "windows"
    return "linux" if _LINUX.search(told) else None


def _summary(server: DiscoveredServer) -> str:
    facts = server.facts
    parts = [
        str(facts.get("guest") or ""),
        f"{facts['cpus']} CPUs" if facts.get("cpus") else "",
        size(int(facts["memoryMib"]) << 20) if facts.get("memoryMib") else "",
        size(int(facts["memory"])) if facts.get("memory") else "",
        f"disks: {', '.join(size(disk.size) for disk in server.disks)}" if server.disks else "",
        str(facts.get("address") or ""),
        str(facts.get("path") or ""),
    ]
    return "; ".join(part for part in parts if part)


def _comment(text: str) -> list[str]:
    # A control character or a line break of a machine's own text must not end the comment.
    plain = "".join(each if each.isprintable() else " " for each in text)
    return [f"  # {line}" for line in textwrap.wrap(plain, _WIDTH, break_on_hyphens=False)]


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]


class _Dumper(yaml.SafeDumper):
    """Quotes what only other readers than PyYAML take for a number."""

    def represent_text(self, text: str) -> yaml.ScalarNode:
        return self.represent_scalar("tag:yaml.org,2002:str", text, style="'" if _NUMBER.fullmatch(text) else None)


_Dumper.add_representer(str, _Dumper.represent_text)


def flow(value: Mapping[str, Any]) -> str:
    """In one line; what looks like a variable of the spec is none."""
    literal = {name: _literal(each) for name, each in value.items()}
    text: str = yaml.dump(
        literal, Dumper=_Dumper, default_flow_style=True, width=10**6, allow_unicode=True, sort_keys=False
    )
    return text.strip()


def _literal(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return [_literal(each) for each in value]
    return value.replace("${", "$${") if isinstance(value, str) else value


def key(name: str) -> str:
    """A name as a key of YAML, which would take some for numbers."""
    taken = re.fullmatch(r"[0-9.eE+-]+|true|false|null", name, re.IGNORECASE) or _NUMBER.fullmatch(name)
    return f'"{name}"' if taken else name


def name_for(name: str, taken: set[str]) -> str:
    """A name that a spec takes, as near to the machine's as can be."""
    plain = re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-._") or "server"
    plain = plain[:_NAME]
    candidate, number = plain, 1
    while candidate in taken:
        number += 1
        ending = f"-{number}"
        candidate = plain[: _NAME - len(ending)] + ending
    return candidate
