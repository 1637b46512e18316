"""What the page of a plan says, section by section: plain data, which Markdown and HTML only lay out.

Texts are plain, with `code` in backticks; whoever lays them out escapes everything else.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rehost.plan import _sections
from rehost.plan._plan import Plan
from rehost.text import count
from rehost.waves import moment


@dataclass(frozen=True)
class Bullets:
    items: Sequence[str]


@dataclass(frozen=True)
class Table:
    head: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True)
class Text:
    text: str


Block = Bullets | Table | Text


@dataclass(frozen=True)
class Section:
    """`is_folded`: shown by its title alone until somebody opens it."""

    title: str
    blocks: Sequence[Block]
    is_folded: bool = False


@dataclass(frozen=True)
class Page:
    title: str
    verdict: str
    state: str  # ok, warn, bad
    facts: Sequence[tuple[str, str]]
    sections: Sequence[Section]


def page_of(plan: Plan) -> Page:
    state, verdict = _verdict(plan)
    counts = plan.preview.counts()
    told = ", ".join(f"{number:,} {op}" for op, number in counts.items() if number)
    facts = [
        ("Stack", plan.stack or "unknown"),
        ("Region", plan.region or "unknown"),
        ("Compared with", plan.base or "nothing: no version before was given or found"),
        ("Resources", told or "none"),
        ("Made", moment(plan.made_at)),
    ]
    return Page(f"rehost plan of {plan.stack or 'a stack'}", verdict, state, facts, list(_sections_of(plan)))


def _sections_of(plan: Plan) -> Iterator[Section]:
    """The gravest first. A section without content is left out."""
    for title, folded, blocks in _sections.every(plan):
        laid = [_block(each) for each in blocks]
        if laid:
            yield Section(title, laid, folded)


def _block(each: _sections.Content) -> Block:
    if isinstance(each, str):
        return Text(each)
    if isinstance(each, tuple):
        head, rows = each
        return Table(head, rows)
    return Bullets(each)


def _verdict(plan: Plan) -> tuple[str, str]:
    refusing = [each.policy.name for each in plan.verdicts if each.refuses]
    if plan.has_failed:
        return (
            "bad",
            f"The preview failed: {count(len(plan.preview.errors), 'error')}. Nothing of this can be carried out as it is.",
        )
    if refusing:
        return "bad", f"Refused by {count(len(refusing), 'policy', 'policies')}: {', '.join(refusing)}."
    touched = [each for each in plan.views.servers.values() if each.lines]
    moved = [each for each in plan.views.applications if each.enters]
    if not touched and not moved and not any(each.is_touched for each in plan.views.applications):
        return "ok", "Nothing changes."
    gone = [each for each in plan.views.applications if each.to is None]
    entered = [each for each in moved if each.to is not None]
    told = [
        f"{count(number, noun)} {one if number == 1 else many}"
        for number, noun, one, many in (
            (len(touched), "server", "changes", "change"),
            (len(entered), "application", "enters another phase", "enter another phase"),
            (len(gone), "application", "goes", "go"),
        )
        if number
    ]
    text = f"{', '.join(told) or 'Something changes beside servers and phases'}."
    return ("warn" if plan.risks else "ok"), text
