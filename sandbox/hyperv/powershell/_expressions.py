"""Expressions: literals, variables, members, operators, casts, assignment."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from sandbox.hyperv.powershell._errors import Unsupported, runtime_error
from sandbox.hyperv.powershell._operators import (
    COMPARISONS,
    add,
    bitwise,
    formatted,
    logical,
    multiply,
    subtract,
)
from sandbox.hyperv.powershell._syntax import Node
from sandbox.hyperv.powershell._types import call, cast, static_call, static_property
from sandbox.hyperv.powershell._values import (
    VOID,
    EnumValue,
    Hashtable,
    NetObject,
    Record,
    ScriptBlock,
    TypeName,
    items,
    number,
    plain,
    text,
    truth,
)

if TYPE_CHECKING:
    from sandbox.hyperv.powershell._interpreter import Session

_ESCAPES = {"n": "\n", "r": "\r", "t": "\t", "0": "\0", "a": "\a", "b": "\b", "f": "\f", "v": "\v"}
_CONSTANTS = {"true": True, "false": False, "null": None}
_SUFFIXES = {"": 1, "kb": 1 << 10, "mb": 1 << 20, "gb": 1 << 30, "tb": 1 << 40}


class Expressions:
    def __init__(self, session: Session) -> None:
        self._session = session
        self._known: Mapping[str, Callable[[Node], Any]] = {
            "variable": self._variable,
            "string_literal": self._string,
            "integer_literal": self._integer,
            "real_literal": lambda node: float(node.text),
            "parenthesized_expression": self._parenthesized,
            "sub_expression": lambda node: self._collected(node, collapse=True),
            "array_expression": lambda node: self._collected(node, collapse=False),
            "array_literal_expression": lambda node: [self.value(child) for child in node.named],
            "argument_expression_list": lambda node: [self.value(child) for child in node.named],
            "hash_literal_expression": self._hash,
            "script_block_expression": lambda node: ScriptBlock(node.first("script_block") or node),
            "type_literal": lambda node: TypeName(node.text[1:-1]),
            "member_access": self._member,
            "element_access": self._element,
            "invokation_expression": self._call,
            "expression_with_unary_operator": self._unary,
            "cast_expression": self._cast,
            "logical_expression": self._logical,
            "bitwise_expression": lambda node: self._binary(node, bitwise),
            "comparison_expression": self._comparison,
            "additive_expression": self._additive,
            "multiplicative_expression": lambda node: self._binary(node, multiply),
            "format_expression": lambda node: self._binary(node, lambda _, left, right: formatted(left, right)),
            "range_expression": self._range,
            "post_increment_expression": lambda node: self._step(node, 1),
            "post_decrement_expression": lambda node: self._step(node, -1),
            "assignment_expression": self.assign,
        }

    def value(self, node: Node) -> Any:
        kind = node.type.replace("_argument_expression", "_expression")
        known = self._known.get(kind)
        if known is None:
            if kind in ("command", "pipeline_chain", "if_statement"):
                return self._session.value(node)
            raise Unsupported(f"{node.type} in line {node.line}: {node.text[:60]}")
        return known(node)

    def assign(self, node: Node) -> Any:
        target, operator, source = node.children
        value = plain(self._session.value(source))
        place = target
        while place.type == "left_assignment_expression" and len(place.named) == 1:
            place = place.named[0]
        kind = ""
        if place.type == "expression_with_unary_operator" and place.named[0].type == "cast_expression":
            place = place.named[0]
        if place.type == "cast_expression":
            kind, place = place.named[0].text[1:-1], place.named[1]
        sign = operator.text
        if sign != "=":
            before = self.value(place)
            changed: Mapping[str, Callable[[], Any]] = {
                "+=": lambda: add(before, value),
                "-=": lambda: subtract(before, value),
                "*=": lambda: multiply("*", before, value),
            }
            if sign not in changed:
                raise Unsupported(f"the operator {sign}")
            value = changed[sign]()
        self._store(place, cast(kind, value) if kind else value)
        return VOID

    def _store(self, place: Node, value: Any) -> None:
        if place.type == "variable":
            name = _name(place)
            if ":" in name:
                raise Unsupported(f"setting ${name}")
            if name.lower() in _CONSTANTS:
                message = f"Cannot overwrite variable {name} because it is read-only or constant."
                raise runtime_error(message, "VariableNotWritable", "WriteError")
            self._session.scope.set(name, value)
        elif place.type == "member_access":
            owner, name = self.value(place.named[0]), self._member_name(place)
            if isinstance(owner, Record) and name not in owner:
                message = f"The property '{name}' cannot be found on this object. Verify that the property exists and can be set."
                raise runtime_error(message, "PropertyAssignmentException")
            if isinstance(owner, Hashtable):
                owner[name] = value
            elif isinstance(owner, NetObject):
                owner.set(name, value)
            else:
                raise Unsupported(f"setting the member {name} in line {place.line}")
        elif place.type == "element_access":
            owner, key = self.value(place.named[0]), self.value(place.named[1])
            if isinstance(owner, list):
                owner[int(number(key))] = value
            elif isinstance(owner, Hashtable):
                owner[key] = value
            else:
                raise Unsupported(f"setting an element in line {place.line}")
        else:
            raise Unsupported(f"assigning to {place.type} in line {place.line}")

    def _variable(self, node: Node) -> Any:
        name = _name(node)
        if name.lower() in _CONSTANTS:
            return _CONSTANTS[name.lower()]
        if ":" in name or node.text.startswith("@"):
            raise Unsupported(f"the variable {node.text}")
        return self._session.scope.get(name)

    def _string(self, node: Node) -> str:
        inner = node.children[0] if node.children else node
        if inner.type == "verbatim_string_characters":
            return inner.text[1:-1].replace("''", "'")
        if inner.type != "expandable_string_literal":
            raise Unsupported(f"{inner.type} in line {node.line}")
        raw, parts, at = inner.raw(), [], 1
        for child in inner.named:
            begin = child.start - inner.start
            parts.append(_unescaped(raw[at:begin].decode()))
            parts.append(text(self.value(child)))
            at = child.end - inner.start
        parts.append(_unescaped(raw[at:-1].decode()))
        return "".join(parts)

    def _integer(self, node: Node) -> int:
        found = re.fullmatch(r"(0x[0-9a-f]+|\d+)(l?)(kb|mb|gb|tb)?", node.text.lower())
        if found is None:
            raise Unsupported(f"the number {node.text}")
        return int(found[1], 0 if found[1].startswith("0x") else 10) * _SUFFIXES[found[3] or ""]

    def _parenthesized(self, node: Node) -> Any:
        return plain(self._session.value(node.named[0]))

    def _collected(self, node: Node, *, collapse: bool) -> Any:
        found: list[Any] = []
        listed = node.first("statement_list")
        if listed is not None:
            self._session.statements(listed, found.append)
        if not collapse:
            return found
        return plain(found[0] if len(found) == 1 else found or None)

    def _hash(self, node: Node) -> Hashtable:
        made = Hashtable()
        body = node.first("hash_literal_body")
        for entry in body.named if body is not None else []:
            if entry.type != "hash_entry":
                continue
            key_node, value_node = entry.named[0], entry.named[-1]
            inner = key_node.named[0]
            key = inner.text if inner.type == "simple_name" else self.value(inner)
            if key in made:
                message = (
                    f"Item has already been added. Key in dictionary: '{text(key)}'  Key being added: '{text(key)}'"
                )
                raise runtime_error(message, "System.ArgumentException", "NotSpecified")
            made[key] = plain(self._session.value(value_node))
        return made

    def _member_name(self, node: Node) -> str:
        name = node.first("member_name")
        inner = name.named[0] if name is not None and name.named else None
        if inner is None or inner.type != "simple_name":
            raise Unsupported(f"the member name in {node.text[:60]}")
        return inner.text

    def _member(self, node: Node) -> Any:
        owner, name = node.children[0], self._member_name(node)
        if any(child.type == "::" for child in node.children):
            return self._static(owner, name)
        return member(self.value(owner), name)

    @staticmethod
    def _static(owner: Node, name: str) -> Any:
        if owner.type != "type_literal":
            raise Unsupported(f"static members of {owner.text[:40]}")
        return static_property(owner.text[1:-1], name)

    def _element(self, node: Node) -> Any:
        owner, key = self.value(node.named[0]), self.value(node.named[1])
        if isinstance(owner, Hashtable):
            return owner.get(key)
        if isinstance(owner, (list, tuple, str, bytes)):
            if isinstance(key, list):
                return [owner[int(at)] for at in key if -len(owner) <= int(at) < len(owner)]
            at = int(number(key))
            return owner[at] if -len(owner) <= at < len(owner) else None
        if owner is None:
            raise runtime_error("Cannot index into a null array.", "NullArray")
        raise Unsupported(f"an index in line {node.line}")

    def _call(self, node: Node) -> Any:
        owner, name = node.children[0], self._member_name(node)
        holder = node.first("argument_list")
        listed = holder.first("argument_expression_list") if holder is not None else None
        arguments = [self.value(child) for child in listed.named] if listed is not None else []
        if any(child.type == "::" for child in node.children):
            return static_call(owner.text[1:-1], name, arguments)
        value = plain(self.value(owner))
        return value.call(name, arguments) if isinstance(value, NetObject) else call(value, name, arguments)

    def _unary(self, node: Node) -> Any:
        if node.named and node.children[0].type == "cast_expression":
            return self._cast(node.children[0])
        sign = node.children[0].text.lower()
        value = self.value(node.children[-1])
        if sign in ("-not", "!"):
            return not truth(value)
        if sign == ",":
            return [plain(value)]
        if sign == "-":
            return -number(value)
        if sign == "-join":
            return "".join(text(item) for item in items(value))
        raise Unsupported(f"the operator {sign} in line {node.line}")

    def _cast(self, node: Node) -> Any:
        kind, inner = node.named[0], node.named[1]
        return cast(kind.text[1:-1], self.value(inner))

    def _logical(self, node: Node) -> bool:
        left, operator, right = node.children
        return logical(operator.text.lower(), self.value(left), lambda: self.value(right))

    def _comparison(self, node: Node) -> Any:
        left, operator, right = node.children
        known = COMPARISONS.get(operator.text.lower())
        if known is None:
            raise Unsupported(f"the operator {operator.text}")
        return known(plain(self.value(left)), plain(self.value(right)))

    def _additive(self, node: Node) -> Any:
        left, operator, right = node.children
        act = add if operator.text == "+" else subtract
        return act(self.value(left), self.value(right))

    def _binary(self, node: Node, act: Callable[[str, Any, Any], Any]) -> Any:
        left, operator, right = node.children
        return act(operator.text.lower(), self.value(left), self.value(right))

    def _range(self, node: Node) -> list[int]:
        first, last = int(number(self.value(node.children[0]))), int(number(self.value(node.children[-1])))
        return list(range(first, last + 1)) if first <= last else list(range(first, last - 1, -1))

    def _step(self, node: Node, by: int) -> Any:
        place = node.named[0]
        before = self.value(place)
        self._store(place, number(before) + by)
        return before


def member(value: Any, name: str) -> Any:
    """$value.name: a key, a property, or each member's of an array."""
    value = plain(value)
    lower = name.lower()
    if value is None:
        return 0 if lower in ("count", "length") else None
    if isinstance(value, (list, tuple)):
        if lower in ("count", "length"):
            return len(value)
        found = [item for each in value for item in items(member(each, name)) if item is not None]
        return None if not found else found[0] if len(found) == 1 else found
    if isinstance(value, Hashtable):
        if name in value:
            return value[name]
        if isinstance(value, Record):
            return 1 if lower == "count" else None
        return {"count": len(value), "keys": list(value), "values": list(value.values())}.get(lower)
    if isinstance(value, NetObject):
        return 1 if lower == "count" and "Count" not in value.properties else value.get(name)
    if isinstance(value, EnumValue) and lower == "value__":
        return value.number
    if isinstance(value, TypeName) and lower in ("name", "fullname"):
        return value.name.rsplit(".", 1)[-1] if lower == "name" else value.name
    if isinstance(value, (str, bytes)) and lower == "length":
        return len(value)
    if lower in ("count", "length"):
        return 1
    raise Unsupported(f"the member {name} of a {type(value).__name__}")


def _name(node: Node) -> str:
    name = node.text[1:]
    return name[1:-1] if name.startswith("{") else name


def _unescaped(raw: str) -> str:
    doubled = raw.replace('""', '"')
    return re.sub(r"`(.)", lambda found: _ESCAPES.get(found[1], found[1]), doubled, flags=re.DOTALL)
