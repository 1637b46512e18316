"""One form for spec files: indentation, spaces and line ends; never a value, a key's place or a comment's words.

ruamel.yaml reads and writes them. What it gives back is compared with what was there, data and comments, and a file that it
does not carry over whole stays as it is.
"""

from __future__ import annotations

import io
import re
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.error import YAMLError
from ruamel.yaml.nodes import ScalarNode
from ruamel.yaml.resolver import VersionedResolver
from ruamel.yaml.tag import Tag

from rehost.spec import _yaml
from rehost.spec._findings import Finding
from rehost.spec._scalars import plain
from rehost.spec._syntax import decode
from rehost.spec.editing import _remarks

WIDTH = 120
_UNFOLDED = 1 << 30  # columns: text is never wrapped
_ROUNDS = 4  # until a file comes out as it went in


_NULL = Tag(suffix="tag:yaml.org,2002:null")


class _Texts(VersionedResolver):
    """Every scalar without quotes but null is the text that it is written as: no number and no date is written anew."""

    def resolve(self, kind: Any, value: Any, implicit: Any) -> Any:
        if kind is ScalarNode and implicit[0]:
            return _NULL if plain(value) is None else self.DEFAULT_SCALAR_TAG
        return super().resolve(kind, value, implicit)


def round_trip() -> YAML:
    """ruamel.yaml as this package uses it: texts as they are written, quotes and comments kept."""
    yaml = YAML(typ="rt", pure=True)
    yaml.Resolver = _Texts
    yaml.preserve_quotes = True
    yaml.width = _UNFOLDED
    yaml.indent(mapping=2, sequence=4, offset=2)
    return yaml


def tidy(content: bytes, name: str) -> tuple[str | None, list[Finding]]:
    """The file in its one form; None, with the reasons, where it is no YAML of a spec or cannot be carried over whole.

    What comes out comes out of a second time as it is. Whether it is a valid spec is not looked at.
    """
    document = _yaml.parse(content, name)
    text = decode(content, name)
    if document.findings or isinstance(text, Finding):
        return None, document.findings
    text = "\n".join(line.rstrip(" \t") for line in re.split("\r\n|\r|\n", text)) if document.is_empty else text
    if document.is_empty:
        return text.strip("\n") + "\n" if text.strip() else "", []
    shaped = text
    for _round in range(_ROUNDS):
        try:
            before, shaped = shaped, _shape(shaped)
        except (YAMLError, ValueError, IndexError, AttributeError, AssertionError, TypeError, KeyError) as error:
            return None, [_left(name, f"ruamel.yaml does not read it: {type(error).__name__}")]
        if before == shaped:
            break
    else:
        return None, [_left(name, "it does not come to rest")]
    lost = _difference(document, text, shaped)
    return (None, [_left(name, lost)]) if lost else (shaped, [])


def _left(name: str, why: str) -> Finding:
    return Finding(name, 1, 1, f"the file stays as it is: {why}", rule="not-formatted")


def _difference(document: _yaml.Document, text: str, shaped: str) -> str:
    """What would be lost."""
    again = _yaml.parse(shaped.encode("utf-8", "surrogatepass"), document.name)
    if again.findings or again.data != document.data or list(again.values) != list(document.values):
        return "its values would not be the same"
    before, after = _remarks.of(text), _remarks.of(shaped)
    if [each.words for each in before] != [each.words for each in after]:
        left = [each.words for each in after]
        lost = next((each for n, each in enumerate(before) if n >= len(left) or each.words != left[n]), before[0])
        return f"the comment in line {lost.line + 1} would be lost; put it on a line of its own, outside of {{}} and []"
    return ""


def _shape(text: str) -> str:
    yaml = round_trip()
    tree = yaml.load("\n".join(_remarks.stripped(re.sub("\r\n|\r", "\n", text))))
    if isinstance(tree, CommentedMap | CommentedSeq):
        tree.fa.set_block_style()
        _unfold(tree, 0)
    written = io.StringIO()
    yaml.dump(tree, written)
    lines = _remarks.aligned(text, written.getvalue())
    return "\n".join(lines).strip("\n") + "\n"


def _unfold(tree: Any, indent: int) -> None:
    """Write a {} or [] in lines of its own where one line would be too long for it."""
    entries = tree.items() if isinstance(tree, CommentedMap) else enumerate(tree)
    for key, each in list(entries):
        if not isinstance(each, CommentedMap | CommentedSeq):
            continue
        column = indent + (len(str(key)) + 2 if isinstance(tree, CommentedMap) else 4)
        if each.fa.flow_style() and column + 2 * _characters(each) > WIDTH and column + _length(each) > WIDTH:
            each.fa.set_block_style()
        if not each.fa.flow_style():
            _unfold(each, indent + (2 if isinstance(tree, CommentedMap) else 4))


def _characters(tree: Any) -> int:
    """Of a {} or [] as a line, without quotes and escapes: cheap, and seldom less than half of what it takes."""
    if isinstance(tree, CommentedMap):
        return sum(len(str(key)) + 4 + _characters(each) for key, each in tree.items())
    if isinstance(tree, CommentedSeq):
        return sum(2 + _characters(each) for each in tree)
    return len(str(tree))


def _length(tree: Any) -> int:
    written = io.StringIO()
    round_trip().dump(tree, written)
    return len(re.sub(" *#.*", "", written.getvalue()).strip())
