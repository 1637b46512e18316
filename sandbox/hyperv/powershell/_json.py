"""ConvertTo-Json and ConvertFrom-Json as Windows PowerShell 5.1 has them, which is not as PowerShell 7 does.

5.1 writes with JavaScriptSerializer: `<`, `>`, `&` and `'` as \\u escapes, dates as "\\/Date(milliseconds)\\/", enumerations as
numbers; what lies deeper than -Depth becomes text (learn.microsoft.com/powershell/module/microsoft.powershell.utility/convertto-json
?view=powershell-5.1).
"""

from __future__ import annotations

import json
import uuid
from datetime import datetime
from typing import Any

from sandbox.hyperv.powershell._errors import Unsupported, runtime_error
from sandbox.hyperv.powershell._values import EnumValue, Hashtable, NetObject, Record, text, type_of

_ESCAPED = {
    '"': '\\"',
    "\\": "\\\\",
    "\n": "\\n",
    "\r": "\\r",
    "\t": "\\t",
    "\b": "\\b",
    "\f": "\\f",
    **{mark: f"\\u{ord(mark):04x}" for mark in "<>&'\u0085\u2028\u2029"},
}


def to_json(value: Any, depth: int, *, compress: bool) -> str:
    return _Writer(depth, compress).write(value, 0)


class _Writer:
    def __init__(self, depth: int, compress: bool) -> None:
        self._depth = depth
        self._compress = compress

    def write(self, value: Any, level: int) -> str:
        if value is None:
            return "null"
        if isinstance(value, bool):
            return "true" if value else "false"
        if isinstance(value, (int, float)):
            return json.dumps(value)
        if isinstance(value, EnumValue):
            return str(value.number)
        if isinstance(value, (str, uuid.UUID)):
            return _quoted(str(value))
        if isinstance(value, datetime):
            return f'"\\/Date({round(value.timestamp() * 1000)})\\/"'
        if level > self._depth:
            return _quoted(text(value))
        if isinstance(value, (list, tuple, bytes)):
            return self._group("[", [self.write(item, level + 1) for item in value], "]", level)
        if isinstance(value, Hashtable):
            return self._object(value.items(), level)
        if isinstance(value, NetObject):
            return self._object([(name, value.get(name)) for name in value.properties], level)
        raise Unsupported(f"a {type_of(value)} in ConvertTo-Json")

    def _object(self, pairs: Any, level: int) -> str:
        colon = ":" if self._compress else ":  "
        shown = [f"{_quoted(text(key))}{colon}{self.write(item, level + 1)}" for key, item in pairs]
        return self._group("{", shown, "}", level)

    def _group(self, begin: str, parts: list[str], end: str, level: int) -> str:
        if self._compress or not parts:
            return begin + ",".join(parts) + end
        indent = "    " * (level + 1)
        return f"{begin}\r\n{indent}" + f",\r\n{indent}".join(parts) + f"\r\n{'    ' * level}{end}"


def _quoted(value: str) -> str:
    return '"' + "".join(_ESCAPED.get(mark) or (f"\\u{ord(mark):04x}" if mark < " " else mark) for mark in value) + '"'


def from_json(source: str) -> Any:
    try:
        return json.loads(source, object_pairs_hook=Record)
    except json.JSONDecodeError as error:
        message = f"Invalid JSON primitive: {error.msg}."
        raise runtime_error(
            message,
            "System.ArgumentException,Microsoft.PowerShell.Commands.ConvertFromJsonCommand",
            "NotSpecified",
            exception="System.ArgumentException",
        ) from None
