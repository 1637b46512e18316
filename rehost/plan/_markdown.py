"""A plan as the comment of a pull request: Markdown of GitHub and GitLab, within GitHub's limit."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from rehost.plan._page import Block, Bullets, Page, Section, Table, Text, page_of
from rehost.plan._plan import Plan

#: Characters that a comment on GitHub may have (its API: "body is too long (maximum is 65536 characters)"). Bytes are counted
#: here, of which a text never has fewer.
LIMIT = 65_536
#: How many rows of a list are shown: the first of these with which the page fits.
_ROWS = (2000, 1000, 500, 250, 120, 60, 30, 15, 8, 4, 2, 1)
_CELL = 400
_MARKS = {"ok": "✅", "warn": "⚠️", "bad": "⛔"}


def as_markdown(plan: Plan, limit: int = LIMIT) -> str:
    """At most `limit` bytes: long lists are cut, with how many are left out, and then sections from the end of the page."""
    page = page_of(plan)
    for rows in _ROWS:
        text = _laid_out(page, page.sections, rows)
        if len(text.encode()) <= limit:
            return text
    for kept in range(len(page.sections) - 1, -1, -1):
        text = _laid_out(page, page.sections[:kept], 1, left_out=len(page.sections) - kept)
        if len(text.encode()) <= limit:
            return text
    return text.encode()[:limit].decode("utf-8", "ignore")


def _laid_out(page: Page, sections: Sequence[Section], rows: int, left_out: int = 0) -> str:
    lines = [f"<!-- rehost plan {_comment(page.title)} -->", f"# {_plain(page.title)}", ""]
    lines += [f"{_MARKS[page.state]} **{_plain(page.verdict)}**", ""]
    lines += [" · ".join(f"{_plain(name)}: {_plain(value)}" for name, value in page.facts)]
    is_cut = bool(left_out)
    for section in sections:
        lines += ["", *_section(section, rows)]
        is_cut |= any(_length(each) > rows for each in section.blocks)
    if is_cut:
        more = f" {left_out} sections are left out." if left_out else ""
        lines += ["", f"Cut to fit into a comment.{more} `rehost plan --format html` has all of it."]
    return "\n".join(lines) + "\n"


def _section(section: Section, rows: int) -> Iterator[str]:
    if section.is_folded:
        number = max((_length(each) for each in section.blocks), default=0)
        yield f"<details><summary>{_plain(section.title)} ({number:,})</summary>"
    else:
        yield f"## {_plain(section.title)}"
    for each in section.blocks:
        yield ""
        yield from _block(each, rows)
    if section.is_folded:
        yield from ("", "</details>")


def _length(block: Block) -> int:
    return len(block.items) if isinstance(block, Bullets) else len(block.rows) if isinstance(block, Table) else 0


def _block(block: Block, rows: int) -> Iterator[str]:
    if isinstance(block, Text):
        yield _plain(block.text)
        return
    if isinstance(block, Bullets):
        yield from (f"- {_plain(each)}" for each in block.items[:rows])
    else:
        yield _row(block.head)
        yield "|---" * len(block.head) + "|"
        yield from map(_row, block.rows[:rows])
    if _length(block) > rows:
        yield from ("", f"… and {_length(block) - rows:,} more")


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(_plain(each, in_table=True) for each in cells) + " |"


def _plain(text: str, *, in_table: bool = False) -> str:
    """Somebody else's text must not become a tag, a link, a table's edge, a mention or a new line. Code stays code."""
    text = " ".join(text.split())
    if in_table and len(text) > _CELL:
        text = f"{text[:_CELL]}…"
    parts = text.split("`")
    if len(parts) % 2 == 0:
        parts = ["'".join(parts)]
    told = [_escaped(each) if number % 2 == 0 else f"`{_code(each, in_table)}`" for number, each in enumerate(parts)]
    return "".join(told).replace("``", "")


def _escaped(text: str) -> str:
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    text = re.sub(r"([\\|*_\[\]~])", r"\\\1", text)
    text = re.sub(r"^([-+#]|\d+[.)])(?=\s)", r"\\\1", text)
    return re.sub(r"@(?=\w)", "@<!-- -->", text)


def _code(text: str, in_table: bool) -> str:
    return text.replace("|", "\\|") if in_table else text


def _comment(text: str) -> str:
    return re.sub("[^A-Za-z0-9 ._-]", "", text).replace("--", "-")
