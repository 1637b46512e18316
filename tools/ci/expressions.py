"""GitHub's expressions, as far as the pipelines use them: what else there is raises rather than being guessed.

https://docs.github.com/en/actions/reference/evaluate-expressions-in-workflows-and-actions: literals, contexts with `.` and `['...']`, `!`,
comparison, `&&`, `||`, parentheses and functions. Strings compare without regard to case.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

_TOKEN = re.compile(
    r"\s*(?:(?P<text>'(?:[^']|'')*')|(?P<number>-?\d+(?:\.\d+)?)|(?P<name>[A-Za-z_][A-Za-z0-9_-]*)|(?P<sign>==|!=|&&|\|\||[!().,\[\]]))"
)
_WHOLE = re.compile(r"\$\{\{(.*?)\}\}", re.DOTALL)
_WORDS: Mapping[str, object] = {"true": True, "false": False, "null": None}

Function = Callable[..., Any]


class ExpressionError(Exception):
    """An expression that GitHub would refuse, or that is not known here."""


def evaluate(expression: str, contexts: Mapping[str, Any], functions: Mapping[str, Function]) -> Any:
    """The value of an expression without its `${{ }}`. Raises ExpressionError."""
    return _Parser(expression, contexts, functions).whole()


def fill(text: str, contexts: Mapping[str, Any], functions: Mapping[str, Function]) -> str:
    """A text with each `${{ ... }}` in it replaced by its value."""
    return _WHOLE.sub(lambda found: as_text(evaluate(found[1], contexts, functions)), text)


def as_text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str | int | float):
        return str(value)
    raise ExpressionError(f"{value!r} cannot become text")


def is_true(value: Any) -> bool:
    return value not in (None, False, 0, "")


class _Parser:
    """Recursive descent; each method returns a value, since nothing here has to be put off: no function has an effect."""

    def __init__(self, text: str, contexts: Mapping[str, Any], functions: Mapping[str, Function]) -> None:
        self.text, self.contexts, self.functions = text, contexts, functions
        self.tokens = list(_tokens(text))
        self.place = 0

    def whole(self) -> Any:
        value = self.either()
        if self.place != len(self.tokens):
            raise self.wrong("what comes after its end")
        return value

    def either(self) -> Any:
        value = self.both()
        while self.take("||"):
            other = self.both()
            value = value if is_true(value) else other
        return value

    def both(self) -> Any:
        value = self.compared()
        while self.take("&&"):
            other = self.compared()
            value = other if is_true(value) else value
        return value

    def compared(self) -> Any:
        value = self.single()
        if self.take("=="):
            return _same(value, self.single())
        if self.take("!="):
            return not _same(value, self.single())
        return value

    def single(self) -> Any:
        if self.take("!"):
            return not is_true(self.single())
        if self.take("("):
            value = self.either()
            self.need(")")
            return value
        kind, token = self.next()
        if kind == "text":
            return token[1:-1].replace("''", "'")
        if kind == "number":
            return float(token) if "." in token else int(token)
        if kind != "name":
            raise self.wrong(token)
        if token in _WORDS:
            return _WORDS[token]
        return self.called(token) if self.take("(") else self.found(token)

    def called(self, name: str) -> Any:
        if name not in self.functions:
            raise self.wrong(f"the function {name}")
        given = []
        while not self.take(")"):
            given.append(self.either())
            if not self.take(","):
                self.need(")")
                break
        return self.functions[name](*given)

    def found(self, name: str) -> Any:
        """A context, and what stands behind it; a property that is not there is null, as at GitHub."""
        if name not in self.contexts:
            raise self.wrong(f"the context {name}")
        value: Any = self.contexts[name]
        while True:
            if self.take("."):
                kind, key = self.next()
                if kind != "name":
                    raise self.wrong(key)
            elif self.take("["):
                key = as_text(self.either())
                self.need("]")
            else:
                return value
            value = value.get(key) if isinstance(value, Mapping) else None

    def take(self, sign: str) -> bool:
        if self.place < len(self.tokens) and self.tokens[self.place] == ("sign", sign):
            self.place += 1
            return True
        return False

    def need(self, sign: str) -> None:
        if not self.take(sign):
            raise self.wrong(f"that {sign!r} is missing")

    def next(self) -> tuple[str, str]:
        if self.place == len(self.tokens):
            raise self.wrong("its end")
        self.place += 1
        return self.tokens[self.place - 1]

    def wrong(self, what: str) -> ExpressionError:
        return ExpressionError(f"in {self.text.strip()!r}: {what} is not understood")


def _tokens(text: str) -> list[tuple[str, str]]:
    found, place = [], 0
    while text[place:].strip():
        match = _TOKEN.match(text, place)
        if match is None or match.lastgroup is None:
            raise ExpressionError(f"in {text.strip()!r}: {text[place:].strip()!r} is not understood")
        found.append((match.lastgroup, match[match.lastgroup]))
        place = match.end()
    return found


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, str) and isinstance(other, str):
        return one.lower() == other.lower()
    if type(one) is type(other) or None in (one, other):
        return bool(one == other)
    raise ExpressionError(f"{one!r} and {other!r} are of different types; what GitHub makes of that is not done here")
