"""Runs a script: statements, blocks, pipelines. Expressions are in `_expressions`, cmdlets come from whoever makes a Session."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from sandbox.hyperv.powershell._errors import ErrorInfo, Flow, PowerShellError, Stopped, Unsupported, runtime_error
from sandbox.hyperv.powershell._parameters import bind, refuse
from sandbox.hyperv.powershell._records import ErrorRecord
from sandbox.hyperv.powershell._syntax import Node, parse
from sandbox.hyperv.powershell._values import (
    VOID,
    Hashtable,
    ScriptBlock,
    collapsed,
    items,
    plain,
    text,
    truth,
)

Emit = Callable[[Any], None]


class Streams(Protocol):
    """Where errors and warnings go, and whether somebody wants the script to end."""

    def error(self, info: ErrorInfo) -> None: ...
    def warning(self, message: str) -> None: ...
    @property
    def stopped(self) -> bool: ...


class Commands(Protocol):
    def invoke(self, session: Session, name: str, elements: list[Element], given: list[Any] | None) -> list[Any]:
        """Raises PowerShellError; Unsupported for what is not known."""
        ...


@dataclass(frozen=True)
class Element:
    """What stands after a cmdlet's name: `-parameter`, a value, or both (`-switch:$true`)."""

    parameter: str | None
    value: Any = None
    has_value: bool = False


@dataclass
class Scope:
    variables: Hashtable = field(default_factory=Hashtable)
    outer: Scope | None = None

    def get(self, name: str) -> Any:
        if name in self.variables:
            return self.variables[name]
        return self.outer.get(name) if self.outer is not None else None

    def set(self, name: str, value: Any) -> None:
        self.variables[name] = value


