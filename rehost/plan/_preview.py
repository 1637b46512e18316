"""What `pulumi preview --json` printed, as plain data.

The document is Pulumi's own (pkg/v3/display, `PreviewDigest`): `steps` with the state before and after, `diagnostics`, and
`changeSummary`. What stays as it is has no step, unless `--show-sames` was given; a resource that is replaced has up to three, and
here it is one.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from rehost.plan._errors import PreviewUnreadable

#: Of the file: a preview of 1,000 servers is some 20 MB.
MAX_BYTES = 256 << 20

CREATE, UPDATE, REPLACE, DELETE, SAME = "create", "update", "replace", "delete", "same"
#: By Pulumi's words. What is not here (read, refresh, import, discard) changes nothing of ours.
_OPS = {
    "same": SAME,
    "create": CREATE,
    "update": UPDATE,
    "delete": DELETE,
    "replace": REPLACE,
    "create-replacement": REPLACE,
    "delete-replaced": REPLACE,
}
_WEIGHT = {SAME: 0, UPDATE: 1, CREATE: 2, DELETE: 2, REPLACE: 3}

#: Inputs that say something about a change and are none: they are shown where they belong.
_TOLD_ELSEWHERE = frozenset(
    {"__provider", "plan", "entry", "fullCopy", "jobId", "instanceTypeReason", "instanceTypeFor", "privateIpReason"}
)
#: Inputs whose text nobody needs to read again, or that may hold what not everybody should read.
_HIDDEN = frozenset({"userData", "uefiData", "commands"})
_DYNAMIC = "pulumi-python:dynamic/rehost:"
#: What Pulumi puts in place of a value that only an update will know (sdk, `plugin.UnknownStringValue`).
UNKNOWN = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"
#: The engine's words around what a provider's check said of a property.
_WRAPPED = re.compile(r"(?s)^(?:error: )?(?:\S+ resource '[^']*': property .*? has a problem: )?")


@dataclass(frozen=True)
class Change:
    """One property that differs; a dotted path, and how the values read. None: it is not set."""

    path: str
    before: str | None
    after: str | None

    def as_dict(self) -> dict[str, Any]:
        return {"path": self.path, "before": self.before, "after": self.after}


@dataclass(frozen=True)
class Resource:
    """One resource of the preview. `before` and `after` are inputs; empty where it does not exist then."""

    urn: str
    op: str
    before: Mapping[str, Any]
    after: Mapping[str, Any]
    parent: str | None = None
    reasons: tuple[str, ...] = ()  # properties that make it a replacement

    @property
    def kind(self) -> str:
        """`ReplicationJob`, `Instance` ...; the whole type where it is not of rehost."""
        type_ = self.urn.split("::")[2].split("$")[-1] if self.urn.count("::") >= 3 else ""
        return type_.removeprefix(_DYNAMIC) if type_.startswith(_DYNAMIC) else type_

    @property
    def name(self) -> str:
        return self.urn.split("::", 3)[-1]

    @property
    def inputs(self) -> Mapping[str, Any]:
        return self.after or self.before

    @cached_property
    def changes(self) -> tuple[Change, ...]:
        return tuple(differences(self.before, self.after)) if self.before and self.after else ()


@dataclass(frozen=True)
class Diagnostic:
    severity: str  # error, warning, info, info#err
    message: str
    urn: str = ""

    @property
    def is_error(self) -> bool:
        return self.severity == "error"


@dataclass(frozen=True)
class Preview:
    stack: str
    project: str
    resources: tuple[Resource, ...] = ()
    diagnostics: tuple[Diagnostic, ...] = ()
    config: Mapping[str, str] = field(default_factory=dict)
    summary: Mapping[str, int] = field(default_factory=dict)  # Pulumi's own count, of what has no step, too

    @property
    def errors(self) -> list[Diagnostic]:
        return [each for each in self.diagnostics if each.is_error]

    def counts(self) -> dict[str, int]:
        """How many resources of each operation; a replacement counts once."""
        found = dict.fromkeys((CREATE, UPDATE, REPLACE, DELETE, SAME), 0)
        for each in self.resources:
            found[each.op] += 1
        return {**found, SAME: max(found[SAME], self.summary.get(SAME, 0))}

    @property
    def removes_all(self) -> bool:
        """Whether nothing of the stack is left but the stack itself."""
        ours = [each for each in self.resources if each.kind != "pulumi:pulumi:Stack"]
        return bool(ours) and all(each.op == DELETE for each in ours) and self.counts()[SAME] <= 1


def read_preview(content: bytes, name: str) -> Preview:
    """The preview in `content`. Raises PreviewUnreadable; `name` is what the file is called in it."""
    if len(content) > MAX_BYTES:
        raise PreviewUnreadable(file=name, reason=f"it is larger than {MAX_BYTES >> 20} MiB")
    try:
        data = json.loads(_document(content))
    except (ValueError, RecursionError) as error:
        reason = str(error) if not isinstance(error, RecursionError) else "it is nested too deep"
        raise PreviewUnreadable(file=name, reason=f"it is not JSON ({reason})") from None
    if not isinstance(data, dict) or not ("steps" in data or "diagnostics" in data or "changeSummary" in data):
        raise PreviewUnreadable(file=name, reason="it has neither steps nor diagnostics")
    steps = [each for each in _list(data.get("steps")) if isinstance(each, dict) and isinstance(each.get("urn"), str)]
    resources: dict[str, Resource] = {}
    for step in steps:
        found = _resource(step)
        if found is not None:
            known = resources.get(found.urn)
            resources[found.urn] = together(known, found) if known else found
    stack, project = _names(steps, name)
    return Preview(
        stack=stack,
        project=project,
        resources=tuple(resources.values()),
        diagnostics=tuple(_diagnostics(data)),
        config={str(key): str(value) for key, value in _mapping(data.get("config")).items()},
        summary={
            str(key): value for key, value in _mapping(data.get("changeSummary")).items() if isinstance(value, int)
        },
    )


def _document(content: bytes) -> str:
    """The text from its first brace on: what is written before it is for people."""
    text = content.decode("utf-8-sig", "replace")
    start = text.find("{")
    return text[start:] if start >= 0 else text


def _names(steps: list[dict[str, Any]], name: str) -> tuple[str, str]:
    for step in steps:
        parts = step["urn"].removeprefix("urn:pulumi:").split("::")
        if step["urn"].startswith("urn:pulumi:") and len(parts) >= 4:
            return parts[0], parts[1]
    if steps:
        raise PreviewUnreadable(file=name, reason="its steps are not of resources")
    return "", ""


def _resource(step: dict[str, Any]) -> Resource | None:
    op = _OPS.get(str(step.get("op")))
    if op is None:
        return None
    old, new = _mapping(step.get("oldState")), _mapping(step.get("newState"))
    reasons = [str(each) for each in _list(step.get("replaceReasons"))]
    # A parent is of no use to a step that only deletes the former one of two.
    parent = new.get("parent") or old.get("parent")
    return Resource(
        urn=step["urn"],
        op=op,
        before=_inputs(old) if op != CREATE else {},
        after=_inputs(new) if op != DELETE else {},
        parent=parent if isinstance(parent, str) else None,
        reasons=tuple(reasons),
    )


def together(one: Resource, other: Resource) -> Resource:
    """Two steps of one resource, or two resources in one's place: a replacement has a step for each of its halves."""
    op = max(one.op, other.op, key=_WEIGHT.__getitem__)
    if {one.op, other.op} == {CREATE, DELETE}:
        op = REPLACE
    return Resource(
        urn=one.urn,
        op=op,
        before=one.before or other.before,
        after=one.after or other.after,
        parent=one.parent or other.parent,
        reasons=tuple(dict.fromkeys((*one.reasons, *other.reasons))),
    )


