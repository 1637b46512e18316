"""Findings as text with excerpts, as annotations of GitHub Actions, and as SARIF 2.1.0."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from urllib.parse import quote

from rehost.spec import _rules
from rehost.spec._excerpts import Excerpts
from rehost.spec._findings import Finding, visible

SARIF = "2.1.0"


def as_text(finding: Finding, excerpts: Excerpts) -> str:
    """`file:line:column: message (hint) [rule]`, and below it the line with a caret, where there is one."""
    excerpt = excerpts.of(finding)
    said = f"{finding} [{finding.rule}]"
    return f"{said}\n{excerpt}" if excerpt else said


def as_github(finding: Finding, path: str) -> str:
    """A workflow command (GitHub Docs, "Workflow commands for GitHub Actions"). `path` is relative to the repository."""
    kind = "error" if finding.is_error else "warning"
    where = {"file": visible(path), "line": finding.line, "col": finding.column, "title": finding.rule}
    settings = ",".join(f"{key}={_escaped(str(value), ':,')}" for key, value in where.items())
    return f"::{kind} {settings}::{_escaped(_said(finding), '')}"


def _escaped(value: str, further: str) -> str:
    for each in "%\r\n" + further:
        value = value.replace(each, f"%{ord(each):02X}")
    return value


def _said(finding: Finding) -> str:
    return f"{finding.message} ({finding.hint})" if finding.hint else finding.message


def as_sarif(findings: Sequence[Finding], paths: Mapping[str, str], version: str) -> dict[str, Any]:
    """One run of SARIF 2.1.0 (OASIS). `paths` are those of the repository, by the findings' own; columns count code points."""
    rules = sorted({each.rule for each in findings})
    return {
        "$schema": f"https://docs.oasis-open.org/sarif/sarif/v{SARIF}/errata01/os/schemas/sarif-schema-{SARIF}.json",
        "version": SARIF,
        "runs": [
            {
                "tool": {"driver": {"name": "rehost", "version": version, "rules": list(_described(rules))}},
                "columnKind": "unicodeCodePoints",
                "results": [_result(each, rules.index(each.rule), paths[each.path]) for each in findings],
            }
        ],
    }


def _described(rules: Iterable[str]) -> Iterable[dict[str, Any]]:
    for rule in rules:
        plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", _rules.meaning(rule)).replace("`", "")
        yield {"id": rule, "shortDescription": {"text": plain}}


def _result(finding: Finding, rule: int, path: str) -> dict[str, Any]:
    artifact: dict[str, Any] = {"uri": quote(path)}
    if not path.startswith("/"):
        artifact["uriBaseId"] = "%SRCROOT%"
    region = {"startLine": finding.line, "startColumn": finding.column}
    return {
        "ruleId": finding.rule,
        "ruleIndex": rule,
        "level": finding.severity,
        "message": {"text": _said(finding)},
        "locations": [{"physicalLocation": {"artifactLocation": artifact, "region": region}}],
    }
