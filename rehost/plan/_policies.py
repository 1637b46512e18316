"""Policies: conditions in CEL that a plan has to meet. What cannot be evaluated refuses, as Kubernetes does by default."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import yaml

from rehost.plan._errors import PolicyWrong

#: What a policy can be about, and so the name of its variable beside `plan`.
EACH = ("plan", "wave", "application", "server")
REFUSE, WARN = "refuse", "warn"
MAX_BYTES = 1 << 20
MAX_EXPRESSION = 4096
_KEYS = {"description", "each", "when", "require", "message", "severity"}
#: Texts that are empty in an expression where the plan has nothing.
_TEXTS = frozenset(
    {"application", "base", "enters", "force", "from", "instance", "owner", "phase", "region", "replication", "wave"}
)
_NAME = re.compile("[A-Za-z0-9][A-Za-z0-9._-]{0,62}")


@dataclass(frozen=True)
class Policy:
    name: str
    file: str
    description: str
    each: str
    require: str
    when: str | None = None
    message: str | None = None
    severity: str = REFUSE


@dataclass(frozen=True)
class Violation:
    of: str  # "application shop"; empty for the plan
    message: str

    def as_dict(self) -> dict[str, str]:
        return {"of": self.of, "message": self.message}


@dataclass(frozen=True)
class Verdict:
    policy: Policy
    checked: int  # how many objects it was about
    violations: tuple[Violation, ...]

    @property
    def refuses(self) -> bool:
        return bool(self.violations) and self.policy.severity == REFUSE

    def as_dict(self) -> dict[str, Any]:
        return {
            "name": self.policy.name,
            "file": self.policy.file,
            "description": self.policy.description,
            "severity": self.policy.severity,
            "checked": self.checked,
            "refuses": self.refuses,
            "violations": [each.as_dict() for each in self.violations],
        }


def read_policies(folder: Path) -> list[Policy]:
    """Of every YAML file in the folder, by name. Raises PolicyWrong; an expression that is no CEL is such an error, too."""
    found: dict[str, Policy] = {}
    for path in policy_files(folder):
        for policy in _read(path, path.relative_to(folder.parent).as_posix()):
            if policy.name in found:
                _fail(policy.file, policy.name, f"{found[policy.name].file} has a policy of that name already")
            found[policy.name] = policy
    _compiled(found.values())
    return list(found.values())


def policy_files(folder: Path) -> list[Path]:
    """Sorted by name; hidden ones are passed over."""
    paths = [each for each in folder.rglob("*") if each.suffix in (".yaml", ".yml") and each.is_file()]
    return sorted(each for each in paths if not any(part.startswith(".") for part in each.relative_to(folder).parts))


def judge(policies: Sequence[Policy], document: Mapping[str, Any]) -> list[Verdict]:
    """What each policy says of a plan, as `Plan.as_dict` has it. `_without_nothing` says what becomes of nulls."""
    if not policies:
        return []
    from celpy.adapter import json_to_cel  # the library takes 0.3 s to load

    plan: Any = json_to_cel(_without_nothing(document))
    objects: dict[str, list[tuple[str, Any]]] = {"plan": [("", plan)]}
    for each, section in (("wave", "waves"), ("application", "applications"), ("server", "servers")):
        objects[each] = [(f"{each} {entry.get('name')}", entry) for entry in plan.get(section, [])]
    found = []
    for policy, when, require in _compiled(policies):
        checked, violations = 0, []
        for of, entry in objects[policy.each]:
            context = {"plan": plan, policy.each: entry}
            try:
                if when is not None and not _bool(when, context):
                    continue
                checked += 1
                if not _bool(require, context):
                    violations.append(Violation(of, policy.message or policy.description))
            except _Unusable as error:
                checked += when is not None
                violations.append(Violation(of, f"it cannot be evaluated, so it refuses: {error}"))
        found.append(Verdict(policy, checked, tuple(violations)))
    return found


class _Unusable(Exception):
    pass


def _bool(program: Any, context: Mapping[str, Any]) -> bool:
    from celpy import celtypes
    from celpy.evaluation import CELEvalError

    try:
        result = program.evaluate(dict(context))
    except CELEvalError as error:
        raise _Unusable(str(error.args[0]) if error.args else str(error)) from None
    except RecursionError:
        message = "it is nested too deep"
        raise _Unusable(message) from None
    if not isinstance(result, celtypes.BoolType):
        message = f"its result is {type(result).__name__}, not true or false"
        raise _Unusable(message)
    return bool(result)


def _compiled(policies: Any) -> Iterator[tuple[Policy, Any, Any]]:
    listed = list(policies)
    programs = []
    if listed:
        import celpy
        from celpy.celparser import CELParseError

        environment = celpy.Environment()
        for policy in listed:
            both = []
            for key, text in (("when", policy.when), ("require", policy.require)):
                try:
                    both.append(environment.program(environment.compile(text)) if text is not None else None)
                except CELParseError as error:
                    _fail(policy.file, f"{policy.name}.{key}", f"it is not CEL: {_shown(error)}")
                except RecursionError:
                    _fail(policy.file, f"{policy.name}.{key}", "it is nested too deep")
            programs.append((policy, *both))
    return iter(programs)


def _shown(error: Exception) -> str:
    return " ".join(str(error).split())[:300]


def _read(path: Path, name: str) -> Iterator[Policy]:
    try:
        content = path.read_bytes()
    except OSError as error:
        _fail(name, "the file", f"it cannot be read: {error.strerror}")
    if len(content) > MAX_BYTES:
        _fail(name, "the file", f"it is larger than {MAX_BYTES} bytes")
    try:
        # Aliases are data of no use here, and a way to make a page into gigabytes.
        if any(isinstance(each, yaml.AliasToken) for each in yaml.scan(content)):
            _fail(name, "the file", "aliases are not taken")
        data = yaml.safe_load(content)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        _fail(name, "the file", f"it is not YAML: {_shown(error)}")
    if not isinstance(data, dict) or set(data) != {"policies"} or not isinstance(data["policies"], dict):
        _fail(name, "the file", "it must have one key, `policies`, a mapping from name to policy")
    for key, entry in data["policies"].items():
        yield _policy(str(key), entry, name)


def _policy(name: str, entry: Any, file: str) -> Policy:
    if not _NAME.fullmatch(name):
        _fail(file, name[:80], "a name has letters, digits, dots, dashes and underscores, at most 63")
    if not isinstance(entry, dict):
        _fail(file, name, "it is not a mapping")
    unknown = sorted(map(str, set(entry) - _KEYS))
    if unknown:
        _fail(file, name, f"unknown key {unknown[0]!r}; it can have {', '.join(sorted(_KEYS))}")
    for key, value in entry.items():
        if not isinstance(value, str) or not value.strip():
            _fail(file, f"{name}.{key}", "it must be text (put it in quotes)")
        if len(value) > MAX_EXPRESSION:
            _fail(file, f"{name}.{key}", f"it is longer than {MAX_EXPRESSION} characters")
    for key in ("description", "require"):
        if key not in entry:
            _fail(file, name, f"{key} is missing")
    for key, allowed in (("each", EACH), ("severity", (REFUSE, WARN))):
        if entry.get(key, allowed[0]) not in allowed:
            _fail(file, f"{name}.{key}", f"{entry[key]!r} is none of {', '.join(allowed)}")
    return Policy(name, file, **{"each": "plan", **entry})


def _fail(file: str, where: str, reason: str) -> NoReturn:
    raise PolicyWrong(file=file, where=where, reason=reason)


def _without_nothing(value: Any) -> Any:
    """Nulls are left out, so that `has()` means something; a text that is compared with another is empty instead."""
    if isinstance(value, Mapping):
        found = {str(key): "" if each is None and key in _TEXTS else each for key, each in value.items()}
        return {key: _without_nothing(each) for key, each in found.items() if each is not None}
    return [_without_nothing(each) for each in value] if isinstance(value, list | tuple) else value