def _inputs(state: Mapping[str, Any]) -> Mapping[str, Any]:
    return _mapping(state.get("inputs"))


def _diagnostics(data: Mapping[str, Any]) -> list[Diagnostic]:
    found = []
    for each in _list(data.get("diagnostics")):
        if isinstance(each, dict) and isinstance(each.get("message"), str):
            message = _WRAPPED.sub("", " ".join(each["message"].split()))
            if message:
                found.append(Diagnostic(str(each.get("severity", "info")), message, str(each.get("urn", ""))))
    return found


def differences(before: Any, after: Any, path: str = "") -> list[Change]:
    """What differs between two trees of plain data, leaf by leaf, in the order of their keys."""
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        keys = [*before, *(key for key in after if key not in before)]
        found = []
        for key in keys:
            if not path and key in _TOLD_ELSEWHERE:
                continue
            word = re.sub("_([a-z])", lambda found: found[1].upper(), str(key)) if path else str(key)
            inner = f"{path}.{word}" if path else word
            found += differences(before.get(key), after.get(key), inner)
        return found
    if before == after:
        return []
    if path.split(".")[-1] in _HIDDEN:
        return [Change(path, _length(before), _length(after))]
    return [Change(path, _said(before), _said(after))]


def _said(value: Any) -> str | None:
    if value is None:
        return None
    if value == UNKNOWN:
        return "known after the update"
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    text = value if isinstance(value, str) else json.dumps(value, sort_keys=True, default=str)
    return text if len(text) <= 200 else f"{text[:200]}…"


def _length(value: Any) -> str | None:
    return f"{len(value):,} characters" if isinstance(value, str) else None if value is None else "set"


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
