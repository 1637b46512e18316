"""Cmdlets: how they are declared and bound, and those of PowerShell itself that scripts here use."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cmp_to_key
from typing import Any

from sandbox.hyperv.powershell._errors import ErrorInfo, PowerShellError, Stopped, Unsupported, command_not_found
from sandbox.hyperv.powershell._expressions import member
from sandbox.hyperv.powershell._interpreter import Element, Session
from sandbox.hyperv.powershell._json import from_json, to_json
from sandbox.hyperv.powershell._values import (
    VOID,
    Hashtable,
    Record,
    ScriptBlock,
    collapsed,
    equal,
    items,
    number,
    order,
    plain,
    text,
    truth,
)

#: Every cmdlet has these; the value says whether it is a switch.
COMMON = {"erroraction": False, "warningaction": False, "verbose": True, "confirm": True, "whatif": True}


@dataclass
class Bound:
    """The arguments of a call, by parameter in lower case; `given` is the pipeline's input, None where there is none."""

    session: Session
    arguments: Mapping[str, Any]
    given: list[Any] | None = None

    def __getitem__(self, name: str) -> Any:
        return self.arguments.get(name.lower())

    def __contains__(self, name: str) -> bool:
        return name.lower() in self.arguments

    def fail(self, error: PowerShellError) -> None:
        """A non-terminating error."""
        self.session.report(error, text(self["ErrorAction"]) if "ErrorAction" in self else None)

    def warn(self, message: str) -> None:
        self.session.streams.warning(message)


Action = Callable[[Bound], Iterable[Any]]


@dataclass(frozen=True)
class Cmdlet:
    """`parameters`: names, a switch ends with `?`; `positional`: those that may come without a name, in order."""

    name: str
    action: Action
    parameters: Sequence[str]
    positional: Sequence[str] = ()
    exact: Mapping[str, bool] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        for parameter in self.parameters:
            self.exact[parameter.rstrip("?").lower()] = parameter.endswith("?")  # type: ignore[index]


class CommandTable:
    """The cmdlets of a host. `absent`: those that this version of Windows does not have."""

    def __init__(self, cmdlets: Iterable[Cmdlet], absent: Iterable[str] = ()) -> None:
        self._cmdlets = {cmdlet.name.lower(): cmdlet for cmdlet in cmdlets}
        self._absent = {name.lower() for name in absent}

    def invoke(self, session: Session, name: str, elements: list[Element], given: list[Any] | None) -> list[Any]:
        if name.lower() in self._absent:
            raise command_not_found(name)
        cmdlet = self._cmdlets.get(name.lower())
        if cmdlet is None:
            raise Unsupported(f"the command {name}")
        arguments = _bind(cmdlet, elements)
        try:
            return [value for value in cmdlet.action(Bound(session, arguments, given)) if value is not VOID]
        except PowerShellError as error:
            error.info.activity = error.info.activity or cmdlet.name
            if text(arguments.get("erroraction")).lower() in ("silentlycontinue", "ignore"):
                return []
            raise


def _bind(cmdlet: Cmdlet, elements: list[Element]) -> dict[str, Any]:
    bound: dict[str, Any] = {}
    free: list[Any] = []
    waiting: str | None = None
    for element in elements:
        if element.parameter is not None:
            if waiting is not None:
                raise _missing(cmdlet, waiting)
            name = element.parameter.lower()
            switch = cmdlet.exact.get(name, COMMON.get(name))
            if switch is None:
                raise Unsupported(f"the parameter -{element.parameter} of {cmdlet.name}")
            if element.has_value:
                bound[name] = plain(element.value)
            elif switch:
                bound[name] = True
            else:
                waiting = name
        elif waiting is not None:
            bound[waiting], waiting = plain(element.value), None
        else:
            free.append(plain(element.value))
    if waiting is not None:
        raise _missing(cmdlet, waiting)
    for name in cmdlet.positional:
        if free and name.lower() not in bound:
            bound[name.lower()] = free.pop(0)
    if free:
        raise Unsupported(f"the argument {text(free[0])[:40]} of {cmdlet.name}")
    return bound


def _missing(cmdlet: Cmdlet, name: str) -> PowerShellError:
    return PowerShellError(
        ErrorInfo(
            f"Missing an argument for parameter '{name}'. Specify a parameter and try again.",
            f"MissingArgument,{cmdlet.name}",
            "InvalidArgument",
            "System.Management.Automation.ParameterBindingException",
        )
    )


def _where(bound: Bound) -> Iterable[Any]:
    block = bound["FilterScript"]
    for item in bound.given or []:
        if isinstance(block, ScriptBlock):
            if truth(collapsed(bound.session.call_block(block, item))):
                yield item
        else:
            operators = [name for name in ("EQ", "NE") if name in bound]
            if operators and equal(member(item, text(block)), bound["Value"]) == (operators[0] == "EQ"):
                yield item


