"""Casts, and the few members of .NET's types that scripts here may call."""

from __future__ import annotations

import base64
import uuid
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from sandbox.hyperv.powershell._errors import PowerShellError, Unsupported, runtime_error
from sandbox.hyperv.powershell._values import (
    Hashtable,
    NetObject,
    Record,
    TypeName,
    items,
    number,
    plain,
    text,
    truth,
    type_of,
    utc,
)

_INTEGERS: Mapping[str, tuple[str, int, int]] = {
    "byte": ("System.Byte", 0, 2**8 - 1),
    "int16": ("System.Int16", -(2**15), 2**15 - 1),
    "uint16": ("System.UInt16", 0, 2**16 - 1),
    "int": ("System.Int32", -(2**31), 2**31 - 1),
    "int32": ("System.Int32", -(2**31), 2**31 - 1),
    "uint32": ("System.UInt32", 0, 2**32 - 1),
    "long": ("System.Int64", -(2**63), 2**63 - 1),
    "int64": ("System.Int64", -(2**63), 2**63 - 1),
    "uint64": ("System.UInt64", 0, 2**64 - 1),
}


def cast(name: str, value: Any) -> Any:
    """[name]$value. Raises PowerShellError where Windows would refuse it, Unsupported for a type that is not here."""
    short = name.lower().removeprefix("system.")
    value = plain(value)
    if short.endswith("[]"):
        return [] if value is None else [cast(name[:-2], item) for item in items(value)]
    if short in _INTEGERS:
        return _integer(short, value)
    simple: Mapping[str, Callable[[Any], Any]] = {
        "string": text,
        "bool": truth,
        "boolean": truth,
        "switch": truth,
        "double": lambda given: float(number(given)),
        "object": lambda given: given,
        "array": items,
        "guid": _guid,
        "pscustomobject": lambda given: Record(given) if isinstance(given, Hashtable) else given,
        "hashtable": _hashtable,
        "ordered": _hashtable,
        "datetime": _date,
    }
    if short not in simple:
        raise Unsupported(f"the type [{name}]")
    return simple[short](value)


def _integer(short: str, value: Any) -> int:
    full, least, most = _INTEGERS[short]
    if isinstance(value, (list, tuple)):
        message = f'Cannot convert the "{text(value)}" value of type "System.Object[]" to type "{full}".'
        raise runtime_error(message, "ConvertToFinalInvalidCastException", "InvalidArgument")
    try:
        found = round(number(value))
    except PowerShellError:
        message = (
            f'Cannot convert value "{text(value)}" to type "{full}". Error: "Input string was not in a correct format."'
        )
        raise runtime_error(message, "InvalidCastFromStringToInteger", "InvalidArgument") from None
    if not least <= found <= most:
        message = f'Cannot convert value "{text(value)}" to type "{full}". Error: "Value was either too large or too small for {_article(full)}."'
        raise runtime_error(message, "InvalidCastIConvertible", "InvalidArgument")
    return found


def _article(full: str) -> str:
    name = full.removeprefix("System.")
    return f"an {name}" if name[0] in "IU" else f"a {name}"


def _guid(value: Any) -> uuid.UUID:
    if isinstance(value, uuid.UUID):
        return value
    try:
        return uuid.UUID(text(value))
    except ValueError:
        message = f'Cannot convert value "{text(value)}" to type "System.Guid". Error: "Unrecognized Guid format."'
        raise runtime_error(message, "InvalidCastParseTargetInvocation", "InvalidArgument") from None


def _hashtable(value: Any) -> Hashtable:
    if not isinstance(value, Hashtable) or isinstance(value, Record):
        message = f'Cannot convert the value of type "{type_of(value)}" to type "System.Collections.Hashtable".'
        raise runtime_error(message, "ConvertToFinalInvalidCastException", "InvalidArgument")
    return value


def _date(value: Any) -> datetime:
    if isinstance(value, datetime):
        return value
    try:
        return datetime.fromisoformat(text(value))
    except ValueError:
        message = f'Cannot convert value "{text(value)}" to type "System.DateTime".'
        raise runtime_error(message, "InvalidCastParseTargetInvocation", "InvalidArgument") from None


def is_a(value: Any, name: str) -> bool:
    """$value -is [name]."""
    short = name.lower().removeprefix("system.")
    kinds: Mapping[str, type | tuple[type, ...]] = {
        "string": str,
        "bool": bool,
        "double": float,
        "array": list,
        "object[]": list,
        "guid": uuid.UUID,
        "datetime": datetime,
        "hashtable": Hashtable,
        "pscustomobject": Record,
    }
    if short in _INTEGERS:
        return isinstance(value, int) and not isinstance(value, bool)
    if short not in kinds:
        raise Unsupported(f"-is [{name}]")
    return isinstance(value, kinds[short]) and not (short == "hashtable" and isinstance(value, Record))


