"""What Systems Manager is asked to run: a document and its parameters."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_DOCUMENTS = {"SHELL": "AWS-RunShellScript", "POWERSHELL": "AWS-RunPowerShellScript"}


def document_of(settings: Mapping[str, Any], seconds: float) -> tuple[str, dict[str, list[str]]]:
    """The document and its parameters of `ssm` in the spec."""
    if "document" in settings:
        return settings["document"], {key: list(values) for key, values in settings.get("parameters", {}).items()}
    return script_of(settings["command"], settings.get("type", "SHELL"), seconds)


def script_of(text: str, kind: str, seconds: float) -> tuple[str, dict[str, list[str]]]:
    """A script as the document that runs it."""
    return _DOCUMENTS[kind], {"commands": text.splitlines(), "executionTimeout": [str(max(1, int(seconds)))]}
