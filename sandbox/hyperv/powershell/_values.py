"""The values that scripts handle, and PowerShell's rules for them: truth, text, equality, order, unrolling.

None is $null, bool, int, float and str are themselves, a list is an array. VOID is what a command without output gives.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, ClassVar

from sandbox.hyperv.powershell._errors import PowerShellError, Unsupported, runtime_error


class _Void:
    """AutomationNull: nothing in a pipeline, $null in an expression."""


VOID = _Void()


class Hashtable(MutableMapping[Any, Any]):
    """@{}: names in any case."""

    type_name = "System.Collections.Hashtable"

    def __init__(self, items: Mapping[Any, Any] | Iterable[tuple[Any, Any]] = ()) -> None:
        self._items: dict[Any, tuple[Any, Any]] = {}
        for key, value in items.items() if isinstance(items, Mapping) else items:
            self[key] = value

    def __getitem__(self, key: Any) -> Any:
        return self._items[_folded(key)][1]

    def __setitem__(self, key: Any, value: Any) -> None:
        folded = _folded(key)
        kept = self._items[folded][0] if folded in self._items else key
        self._items[folded] = (kept, value)

    def __delitem__(self, key: Any) -> None:
        del self._items[_folded(key)]

    def __iter__(self) -> Iterator[Any]:
        return (key for key, _ in list(self._items.values()))

    def __len__(self) -> int:
        return len(self._items)

    def __contains__(self, key: object) -> bool:
        return _folded(key) in self._items


class Record(Hashtable):
    """A PSCustomObject."""

    type_name = "System.Management.Automation.PSCustomObject"


class NetObject:
    """An object of .NET: properties and methods by name, of a type by name. What is not listed is unknown, and an error.

    Subclasses list `properties` (name to attribute or callable of the object) and `methods` (name to callable).
    """

    type_name: ClassVar[str] = "System.Object"
    properties: ClassVar[Mapping[str, Callable[[Any], Any] | str]] = {}
    methods: ClassVar[Mapping[str, Callable[..., Any]]] = {}

    def get(self, name: str) -> Any:
        found = {key.lower(): value for key, value in self.properties.items()}.get(name.lower())
        if found is None:
            raise Unsupported(f"the property {name} of {self.type_name}")
        return getattr(self, found) if isinstance(found, str) else found(self)

    def set(self, name: str, value: Any) -> None:
        raise Unsupported(f"setting the property {name} of {self.type_name}")

    def call(self, name: str, arguments: list[Any]) -> Any:
        found = {key.lower(): value for key, value in self.methods.items()}.get(name.lower())
        if found is None:
            raise Unsupported(f"the method {name} of {self.type_name}")
        return found(self, *arguments)

    def text(self) -> str:
        return self.type_name


@dataclass(frozen=True)
class EnumValue:
    """A member of a .NET enumeration: a number with a name."""

    name: str
    number: int
    type_name: str = "System.Enum"


@dataclass(frozen=True)
class TypeName:
    """[name], the type itself."""

    name: str


@dataclass(frozen=True)
class ScriptBlock:
    node: Any  # the syntax
    scope: Any = field(compare=False, default=None)


def _folded(key: Any) -> Any:
    return key.lower() if isinstance(key, str) else key


def truth(value: Any) -> bool:
    if value is None or value is VOID:
        return False
    if isinstance(value, (list, tuple)):
        if len(value) == 1:
            return truth(value[0]) if not isinstance(value[0], (list, tuple)) else len(value[0]) > 0
        return len(value) > 0
    if isinstance(value, (bool, int, float)):
        return value != 0
    if isinstance(value, str):
        return value != ""
    if isinstance(value, EnumValue):
        return value.number != 0
    return True


def text(value: Any) -> str:
    """[string]$value."""
    if value is None or value is VOID:
        return ""
    if isinstance(value, bool):
        return "True" if value else "False"
    if isinstance(value, str):
        return value
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return str(int(value)) if value == int(value) and abs(value) < 1e15 else repr(value)
    if isinstance(value, EnumValue):
        return value.name
    if isinstance(value, uuid.UUID):
        return str(value)
    if isinstance(value, datetime):
        return value.strftime("%m/%d/%Y %H:%M:%S")
    if isinstance(value, bytes):
        return " ".join(str(byte) for byte in value)
    if isinstance(value, (list, tuple)):
        return " ".join(text(item) for item in value)
    if isinstance(value, Record):
        return "@{" + "; ".join(f"{key}={text(item)}" for key, item in value.items()) + "}"
    if isinstance(value, Hashtable):
        return value.type_name
    if isinstance(value, NetObject):
        return value.text()
    if isinstance(value, TypeName):
        return value.name
    raise Unsupported(f"the text of a {type_of(value)}")


_NAMES: Mapping[type, str] = {
    bool: "System.Boolean",
    int: "System.Int32",
    float: "System.Double",
    str: "System.String",
    bytes: "System.Byte[]",
    list: "System.Object[]",
    uuid.UUID: "System.Guid",
    datetime: "System.DateTime",
}


def type_of(value: Any) -> str:
    if value is None or value is VOID:
        return "null"
    return _NAMES.get(type(value)) or str(getattr(value, "type_name", type(value).__name__))


def number(value: Any) -> int | float:
    """For arithmetic and order. Raises PowerShellError for what is no number."""
    if value is None or value is VOID:
        return 0
    if isinstance(value, EnumValue):
        return value.number
    if isinstance(value, (bool, int, float)):
        return value
    if isinstance(value, str):
        trimmed = value.strip()
        try:
            return int(trimmed, 16) if trimmed.lower().startswith("0x") else int(trimmed)
        except ValueError:
            try:
                return float(trimmed) if trimmed else 0
            except ValueError:
                pass
    message = f'Cannot convert value "{text(value)}" to type "System.Int32". Error: "Input string was not in a correct format."'
    raise runtime_error(message, "InvalidCastFromStringToInteger", "InvalidArgument")


def equal(left: Any, right: Any, *, cased: bool = False) -> bool:
    """-eq of single values: the right one is made to be of the left one's kind."""
    if left is VOID or left is None:
        return right is None or right is VOID
    if right is VOID or right is None:
        return False
    if isinstance(left, EnumValue):
        if isinstance(right, str):
            return left.name.lower() == right.lower()
        return isinstance(right, (EnumValue, int)) and left.number == number(right)
    if isinstance(left, str):
        other = text(right)
        return left == other if cased else left.lower() == other.lower()
    if isinstance(left, bool):
        return left == truth(right)
    if isinstance(left, (int, float)):
        try:
            return left == number(right)
        except PowerShellError:  # what cannot be converted is not equal
            return False
    if isinstance(left, uuid.UUID):
        return str(left) == text(right).strip("{}").lower()
    return bool(left == right)


def order(left: Any, right: Any) -> int:
    """Negative, zero, positive."""
    if isinstance(left, str):
        first, second = left.lower(), text(right).lower()
        return (first > second) - (first < second)
    if isinstance(left, datetime):
        if not isinstance(right, datetime):
            raise Unsupported(f"comparing a date with a {type_of(right)}")
        return (left > right) - (left < right)
    one, two = number(left), number(right)
    return (one > two) - (one < two)


def items(value: Any) -> list[Any]:
    """What a value is in a pipeline: an array's members, nothing of VOID, else itself."""
    if value is VOID:
        return []
    if isinstance(value, (list, tuple)):
        return list(value)
    if isinstance(value, bytes):
        return list(value)
    return [value]


def collapsed(values: list[Any]) -> Any:
    """What a pipeline's output is as a value."""
    if not values:
        return VOID
    return values[0] if len(values) == 1 else values


def plain(value: Any) -> Any:
    return None if value is VOID else value


def utc(moment: datetime) -> datetime:
    return moment.astimezone(UTC)