class Session:
    """One run of one script."""

    def __init__(self, commands: Commands, streams: Streams) -> None:
        from sandbox.hyperv.powershell._expressions import Expressions  # it needs this module for its types

        self.commands = commands
        self.streams = streams
        self.scope = Scope()
        self.scope.set("ErrorActionPreference", "Continue")
        self.expressions = Expressions(self)
        self._caught: list[PowerShellError] = []

    def run(self, script: str, parameters: Mapping[str, Any], emit: Emit) -> None:
        """Raises PowerShellError for a terminating error, Unsupported, Stopped."""
        root = parse(script)
        try:
            for child in root.named:
                if child.type == "param_block":
                    bind(child, parameters, self.value, self.scope.set)
                    parameters = {}
                elif child.type == "statement_list":
                    refuse(parameters)
                    self.statements(child, emit)
                else:
                    raise Unsupported(f"{child.type} at the top of a script")
        except Flow as flow:
            if flow.kind != "return":
                raise

    def statements(self, node: Node, emit: Emit) -> None:
        for child in node.named:
            self.statement(child, emit)

    def block(self, node: Node, emit: Emit) -> None:
        """The statements of { }."""
        for child in node.named:
            if child.type == "statement_list":
                self.statements(child, emit)
            elif child.type in ("script_block_body", "script_block"):
                self.block(child, emit)
            else:
                raise Unsupported(f"{child.type} in a block")

    def statement(self, node: Node, emit: Emit) -> None:
        if self.streams.stopped:
            raise Stopped
        known: Mapping[str, Callable[[Node, Emit], None]] = {
            "empty_statement": lambda node, emit: None,
            "if_statement": self._if,
            "foreach_statement": self._foreach,
            "while_statement": self._while,
            "try_statement": self._try,
            "flow_control_statement": self._flow,
            "pipeline_chain": self._pipeline,
            "command": lambda node, emit: _emit_all(self._command(node, None), emit),
            "assignment_expression": lambda node, emit: self.expressions.assign(node),
        }
        if node.type in known:
            known[node.type](node, emit)
        elif node.type in ("post_increment_expression", "post_decrement_expression"):
            self.expressions.value(node)
        else:
            _emit_all(items(self.expressions.value(node)), emit)

    def value(self, node: Node) -> Any:
        """Of a statement or an expression: an expression's own value, a pipeline's output collapsed."""
        if node.type in (
            "if_statement",
            "foreach_statement",
            "while_statement",
            "try_statement",
            "pipeline_chain",
            "command",
        ):
            found: list[Any] = []
            self.statement(node, found.append)
            return collapsed(found)
        return self.expressions.value(node)

    def call_block(self, block: ScriptBlock, item: Any) -> list[Any]:
        """A script block of Where-Object and ForEach-Object, which sees and sets the variables around it."""
        found: list[Any] = []
        before = self.scope.get("_")
        self.scope.set("_", item)
        try:
            self.block(block.node, found.append)
        except Flow as flow:
            if flow.kind != "return":
                raise
        finally:
            self.scope.set("_", before)
        return found

    def report(self, error: PowerShellError, action: str | None) -> None:
        """A cmdlet's non-terminating error: written, silenced, or made a terminating one."""
        wanted = (action or text(self.scope.get("ErrorActionPreference"))).lower()
        if wanted == "stop":
            raise error
        if wanted == "continue":
            self.streams.error(error.info)
        elif wanted not in ("silentlycontinue", "ignore"):
            raise Unsupported(f"-ErrorAction {wanted}")

    def _pipeline(self, node: Node, emit: Emit) -> None:
        given: list[Any] | None = None
        for child in node.children:
            if child.type == "|":
                continue
            if child.type == "command":
                given = self._command(child, given)
            elif given is None:
                given = items(self.value(child))
            else:
                raise Unsupported(f"{child.type} in a pipeline")
        _emit_all(given or [], emit)

    def _command(self, node: Node, given: list[Any] | None) -> list[Any]:
        named = node.first("command_name")
        if named is None:
            raise Unsupported(f"the call {node.text[:40]}")
        counted = re.fullmatch(r"(\d+)\.\.(\d+)", named.text)
        if counted is not None and given is None:
            # tree-sitter-powershell takes a range that begins a statement for a command's name.
            first, last = int(counted[1]), int(counted[2])
            return list(range(first, last + 1)) if first <= last else list(range(first, last - 1, -1))
        elements: list[Element] = []
        holder = node.first("command_elements")
        attached = False
        for child in holder.children if holder is not None else []:
            if child.type == "command_argument_sep":
                attached = ":" in child.text
            elif child.type == "command_parameter":
                elements.append(Element(child.text[1:].removesuffix(":")))
                attached = child.text.endswith(":")
            elif child.type == "redirection":
                raise Unsupported("redirections")
            else:
                value = self._argument(child)
                if attached and elements and not elements[-1].has_value:
                    elements[-1] = Element(elements[-1].parameter, value, has_value=True)
                else:
                    elements.append(Element(None, value, has_value=True))
                attached = False
        if self.streams.stopped:
            raise Stopped
        return self.commands.invoke(self, named.text, elements, given)

    def _argument(self, node: Node) -> Any:
        if node.type == "generic_token":
            if "$" in node.text or node.text.startswith("@"):
                raise Unsupported(f"the argument {node.text}; put it into quotes")
            return node.text
        return self.value(node)

    def _if(self, node: Node, emit: Emit) -> None:
        children = [child for child in node.children if child.type not in ("if", "(", ")", "elseif")]
        condition, body, *rest = children
        if truth(self.value(condition)):
            self.block(body, emit)
            return
        for clause in rest:
            if clause.type == "elseif_clauses":
                for each in clause.named:
                    inner = [child for child in each.children if child.type not in ("elseif", "(", ")")]
                    if truth(self.value(inner[0])):
                        self.block(inner[1], emit)
                        return
            elif clause.type == "else_clause":
                self.block(_need(clause, "statement_block"), emit)
            else:
                raise Unsupported(f"{clause.type} in an if")

    def _foreach(self, node: Node, emit: Emit) -> None:
        variable, source, body = [child for child in node.children if child.type not in ("foreach", "(", ")", "in")]
        found = plain(self.value(source))
        name = _variable_name(variable)
        for item in items(found) if found is not None else []:
            self.scope.set(name, item)
            if not self._round(body, emit):
                break

    def _while(self, node: Node, emit: Emit) -> None:
        condition, body = [child for child in node.children if child.type not in ("while", "(", ")")]
        while truth(self.value(condition)):
            if self.streams.stopped:
                raise Stopped
            if not self._round(body, emit):
                break

    def _round(self, body: Node, emit: Emit) -> bool:
        """One round of a loop; False where it breaks."""
        try:
            self.block(body, emit)
        except Flow as flow:
            if flow.kind == "break":
                return False
            if flow.kind != "continue":
                raise
        return True

    def _try(self, node: Node, emit: Emit) -> None:
        body = _need(node, "statement_block")
        clauses, final = node.first("catch_clauses"), node.first("finally_clause")
        try:
            try:
                self.block(body, emit)
            except PowerShellError as error:
                clause = self._clause(clauses, error)
                if clause is None:
                    raise
                before = self.scope.get("_")
                self.scope.set("_", ErrorRecord(error.info))
                self._caught.append(error)
                try:
                    self.block(_need(clause, "statement_block"), emit)
                finally:
                    self._caught.pop()
                    self.scope.set("_", before)
        finally:
            if final is not None:
                self.block(_need(final, "statement_block"), emit)

    @staticmethod
    def _clause(clauses: Node | None, error: PowerShellError) -> Node | None:
        for clause in clauses.named if clauses is not None else []:
            types = clause.first("catch_type_list")
            if types is None:
                return clause
            for literal in types.named:
                name = literal.text[1:-1].lower()
                own = error.info.exception.lower()
                if name in (own, own.removeprefix("system."), "system.exception", "exception"):
                    return clause
        return None

    def _flow(self, node: Node, emit: Emit) -> None:
        word, *rest = node.children
        if word.type == "throw":
            if not rest and self._caught:
                raise self._caught[-1]
            thrown = self.value(rest[0]) if rest else "ScriptHalted"
            if isinstance(thrown, ErrorRecord):
                raise PowerShellError(thrown.info)
            message = text(thrown)
            raise runtime_error(message, message, "OperationStopped", target=message)
        if word.type not in ("return", "break", "continue") or (rest and word.type != "return"):
            raise Unsupported(node.text[:40])
        if rest:
            self.statement(rest[0], emit)
        raise Flow(word.type)


def _emit_all(values: list[Any], emit: Emit) -> None:
    for value in values:
        if value is not VOID:
            emit(value)


def _need(node: Node, kind: str) -> Node:
    found = node.first(kind)
    if found is None:
        raise Unsupported(f"{node.type} without {kind}")
    return found


def _variable_name(node: Node) -> str:
    name = node.text[1:]
    return name[1:-1] if name.startswith("{") else name
