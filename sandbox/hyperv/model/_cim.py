"""CIM: the classes that Microsoft documents, their instances, the embedded ones as text, and WQL's conditions.

`cim.json` has names and types of properties, methods and parameters as learn.microsoft.com/windows/win32/hyperv_v2/<class in lower
case with dashes> lists them (for example hyperv_v2/msvm-virtualsystemreferencepoint, hyperv_v2/
msvm-imagemanagementservice-getvirtualdiskchanges). A name that is not there is an error.
"""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ET
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from sandbox.hyperv.powershell import (
    ErrorInfo,
    NetObject,
    PowerShellError,
    Unsupported,
    equal,
    like,
    number,
    order,
    plain,
    text,
)

VIRTUALIZATION = "root/virtualization/v2"
CIMV2 = "root/cimv2"


@dataclass(frozen=True)
class Parameter:
    name: str
    direction: str  # in, out, inout
    type: str


@dataclass(frozen=True)
class CimClass:
    name: str
    base: str
    properties: Mapping[str, str]  # name to type
    methods: Mapping[str, Mapping[str, Parameter]]

    @property
    def namespace(self) -> str:
        return CIMV2 if self.name.startswith("Win32_") else VIRTUALIZATION

    def property_named(self, name: str) -> str:
        for known in self.properties:
            if known.lower() == name.lower():
                return known
        raise Unsupported(f"the property {name} of {self.name}")


@cache
def classes() -> Mapping[str, CimClass]:
    """By name in lower case."""
    read = json.loads((Path(__file__).parent / "cim.json").read_text())
    return {
        name.lower(): CimClass(
            name,
            entry["super"],
            entry["properties"],
            {
                method: {known: Parameter(known, *kind) for known, kind in parameters.items()}
                for method, parameters in entry["methods"].items()
            },
        )
        for name, entry in read.items()
    }


def cim_class(name: str) -> CimClass:
    found = classes().get(name.lower())
    if found is None:
        raise Unsupported(f"the CIM class {name}")
    return found


class CimClassObject(NetObject):
    """What Get-CimClass gives."""

    type_name = "Microsoft.Management.Infrastructure.CimClass"
    properties = {"CimClassName": lambda made: made.definition.name}  # noqa: RUF012 - a table of the class, as its base declares

    def __init__(self, definition: CimClass) -> None:
        self.definition = definition


class CimInstance(NetObject):
    """An instance, a reference to one (keys alone), or one that a script made. `model`: what it stands for."""

    type_name = "Microsoft.Management.Infrastructure.CimInstance"

    def __init__(self, name: str, values: Mapping[str, Any], model: Any = None) -> None:
        self.definition = cim_class(name)
        self.values = {self.definition.property_named(key): value for key, value in values.items()}
        self.model = model

    def get(self, name: str) -> Any:
        if name.lower() == "cimclass":
            return CimClassObject(self.definition)
        known = self.definition.property_named(name)
        if known not in self.values:
            raise Unsupported(f"a value for the property {known} of {self.definition.name}, which it does not model")
        return self.values[known]

    def set(self, name: str, value: Any) -> None:
        self.values[self.definition.property_named(name)] = value

    def text(self) -> str:
        return self.definition.name


def to_text(instance: CimInstance) -> str:
    """CIM-XML of an embedded instance, as CimSerializer writes it."""
    root = ET.Element("INSTANCE", {"CLASSNAME": instance.definition.name})
    for name, kind in instance.definition.properties.items():
        value = instance.values.get(name)
        if kind.endswith("[]"):
            element = ET.SubElement(root, "PROPERTY.ARRAY", {"NAME": name, "TYPE": kind[:-2]})
            if value is not None:
                array = ET.SubElement(element, "VALUE.ARRAY")
                for item in value:
                    ET.SubElement(array, "VALUE").text = text(item)
            continue
        element = ET.SubElement(root, "PROPERTY", {"NAME": name, "TYPE": kind})
        if value is not None:
            shown = ("TRUE" if value else "FALSE") if isinstance(value, bool) else text(value)
            ET.SubElement(element, "VALUE").text = shown
    return ET.tostring(root, encoding="unicode", short_empty_elements=False)