def _for_each(bound: Bound) -> Iterable[Any]:
    block = bound["Process"]
    for item in bound.given or []:
        if isinstance(block, ScriptBlock):
            yield from bound.session.call_block(block, item)
        else:
            yield from items(member(item, text(block)))


def _select(bound: Bound) -> Iterable[Any]:
    found = list(bound.given or [])
    if "ExpandProperty" in bound:
        found = [value for item in found for value in items(member(item, text(bound["ExpandProperty"])))]
    elif "Property" in bound:
        names = [text(name) for name in items(bound["Property"])]
        found = [Record((name, plain(member(item, name))) for name in names) for item in found]
    if bound["Unique"]:
        found = [item for at, item in enumerate(found) if not any(equal(item, other) for other in found[:at])]
    if "First" in bound:
        found = found[: int(number(bound["First"]))]
    if "Last" in bound:
        found = found[-int(number(bound["Last"])) :]
    return found


def _sort(bound: Bound) -> Iterable[Any]:
    names = items(bound["Property"]) if "Property" in bound else []

    def compare(one: Any, two: Any) -> int:
        for name in names:
            if isinstance(name, ScriptBlock):
                first, second = (collapsed(bound.session.call_block(name, item)) for item in (one, two))
            else:
                first, second = member(one, text(name)), member(two, text(name))
            found = order(first, second)
            if found:
                return found
        return 0 if names else order(one, two)

    return sorted(bound.given or [], key=cmp_to_key(compare), reverse=bool(bound["Descending"]))


def _to_json(bound: Bound) -> Iterable[Any]:
    depth = int(number(bound["Depth"])) if "Depth" in bound else 2
    if "InputObject" in bound:
        value = bound["InputObject"]
    elif not bound.given:
        return []
    else:
        value = collapsed(bound.given)
    return [to_json(value, depth, compress=bool(bound["Compress"]))]


def _from_json(bound: Bound) -> Iterable[Any]:
    source = bound["InputObject"] if "InputObject" in bound else "\n".join(text(item) for item in bound.given or [])
    return [from_json(text(source))]


def _sleep(bound: Bound) -> Iterable[Any]:
    seconds = number(bound["Seconds"]) if "Seconds" in bound else number(bound["Milliseconds"]) / 1000
    deadline = time.monotonic() + seconds
    while (left := deadline - time.monotonic()) > 0:
        if bound.session.streams.stopped:
            raise Stopped
        time.sleep(min(left, 0.05))
    return []


def _write_error(bound: Bound) -> Iterable[Any]:
    error = PowerShellError(
        ErrorInfo(
            text(bound["Message"]),
            "Microsoft.PowerShell.Commands.WriteErrorException",
            exception="Microsoft.PowerShell.Commands.WriteErrorException",
            activity="Write-Error",
        )
    )
    bound.fail(error)
    return []


def _write_warning(bound: Bound) -> Iterable[Any]:
    bound.warn(text(bound["Message"]))
    return []


def _measure(bound: Bound) -> Iterable[Any]:
    values = bound.given or []
    if "Property" in bound:
        values = [member(item, text(bound["Property"])) for item in values]
    made = Record([("Count", len(values))])
    if bound["Sum"]:
        made["Sum"] = sum(number(item) for item in values)
    return [made]


def _new_object(bound: Bound) -> Iterable[Any]:
    if text(bound["TypeName"]).lower() not in ("psobject", "pscustomobject"):
        raise Unsupported(f"New-Object {text(bound['TypeName'])}")
    return [Record(bound["Property"] or Hashtable())]


CORE: Sequence[Cmdlet] = (
    Cmdlet("Where-Object", _where, ["FilterScript", "EQ?", "NE?", "Value"], ["FilterScript", "Value"]),
    Cmdlet("ForEach-Object", _for_each, ["Process"], ["Process"]),
    Cmdlet("Select-Object", _select, ["Property", "ExpandProperty", "First", "Last", "Unique?"], ["Property"]),
    Cmdlet("Sort-Object", _sort, ["Property", "Descending?"], ["Property"]),
    Cmdlet("Measure-Object", _measure, ["Property", "Sum?"], ["Property"]),
    Cmdlet("ConvertTo-Json", _to_json, ["InputObject", "Depth", "Compress?"], ["InputObject"]),
    Cmdlet("ConvertFrom-Json", _from_json, ["InputObject"], ["InputObject"]),
    Cmdlet("Start-Sleep", _sleep, ["Seconds", "Milliseconds"], ["Seconds"]),
    Cmdlet("Write-Error", _write_error, ["Message"], ["Message"]),
    Cmdlet("Write-Warning", _write_warning, ["Message"], ["Message"]),
    Cmdlet("Write-Output", lambda bound: items(bound["InputObject"]), ["InputObject"], ["InputObject"]),
    Cmdlet("Out-Null", lambda bound: [], []),
    Cmdlet("New-Object", _new_object, ["TypeName", "Property"], ["TypeName"]),
)
