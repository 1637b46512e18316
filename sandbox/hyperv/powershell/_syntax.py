"""Scripts as trees of tree-sitter-powershell, with the levels that hold one child only skipped."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

import tree_sitter
import tree_sitter_powershell

from sandbox.hyperv.powershell._errors import PowerShellError, runtime_error

_LANGUAGE = tree_sitter.Language(tree_sitter_powershell.language())
#: An expression goes through a level of the grammar for each precedence, whether it has such an operator or not.
_LEVELS = frozenset(
    f"{level}{kind}_expression"
    for level in ("logical", "bitwise", "comparison", "additive", "multiplicative", "format", "range")
    for kind in ("", "_argument")
) | {
    "pipeline",
    "pipeline_chain",
    "unary_expression",
    "array_literal_expression",
    "argument_expression",
    "while_condition",
}


class Node:
    """A node that keeps its tree alive."""

    __slots__ = ("_node", "_tree")

    def __init__(self, node: tree_sitter.Node, tree: tree_sitter.Tree) -> None:
        while node.type in _LEVELS and node.child_count == 1:
            node = node.children[0]
        self._node = node
        self._tree = tree

    @property
    def type(self) -> str:
        return self._node.type

    @property
    def text(self) -> str:
        return (self._node.text or b"").decode()

    @property
    def line(self) -> int:
        return self._node.start_point[0] + 1

    @property
    def start(self) -> int:
        return self._node.start_byte

    @property
    def end(self) -> int:
        return self._node.end_byte

    @property
    def children(self) -> list[Node]:
        """All but comments."""
        return [Node(child, self._tree) for child in self._node.children if child.type != "comment"]

    @property
    def named(self) -> list[Node]:
        return [Node(child, self._tree) for child in self._node.named_children if child.type != "comment"]

    def first(self, kind: str) -> Node | None:
        return next((child for child in self.children if child.type == kind), None)

    def raw(self) -> bytes:
        return self._node.text or b""

    def walk(self) -> Iterator[tree_sitter.Node]:
        waiting = [self._node]
        while waiting:
            node = waiting.pop()
            yield node
            waiting.extend(node.children)


@lru_cache(maxsize=64)
def parse(script: str) -> Node:
    """Raises PowerShellError where it is no PowerShell, naming the line."""
    tree = tree_sitter.Parser(_LANGUAGE).parse(script.encode())
    root = Node(tree.root_node, tree)
    if tree.root_node.has_error:
        wrong = next(node for node in root.walk() if node.is_error or node.is_missing)
        raise _parse_error(wrong)
    return root


def _parse_error(node: tree_sitter.Node) -> PowerShellError:
    row, column = node.start_point
    shown = (node.text or b"").decode(errors="replace").strip()[:60]
    message = f"At line:{row + 1} char:{column + 1}: unexpected token '{shown}' in expression or statement."
    return runtime_error(
        message, "UnexpectedToken", "ParserError", exception="System.Management.Automation.ParseException"
    )
