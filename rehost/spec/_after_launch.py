"""What an application says of the time after a launch: validation and post-launch actions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from rehost.spec._findings import Finding, nearest, short
from rehost.spec._merge import Merged
from rehost.spec._model import Check, PostLaunchAction
from rehost.spec._schema import schema
from rehost.spec._yaml import Path

KINDS = ("http", "tcp", "ssm", "userData", "command")
_OF_EACH = ("on", "timeout", "interval", "attempts")
_NEEDS: Mapping[str, tuple[str, ...]] = {
    "join-domain": ("directoryId", "directoryName"),
    "cloudwatch-agent": ("configuration",),
}
#: What a ready action may be told, by name.
_SETTINGS: Mapping[str, tuple[str, ...]] = {
    "join-domain": ("directoryId", "directoryName", "directoryOU", "dnsIpAddresses"),
    "cloudwatch-agent": ("configuration",),
    "set-host-name": ("name",),
}


def ready_actions() -> list[str]:
    return list(schema()["$defs"]["postLaunchAction"]["properties"]["action"]["enum"])


def checks_of(entry: Mapping[str, Any]) -> tuple[Check, ...]:
    """Those of one group, in the order of the file: the schema has let `entry` through."""
    found = []
    for name, value in entry.items():
        named = value.items() if name == "checks" else ((name, {name: value}),)
        for check, body in named:
            ((kind, settings),) = body.items()
            found.append(_check(check, kind, settings))
    return tuple(found)


def _check(name: str, kind: str, values: Mapping[str, Any]) -> Check:
    return Check(
        name=name,
        kind=kind,
        settings={key: value for key, value in values.items() if key not in _OF_EACH},
        server=values.get("on"),
        timeout_seconds=values.get("timeout", Check.timeout_seconds),
        interval_seconds=values.get("interval", Check.interval_seconds),
        attempts=values.get("attempts"),
    )


def post_launch_of(name: str, entry: Mapping[str, Any]) -> PostLaunchAction:
    return PostLaunchAction(
        name=name,
        action=None if "ssm" in entry else entry.get("action", name),
        ssm=entry.get("ssm"),
        settings=entry.get("settings", {}),
        phases=tuple(entry.get("phases", PostLaunchAction.phases)),
        servers=tuple(entry["servers"]) if "servers" in entry else None,
        must_succeed=entry.get("mustSucceed", True),
        timeout_seconds=entry.get("timeout", PostLaunchAction.timeout_seconds),
    )


def findings(spec: Merged) -> Iterator[Finding]:
    for application in spec.names("applications"):
        yield from _validation(spec, application)
        yield from _post_launch(spec, application)


def _validation(spec: Merged, application: str) -> Iterator[Finding]:
    groups = spec.names("applications", application, "groups")
    for group in spec.names("applications", application, "validation"):
        home = ("applications", application, "validation", group)
        if group not in groups and groups:
            message = f"application {short(application)} has no group {short(group)}"
            yield Finding.at(spec.place(*home), "dangling-name", message, nearest(group, groups))
            continue
        servers = [name for _, name in spec.texts("applications", application, "groups", group, "servers")]
        seen = set(KINDS) & set(spec.names(*home))
        for check in spec.names(*home, "checks"):
            if check in seen:
                message = f"the group has a check {short(check)} already"
                yield Finding.at(spec.place(*home, "checks", check), "duplicate-item", message, "give it another name")
        for path in _bodies(spec, home):
            yield from _check_findings(spec, path, group, servers)


def _bodies(spec: Merged, home: Path) -> Iterator[Path]:
    for kind in KINDS:
        if isinstance(spec.get(*home, kind), Mapping):
            yield (*home, kind)
    for check in spec.names(*home, "checks"):
        for kind in KINDS:
            if isinstance(spec.get(*home, "checks", check, kind), Mapping):
                yield (*home, "checks", check, kind)


def _check_findings(spec: Merged, path: Path, group: str, servers: list[str]) -> Iterator[Finding]:
    on = spec.text(*path, "on")
    if on is not None and on not in servers:
        message = f"group {short(group)} has no server {short(on)}"
        yield Finding.at(spec.place(*path, "on"), "dangling-name", message, nearest(on, servers))
    given = set(spec.names(*path))
    pairs = [("host", "address"), ("document", "type")]
    if spec.text(*path, "document") is None:
        pairs.append(("command", "parameters"))
    for one, other in pairs:
        if {one, other} <= given:
            message = f"{other} has no effect beside {one}"
            yield Finding.at(spec.place(*path, other), "no-effect", message, "take one of them out")
    if "verify" in given and spec.text(*path, "scheme") != "https":
        yield Finding.at(spec.place(*path, "verify"), "no-effect", "verify has no effect on http", "use scheme: https")


def _post_launch(spec: Merged, application: str) -> Iterator[Finding]:
    groups = spec.names("applications", application, "groups")
    servers = [
        name for group in groups for _, name in spec.texts("applications", application, "groups", group, "servers")
    ]
    for name in spec.names("applications", application, "postLaunch"):
        home = ("applications", application, "postLaunch", name)
        given = set(spec.names(*home))
        ready = ready_actions()
        action = spec.text(*home, "action") or (name if name in ready else None)
        if {"ssm", "action"} <= given:
            message = f"{short(name)} has both action and ssm"
            yield Finding.at(spec.place(*home, "ssm"), "one-of", message, "take one of them out")
        elif "ssm" not in given and action is None and not spec.is_wrong(*home, "action"):
            message = f"{short(name)} is no ready action, and has neither action nor ssm"
            yield Finding.at(spec.place(*home), "missing-key", message, nearest(name, ready))
        for path, server in spec.texts(*home, "servers"):
            if server not in servers:
                message = f"application {short(application)} has no server {short(server)}"
                yield Finding.at(spec.place(*path), "dangling-name", message, nearest(server, servers))
        if "ssm" in given:
            for key in {"settings"} & given:
                yield Finding.at(spec.place(*home, key), "no-effect", f"{key} has no effect beside ssm")
        elif action is not None:
            yield from _settings(spec, home, action)


def _settings(spec: Merged, home: Path, action: str) -> Iterator[Finding]:
    given = spec.names(*home, "settings")
    known = _SETTINGS.get(action, ())
    for key in given:
        if key not in known:
            hint = nearest(key, known) if known else "it needs none"
            message = f"{action} knows no setting {short(key)}"
            yield Finding.at(spec.place(*home, "settings", key), "unknown-key", message, hint)
    missing = [key for key in _NEEDS.get(action, ()) if key not in given]
    if missing:
        message = f"{action} needs the settings {', '.join(missing)}"
        yield Finding.at(spec.place(*home), "missing-key", message, "docs/validation.md says what they are")
