"""Bytes into text, and the parser's errors said for a person: alike for libyaml and for PyYAML's own parser."""

from __future__ import annotations

import re

import yaml

from rehost.spec._findings import Finding, shown

#: Of one file. A file of this size holds some 4,000 servers; an estate may have any number of files.
MAX_BYTES = 1 << 20

#: Values in one file: more would be a megabyte of commas, which costs seconds and hundreds of megabytes.
MAX_VALUES = 50_000

MAX_DEPTH = 40
TOO_DEEP = f"this is nested more than {MAX_DEPTH} deep"

#: What YAML 1.2.2, chapter 5.1, allows in a file.
_NOT_ALLOWED = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]|(?<=.)\ufeff", re.DOTALL)
#: Where the parser counts a new line (libyaml, IS_BREAK).
_BREAK = re.compile("\r\n|[\r\n\x85\u2028\u2029]")


def decode(content: bytes, path: str) -> str | Finding:
    """The text of a file, or why it is none."""
    if len(content) > MAX_BYTES:
        message = f"the file is larger than {MAX_BYTES} bytes and was not read"
        return Finding(path, 1, 1, message, "spread it over several files", rule="too-large")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = content[: error.start].decode("utf-8-sig", "replace")
        hint = "it looks like UTF-16; save it as UTF-8" if content[:2] in (b"\xff\xfe", b"\xfe\xff") else ""
        return Finding(path, *_place(before, len(before)), "the file is not UTF-8", hint, rule="encoding")
    found = _NOT_ALLOWED.search(text)
    if found:
        message = f"the character U+{ord(found[0]):04X} cannot stand in a YAML file"
        return Finding(path, *_place(text, found.start()), message, rule="encoding")
    return text


def lines_of(text: str) -> list[str]:
    """The lines as the parser counts them."""
    return _BREAK.split(text)


def _place(text: str, offset: int) -> tuple[int, int]:
    line, start = 1, 0
    for found in _BREAK.finditer(text, 0, offset):
        line, start = line + 1, found.end()
    return line, offset - start + 1


def explain(error: yaml.YAMLError, text: str, path: str) -> Finding:
    """A syntax error with its place."""
    mark = (error.problem_mark or error.context_mark) if isinstance(error, yaml.MarkedYAMLError) else None
    if mark is None:
        return Finding(path, 1, 1, f"this is not YAML: {shown(str(error))}", rule="syntax")
    assert isinstance(error, yaml.MarkedYAMLError)  # noqa: S101 - for mypy: only such an error has a mark
    lines = lines_of(text)
    if re.search("directive|document start|incompatible", f"{error.context} {error.problem}"):
        # The parsers blame different lines for one that begins with %.
        percent = next((n for n, line in enumerate(lines[: mark.line + 1]) if line.startswith("%")), None)
        if percent is not None:
            hint = "text needs quotes there, and directives are not part of the spec language"
            return Finding(path, percent + 1, 1, "a line cannot begin with %", hint, rule="syntax")
    rest = lines[mark.line][mark.column :] if mark.line < len(lines) else ""
    is_last = not rest.strip() and not "".join(lines[mark.line + 1 :]).strip()
    at_opening, rule, message, hint = _told(error.context or "", error.problem or "", rest, is_last)
    if at_opening and error.context_mark is not None:
        mark = error.context_mark
    return Finding(path, mark.line + 1, mark.column + 1, message, hint, rule=rule)


def _told(context: str, problem: str, rest: str, is_last: bool) -> tuple[bool, str, str, str]:
    """Whether it is where a construct opens that is wrong, then rule, message and hint.

    `rest` is what follows in the line; `is_last`: nothing but blank follows in the file.
    """
    if "maximum" in problem:  # libyaml's own limit of nesting, which its look-ahead meets before ours
        return False, "too-deep", TOO_DEEP, ""
    if "flow node" in context and (is_last or "stream end" in problem):
        return False, "syntax", "the file ends here, within {} or []", "a closing bracket is missing"
    if "flow" in context:
        bracket = "]" if "sequence" in context else "}"
        if is_last or "stream end" in problem:
            return True, "syntax", f"what begins here lacks its closing {bracket}", ""
        hint = "a value with braces in it, such as a variable, needs quotes here" if rest.startswith("{") else ""
        return False, "syntax", f"a comma or the closing {bracket} is missing before this", hint
    if "quoted" in context and "escape" in problem:
        hint = "in single quotes, \\ is an ordinary character"
        return True, "syntax", "an escape in these double quotes is unknown", hint
    if "quoted" in context:
        return True, "syntax", "this quote is not closed", ""
    if "cannot start any token" in problem:
        if rest.startswith("\t"):
            return False, "tab", "a tab stands here", "YAML is indented with spaces"
        return False, "syntax", f"text cannot begin with {rest[:1]}", "put it in quotes"
    if context in ("while scanning an alias", "while scanning an anchor"):
        return True, "syntax", f"text cannot begin with {'*' if 'alias' in context else '&'}", "put it in quotes"
    if "mapping values" in problem:
        hint = (
            "text with ': ' in it needs quotes; otherwise a colon is missing before this, or the indentation is wrong"
        )
        return False, "syntax", "there can be no key here", hint
    if "could not find expected ':'" in problem:
        return True, "syntax", "this is no key: no colon and space follow it", ""
    if "<block end>" in problem or ("block" in context and "did not find" in problem):
        hint = "keys of one mapping, and the dashes of one list, begin in the same column"
        return False, "syntax", "this line does not fit in with those above", hint
    return False, "syntax", f"this is not YAML: {problem or context}", ""
