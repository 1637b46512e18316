"""A run book as one HTML page without foreign assets: light, dark, narrow and on paper."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from html import escape

from rehost.cli._runbook import Book, Step

_STYLE = """
:root { color-scheme: light dark; --line: #8886; --soft: #8881; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 0 auto; padding: 1rem; }
h1 { font-size: 1.6rem; } h2 { font-size: 1.2rem; margin-top: 2rem; border-bottom: 1px solid var(--line); }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .2rem 1rem; } dt { font-weight: 600; } dd { margin: 0; }
.wide { overflow-x: auto; } table { border-collapse: collapse; }
th, td { border: 1px solid var(--line); padding: .25rem .6rem; text-align: left; vertical-align: top; }
ol { padding: 0; list-style: none; } li { border: 1px solid var(--line); border-radius: .4rem; padding: .6rem .8rem; margin: .6rem 0; }
li > label { display: block; } li dl { margin: .4rem 0 0 1.6rem; }
code { background: var(--soft); padding: .1rem .3rem; border-radius: .2rem; overflow-wrap: anywhere; }
@media (max-width: 40rem) { dl { grid-template-columns: 1fr; } dd { margin-bottom: .3rem; } li dl { margin-left: 0; } }
@media print { body { font-size: 11px; max-width: none; padding: 0; } h2, li, tr { break-inside: avoid; } h2 { break-after: avoid; } .wide { overflow: visible; } }
"""


def as_html(book: Book) -> str:
    return "\n".join(_page(book)) + "\n"


def _page(book: Book) -> Iterator[str]:
    yield '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">'
    yield '<meta name="viewport" content="width=device-width, initial-scale=1">'
    yield f"<title>{escape(book.title)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n<h1>{escape(book.title)}</h1>"
    yield from _list(book.facts)
    number = 0
    for section in book.sections:
        yield f"<section>\n<h2>{escape(section.title)}</h2>"
        if section.text:
            yield f"<p>{_inline(section.text)}</p>"
        if section.table:
            yield from _table(section.table)
        yield f'<ol start="{number + 1}">'
        for step in section.steps:
            number += 1
            yield from _step(number, step)
        yield "</ol>\n</section>"
    yield "</body>\n</html>"


def _step(number: int, step: Step) -> Iterator[str]:
    yield f'<li><label><input type="checkbox"> {number}. <strong>{escape(step.who)}</strong>: {_inline(step.what)}</label>'
    command = f"`{step.command}`" if step.command else ""
    yield from _list([("run", command), ("check", step.check), ("back", step.back), ("takes", step.takes)])
    yield "</li>"


def _list(entries: Sequence[tuple[str, str]]) -> Iterator[str]:
    told = [f"<dt>{escape(name)}</dt><dd>{_inline(value)}</dd>" for name, value in entries if value]
    if told:
        yield "<dl>" + "".join(told) + "</dl>"


def _table(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    yield '<div class="wide"><table>'
    for number, row in enumerate(rows):
        tag = "td" if number else "th"
        yield "<tr>" + "".join(f"<{tag}>{_inline(cell)}</{tag}>" for cell in row) + "</tr>"
    yield "</table></div>"


def _inline(text: str) -> str:
    return re.sub("`([^`]+)`", r"<code>\1</code>", escape(text))