def from_text(source: str) -> CimInstance:
    """Raises ValueError for what is no embedded instance."""
    try:
        root = ET.fromstring(source)
    except ET.ParseError as error:
        message = f"no CIM-XML: {error}"
        raise ValueError(message) from None
    values: dict[str, Any] = {}
    for element in root.iterfind("PROPERTY"):
        found = element.find("VALUE")
        if found is not None:
            values[element.get("NAME", "")] = _typed(element.get("TYPE", "string"), found.text or "")
    return CimInstance(root.get("CLASSNAME", ""), values)


def _typed(kind: str, value: str) -> Any:
    if "int" in kind:
        return int(value)
    return value.upper() == "TRUE" if kind == "boolean" else value


class Serializer(NetObject):
    """Microsoft.Management.Infrastructure.Serialization.CimSerializer: UTF-16 bytes."""

    type_name = "Microsoft.Management.Infrastructure.Serialization.CimSerializer"

    def serialize(self, instance: Any, options: Any) -> bytes:
        if not isinstance(instance, CimInstance):
            raise Unsupported("serializing what is no CIM instance")
        return to_text(instance).encode("utf-16-le")

    methods = {"Serialize": serialize}  # noqa: RUF012


_CONDITION = re.compile(
    r"\s*(\w+)\s*(=|<>|!=|<=|>=|<|>|LIKE)\s*('(?:[^'\\]|\\.)*'|\"[^\"]*\"|\d+|TRUE|FALSE)\s*", re.IGNORECASE
)


def condition(source: str, definition: CimClass) -> Callable[[CimInstance], bool]:
    """A WQL condition: comparisons joined by AND or OR. Raises PowerShellError for what is no WQL."""
    tests: list[tuple[str, Callable[[CimInstance], bool]]] = []
    at, joined = 0, "AND"
    while True:
        found = _CONDITION.match(source, at)
        if found is None:
            raise _invalid_query()
        tests.append((joined, _comparison(definition.property_named(found[1]), found[2].upper(), found[3])))
        at = found.end()
        if at == len(source):
            break
        word = re.compile(r"(AND|OR)\b", re.IGNORECASE).match(source, at)
        if word is None:
            raise _invalid_query()
        joined, at = word[1].upper(), word.end()

    def holds(instance: CimInstance) -> bool:
        # AND binds closer than OR: any group of ANDs that holds.
        groups: list[bool] = []
        for how, test in tests:
            if how == "OR" or not groups:
                groups.append(test(instance))
            else:
                groups[-1] = groups[-1] and test(instance)
        return any(groups)

    return holds


def _comparison(name: str, operator: str, literal: str) -> Callable[[CimInstance], bool]:
    value: Any
    if literal[0] in "'\"":
        value = re.sub(r"\\(.)", r"\1", literal[1:-1])
    else:
        value = {"true": True, "false": False}.get(literal.lower(), literal)
        value = int(value) if isinstance(value, str) else value

    def test(instance: CimInstance) -> bool:
        own = plain(instance.get(name))
        if operator == "LIKE":
            return like(own, value.replace("%", "*").replace("_", "?"))
        if operator == "=":
            return equal(own, value)
        if operator in ("<>", "!="):
            return not equal(own, value)
        sign = order(number(own), number(value))
        return {"<": sign < 0, "<=": sign <= 0, ">": sign > 0, ">=": sign >= 0}[operator]

    return test


def _invalid_query() -> PowerShellError:
    return cim_error("Invalid query ", 0x80041017, "InvalidArgument", "GetCimInstanceCommand")


def cim_error(message: str, hresult: int, category: str, command: str, target: Any = None) -> PowerShellError:
    """As the CIM cmdlets report it."""
    return PowerShellError(
        ErrorInfo(
            message,
            f"HRESULT 0x{hresult:08x},Microsoft.Management.Infrastructure.CimCmdlets.{command}",
            category,
            "Microsoft.Management.Infrastructure.CimException",
            target=target,
            hresult=hresult - (1 << 32),
        )
    )