class Encoding(NetObject):
    type_name = "System.Text.Encoding"

    def __init__(self, codec: str) -> None:
        self._codec = codec

    def _get_string(self, raw: Any) -> str:
        return bytes(items(raw)).decode(self._codec)

    def _get_bytes(self, value: Any) -> bytes:
        return text(value).encode(self._codec)

    methods = {"GetString": _get_string, "GetBytes": _get_bytes}  # noqa: RUF012 - a table of the class, as its base declares


STATIC_PROPERTIES: dict[str, dict[str, Callable[[], Any]]] = {
    "text.encoding": {"unicode": lambda: Encoding("utf-16-le"), "utf8": lambda: Encoding("utf-8")},
    "datetime": {"utcnow": lambda: datetime.now(UTC), "now": lambda: datetime.now(UTC)},
    "int64": {"maxvalue": lambda: 2**63 - 1},
    "uint64": {"maxvalue": lambda: 2**64 - 1},
    "string": {"empty": lambda: ""},
    "guid": {"empty": lambda: uuid.UUID(int=0)},
}

STATIC_METHODS: dict[str, dict[str, Callable[..., Any]]] = {
    "string": {
        "join": lambda separator, *parts: text(separator).join(
            text(part) for part in (items(parts[0]) if len(parts) == 1 else parts)
        ),
        "isnullorempty": lambda value: text(value) == "",
        "isnullorwhitespace": lambda value: text(value).strip() == "",
    },
    "guid": {"newguid": lambda: uuid.uuid4(), "parse": _guid},
    "convert": {
        "tobase64string": lambda raw: base64.b64encode(bytes(items(raw))).decode(),
        "frombase64string": lambda value: base64.b64decode(text(value)),
    },
    "math": {
        "min": lambda one, two: min(number(one), number(two)),
        "max": lambda one, two: max(number(one), number(two)),
    },
}


def static_property(name: str, member: str) -> Any:
    found = STATIC_PROPERTIES.get(_short(name), {}).get(member.lower())
    if found is None:
        raise Unsupported(f"[{name}]::{member}")
    return found()


def static_call(name: str, member: str, arguments: list[Any]) -> Any:
    found = STATIC_METHODS.get(_short(name), {}).get(member.lower())
    if found is None:
        raise Unsupported(f"[{name}]::{member}()")
    return found(*arguments)


def _short(name: str) -> str:
    return name.lower().removeprefix("system.")


_STRING_METHODS: Mapping[str, Callable[..., Any]] = {
    "toupper": lambda value: value.upper(),
    "toupperinvariant": lambda value: value.upper(),
    "tolower": lambda value: value.lower(),
    "tolowerinvariant": lambda value: value.lower(),
    "trim": lambda value, marks=None: value.strip(marks),
    "trimend": lambda value, marks=None: value.rstrip(marks),
    "trimstart": lambda value, marks=None: value.lstrip(marks),
    "startswith": lambda value, part: value.startswith(text(part)),
    "endswith": lambda value, part: value.endswith(text(part)),
    "contains": lambda value, part: text(part) in value,
    "replace": lambda value, old, new: value.replace(text(old), text(new)),
    "split": lambda value, mark: value.split(text(mark)),
    "substring": lambda value, start, length=None: value[start : None if length is None else start + length],
    "indexof": lambda value, part: value.find(text(part)),
    "lastindexof": lambda value, part: value.rfind(text(part)),
    "tostring": lambda value: value,
}

_DATE_METHODS: Mapping[str, Callable[..., Any]] = {
    "touniversaltime": utc,
    "addseconds": lambda value, seconds: value + timedelta(seconds=number(seconds)),
    "addminutes": lambda value, minutes: value + timedelta(minutes=number(minutes)),
}


def call(value: Any, name: str, arguments: list[Any]) -> Any:
    """A method of a value that is no NetObject."""
    lower = name.lower()
    if value is None:
        raise runtime_error("You cannot call a method on a null-valued expression.", "InvokeMethodOnNull")
    if isinstance(value, str) and lower in _STRING_METHODS:
        return _STRING_METHODS[lower](value, *arguments)
    if isinstance(value, datetime):
        if lower in _DATE_METHODS:
            return _DATE_METHODS[lower](value, *arguments)
        if lower == "tostring" and arguments and text(arguments[0]) == "o":
            return round_trip(value)
    if isinstance(value, Hashtable) and not isinstance(value, Record):
        if lower in ("containskey", "contains"):
            return arguments[0] in value
        if lower == "remove":
            value.pop(arguments[0], None)
            return None
        if lower == "add":
            value[arguments[0]] = arguments[1]
            return None
    if lower == "tostring" and not arguments:
        return text(value)
    if lower == "gettype" and not arguments:
        return TypeName(type_of(value))
    raise Unsupported(f"the method {name} of {type_of(value)} with {len(arguments)} arguments")


def round_trip(moment: datetime) -> str:
    """Format "o": seven digits of a second, Z for UTC."""
    shown = moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond:06d}0"
    offset = moment.utcoffset()
    if offset is None:
        return shown
    if not offset:
        return shown + "Z"
    total = int(offset.total_seconds()) // 60
    return f"{shown}{'+' if total >= 0 else '-'}{abs(total) // 60:02d}:{abs(total) % 60:02d}"
