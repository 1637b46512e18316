"""Command documents: which script one comes to on an instance, with its parameters in place."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml
from moto.ssm.exceptions import InvalidDocument, SSMException

Parameters = Mapping[str, Sequence[str]]

DEFAULT_SECONDS = 3600.0  # executionTimeout of AWS-RunShellScript
_PLACE = re.compile(r"\{\{\s*(\w+)\s*\}\}")
#: AWS's own documents whose plugins the guests' agent lacks: they are delivered, and fail.
_PLUGINS = {
    "AWS-UpdateSSMAgent": "aws:updateSsmAgent",
    "AWS-ConfigureAWSPackage": "aws:configurePackage",
    "AWS-JoinDirectoryServiceDomain": "aws:domainJoin",
    "AmazonCloudWatch-ManageAgent": "aws:cloudWatch",
}


class InvalidParameters(SSMException):
    code = "InvalidParameters"


@dataclass(frozen=True)
class Script:
    plugin: str
    text: str
    seconds: float  # that it may take


def script_of(name: str, parameters: Parameters, own: Mapping[str, Any]) -> Script:
    """`own` are the account's documents, as moto has them. Raises InvalidDocument and InvalidParameters, as AWS does."""
    short = name.rsplit("document/", 1)[-1]
    seconds = _seconds(parameters)
    if short in ("AWS-RunShellScript", "AWS-RunPowerShellScript"):
        unknown = parameters.keys() - {"commands", "executionTimeout", "workingDirectory"}
        if unknown or not parameters.get("commands"):
            raise InvalidParameters(f"The parameters of {short} are commands, executionTimeout and workingDirectory")
        text = "\n".join(parameters["commands"])
        if short == "AWS-RunPowerShellScript":
            return Script("aws:runPowerShellScript", _powershell(text), seconds)
        folder = (parameters.get("workingDirectory") or [""])[0]
        return Script("aws:runShellScript", f"cd {json.dumps(folder)} || exit 1\n{text}" if folder else text, seconds)
    if short in _PLUGINS:
        plugin = _PLUGINS[short]
        return Script(plugin, f'echo "this sandbox\'s agent has no plugin {plugin}" >&2; exit 1', seconds)
    if short not in own:
        raise InvalidDocument(f"Document {name} does not exist.")
    return _own(own[short], parameters, seconds)


def _own(documents: Any, parameters: Parameters, seconds: float) -> Script:
    found = documents.get_default_version()
    content: Any = yaml.safe_load(found.content)
    if found.document_type != "Command" or "mainSteps" not in content:
        raise InvalidDocument("The document is no command of schema version 2.")
    declared = content.get("parameters", {})
    unknown = parameters.keys() - declared.keys()
    missing = [name for name, each in declared.items() if "default" not in each and name not in parameters]
    if unknown or missing:
        raise InvalidParameters(f"unknown: {sorted(unknown)}, missing: {missing}")
    values = {name: _one(parameters.get(name, each.get("default", ""))) for name, each in declared.items()}
    lines = []
    for step in content["mainSteps"]:
        if step["action"] not in ("aws:runShellScript", "aws:runPowerShellScript"):
            lines.append(f'echo "this sandbox\'s agent has no plugin {step["action"]}" >&2; exit 1')
            continue
        text = "\n".join(step["inputs"]["runCommand"])
        text = _PLACE.sub(lambda each: values.get(each[1], each[0]), text)
        wanted = step.get("precondition", {}).get("StringEquals", ["platformType", "Linux"])
        if "Linux" in wanted:
            shell = text if step["action"] == "aws:runShellScript" else _powershell(text)
            lines.append(f"(\n{shell}\n) || exit $?")
    return Script("aws:runShellScript", "\n".join(lines) or "true", seconds)


def _one(value: Any) -> str:
    values = value if isinstance(value, list) else [value]
    return str(values[0]) if len(values) == 1 else "\n".join(map(str, values))


def _powershell(text: str) -> str:
    mark = "END_OF_POWERSHELL"
    found = 'command -v pwsh >/dev/null || { echo "pwsh: not found" >&2; exit 127; }'
    return f"{found}\npwsh -NonInteractive -Command - <<'{mark}'\n{text}\n{mark}"


def _seconds(parameters: Parameters) -> float:
    given = parameters.get("executionTimeout")
    try:
        return float(given[0]) if given else DEFAULT_SECONDS
    except ValueError:
        raise InvalidParameters("executionTimeout is no number of seconds") from None
