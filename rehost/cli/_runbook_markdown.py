"""A run book as Markdown."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rehost.cli._runbook import Book, Step


def as_markdown(book: Book) -> str:
    lines = [f"# {book.title}", "", *(f"- {_plain(name)}: {_plain(value)}" for name, value in book.facts)]
    number = 0
    for section in book.sections:
        lines += ["", f"## {section.title}"]
        if section.text:
            lines += ["", _plain(section.text)]
        if section.table:
            lines += ["", *_table(section.table)]
        lines.append("")
        for step in section.steps:
            number += 1
            lines += _step(number, step)
    return "\n".join(lines) + "\n"


def _step(number: int, step: Step) -> Iterator[str]:
    yield f"{number}. [ ] **{_plain(step.who)}**: {_plain(step.what)}"
    for name, value in (("run", f"`{step.command}`" if step.command else ""), ("check", step.check), ("back", step.back), ("takes", step.takes)):  # fmt: skip
        if value:
            yield f"    - {name}: {_plain(value)}"


def _table(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    for number, row in enumerate(rows):
        yield "| " + " | ".join(_plain(cell) for cell in row) + " |"
        if number == 0:
            yield "|---" * len(row) + "|"


def _plain(text: str) -> str:
    """A text of somebody else's must not become a table's edge, a tag or a new line."""
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")
