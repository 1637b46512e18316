"""PowerShell's operators on two values, arrays on the left filtering as they do there."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from sandbox.hyperv.powershell._errors import PowerShellError, Unsupported, runtime_error
from sandbox.hyperv.powershell._types import is_a
from sandbox.hyperv.powershell._values import Hashtable, TypeName, equal, items, number, order, plain, text, truth


def _filtering(test: Callable[[Any, Any], bool]) -> Callable[[Any, Any], Any]:
    def apply(left: Any, right: Any) -> Any:
        if isinstance(left, (list, tuple)):
            return [item for item in left if test(item, right)]
        return test(left, right)

    return apply


def like(value: Any, pattern: Any) -> bool:
    return wildcard(text(pattern)).fullmatch(text(value)) is not None


def wildcard(pattern: str) -> re.Pattern[str]:
    """-like's pattern: * ? [a-z], and ` before a character that means itself."""
    parts: list[str] = []
    at = 0
    while at < len(pattern):
        mark = pattern[at]
        closing = pattern.find("]", at + 1)
        if mark == "`" and at + 1 < len(pattern):
            at += 1
            parts.append(re.escape(pattern[at]))
        elif mark == "*":
            parts.append(".*")
        elif mark == "?":
            parts.append(".")
        elif mark == "[" and closing > 0:
            parts.append("[" + pattern[at + 1 : closing].replace("\\", "\\\\") + "]")
            at = closing
        else:
            parts.append(re.escape(mark))
        at += 1
    return re.compile("".join(parts), re.IGNORECASE | re.DOTALL)


def _matches(value: Any, pattern: Any) -> bool:
    return re.search(text(pattern), text(value), re.IGNORECASE) is not None


def _contains(left: Any, right: Any) -> bool:
    return any(equal(item, right) for item in items(plain(left)))


def _split(left: Any, right: Any) -> list[str]:
    return [part for value in items(left) for part in re.split(text(right), text(value), flags=re.IGNORECASE)]


def _replace(left: Any, right: Any) -> Any:
    pattern, new = (*items(right), "")[:2]
    # .NET writes groups as $1 where Python writes \1.
    replacement = re.sub(r"\$(\d+)", r"\\\1", text(new).replace("\\", "\\\\"))
    done = [re.sub(text(pattern), replacement, text(value), flags=re.IGNORECASE) for value in items(left)]
    return done if isinstance(left, list) else done[0]


COMPARISONS: Mapping[str, Callable[[Any, Any], Any]] = {
    "-eq": _filtering(equal),
    "-ieq": _filtering(equal),
    "-ceq": _filtering(lambda left, right: equal(left, right, cased=True)),
    "-ne": _filtering(lambda left, right: not equal(left, right)),
    "-lt": _filtering(lambda left, right: order(left, right) < 0),
    "-le": _filtering(lambda left, right: order(left, right) <= 0),
    "-gt": _filtering(lambda left, right: order(left, right) > 0),
    "-ge": _filtering(lambda left, right: order(left, right) >= 0),
    "-like": _filtering(like),
    "-notlike": _filtering(lambda left, right: not like(left, right)),
    "-match": _filtering(_matches),
    "-notmatch": _filtering(lambda left, right: not _matches(left, right)),
    "-contains": _contains,
    "-notcontains": lambda left, right: not _contains(left, right),
    "-in": lambda left, right: _contains(right, left),
    "-notin": lambda left, right: not _contains(right, left),
    "-split": _split,
    "-join": lambda left, right: text(right).join(text(item) for item in items(left)),
    "-replace": _replace,
    "-is": lambda left, right: is_a(left, right.name if isinstance(right, TypeName) else text(right)),
    "-isnot": lambda left, right: not is_a(left, right.name if isinstance(right, TypeName) else text(right)),
}


def add(left: Any, right: Any) -> Any:
    left, right = plain(left), plain(right)
    if left is None:
        return right
    if isinstance(left, (list, tuple)):
        return [*left, *items(right)]
    if isinstance(left, str):
        return left + text(right)
    if isinstance(left, Hashtable):
        if not isinstance(right, Hashtable):
            message = "A hash table can only be added to another hash table."
            raise runtime_error(message, "AddHashTableToNonHashTable", "InvalidOperation")
        return Hashtable([*left.items(), *right.items()])
    return number(left) + number(right)


def multiply(operator: str, left: Any, right: Any) -> Any:
    if operator == "*":
        if isinstance(left, str):
            return left * int(number(right))
        return [*left] * int(number(right)) if isinstance(left, list) else number(left) * number(right)
    divisor = number(right)
    if divisor == 0:
        raise runtime_error("Attempted to divide by zero.", "RuntimeException", "NotSpecified")
    if operator == "/":
        result = number(left) / divisor
        return int(result) if result == int(result) else result
    if operator == "%":
        rest = abs(number(left)) % abs(divisor)
        return rest if number(left) >= 0 else -rest
    raise Unsupported(f"the operator {operator}")


def subtract(left: Any, right: Any) -> Any:
    if isinstance(left, datetime):
        raise Unsupported("the difference of dates")
    return number(left) - number(right)


def bitwise(operator: str, left: Any, right: Any) -> int:
    one, two = int(number(left)), int(number(right))
    known = {"-band": one & two, "-bor": one | two, "-bxor": one ^ two}
    if operator not in known:
        raise Unsupported(f"the operator {operator}")
    return known[operator]


def logical(operator: str, left: Any, right: Callable[[], Any]) -> bool:
    if operator == "-and":
        return truth(left) and truth(right())
    if operator == "-or":
        return truth(left) or truth(right())
    if operator == "-xor":
        return truth(left) != truth(right())
    raise Unsupported(f"the operator {operator}")


def formatted(template: Any, values: Any) -> str:
    """-f with indexes, alignment, and the formats D, X, N0 and o."""
    given = items(values) if isinstance(values, (list, tuple)) else [values]

    def one(found: re.Match[str]) -> str:
        if found[0] in ("{{", "}}"):
            return found[0][0]
        index = int(found[1])
        if index >= len(given):
            message = "Error formatting a string: Index (zero based) must be greater than or equal to zero and less than the size of the argument list.."
            raise PowerShellError(runtime_error(message, "FormatError").info)
        shown = _shown(given[index], found[3] or "")
        width = int(found[2] or 0)
        return shown.rjust(width) if width >= 0 else shown.ljust(-width)

    return re.sub(r"\{\{|\}\}|\{(\d+)(?:,(-?\d+))?(?::([^}]*))?\}", one, text(template))


def _shown(value: Any, form: str) -> str:
    if not form:
        return text(value)
    found = re.fullmatch(r"([DXxN])(\d*)", form)
    if found is None or not isinstance(value, (int, float)):
        raise Unsupported(f"the format {form}")
    digits = int(found[2] or 0)
    if found[1] == "N":
        return f"{value:,.{digits if found[2] else 2}f}"
    return f"{int(value):0{digits}d}" if found[1] == "D" else f"{int(value):0{digits}{found[1]}}"
