"""What a post-launch action comes to: documents of Systems Manager, by the instance's platform. The ready ones are data."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import Any

from rehost.validation._documents import document_of, script_of
from rehost.validation._errors import NoSuchStep

PLATFORMS = ("Linux", "Windows")


@dataclass(frozen=True)
class Action:
    """Exactly one of `action`, a ready one, and `ssm`."""

    name: str
    action: str | None = None
    ssm: Mapping[str, Any] | None = None
    settings: Mapping[str, str] = field(default_factory=dict)
    mustSucceed: bool = True  # noqa: N815 - the property's name in the state
    timeout: float = 900

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Action:
        """From a resource's inputs."""
        return cls(**values)


@dataclass(frozen=True)
class Step:
    document: str
    parameters: Mapping[str, list[str]]


@cache
def catalog() -> dict[str, dict[str, list[dict[str, Any]]]]:
    """The ready actions. Shared: do not change it."""
    found: dict[str, dict[str, list[dict[str, Any]]]] = json.loads(_text("catalog.json"))
    return found


def steps(action: Action, platform: str, server: str) -> list[Step]:
    """In order. Raises NoSuchStep where the action is not for the platform."""
    if action.ssm is not None:
        return [Step(*document_of(action.ssm, action.timeout))]
    found = catalog()[str(action.action)].get(platform)
    if found is None:
        raise NoSuchStep(action=action.name, platform=platform)
    settings = {"name": server, **action.settings}
    return [_step(each, settings, action.timeout) for each in found]


def agent_script(platform: str) -> str:
    """User data that installs the SSM agent: what Systems Manager itself cannot do."""
    if platform == "windows":
        return f"<powershell>\n{_text('install-ssm-agent.ps1')}</powershell>\n"
    return _text("install-ssm-agent.sh")


def _step(entry: Mapping[str, Any], settings: Mapping[str, str], seconds: float) -> Step:
    if "script" in entry:
        windows = entry["script"].endswith(".ps1")
        given = {name: settings[setting] for name, setting in entry.get("environment", {}).items()}
        lines = [_assigned(name, value, windows=windows) for name, value in given.items()]
        text = "\n".join([*lines, _text(entry["script"])])
        return Step(*script_of(text, "POWERSHELL" if windows else "SHELL", seconds))
    parameters = {name: list(values) for name, values in entry.get("parameters", {}).items()}
    for name in entry.get("settings", ()):
        if name in settings:
            values = settings[name].split(",") if name == "dnsIpAddresses" else [settings[name]]
            parameters[name] = [value.strip() for value in values]
    for setting, name in entry.get("renamed", {}).items():
        parameters[name] = [settings[setting]]
    return Step(entry["document"], parameters)


def _assigned(name: str, value: str, *, windows: bool) -> str:
    if windows:
        quoted = value.replace("'", "''")
        return f"$env:{name} = '{quoted}'"
    return f"{name}={shlex.quote(value)}; export {name}"


def _text(name: str) -> str:
    return files("rehost.validation").joinpath("actions", name).read_text(encoding="utf-8")
