"""A plan as one HTML page without foreign assets: light, dark, narrow and on paper."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html import escape

from rehost.plan._page import Block, Bullets, Section, Text, page_of
from rehost.plan._plan import Plan

_STYLE = """
:root { color-scheme: light dark; --line: #8886; --soft: #8881; --ok: #2a7f3f; --warn: #a15c00; --bad: #c0262d; }
@media (prefers-color-scheme: dark) { :root { --ok: #6fcf8a; --warn: #f0b45a; --bad: #ff8a8a; } }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 75rem; margin: 0 auto; padding: 1rem; }
h1 { font-size: 1.6rem; } h2 { font-size: 1.2rem; margin-top: 2rem; border-bottom: 1px solid var(--line); }
.verdict { font-weight: 600; border-left: .3rem solid; padding: .3rem .8rem; } .ok { border-color: var(--ok); color: var(--ok); }
.warn { border-color: var(--warn); color: var(--warn); } .bad { border-color: var(--bad); color: var(--bad); }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .2rem 1rem; } dt { font-weight: 600; } dd { margin: 0; }
.wide { overflow-x: auto; } table { border-collapse: collapse; } li { margin: .2rem 0; overflow-wrap: anywhere; }
th, td { border: 1px solid var(--line); padding: .25rem .6rem; text-align: left; vertical-align: top; } thead { background: var(--soft); }
summary { font-size: 1.2rem; font-weight: 600; margin-top: 2rem; cursor: pointer; }
code { background: var(--soft); padding: .1rem .3rem; border-radius: .2rem; overflow-wrap: anywhere; }
@media (max-width: 40rem) { dl { grid-template-columns: 1fr; } dd { margin-bottom: .3rem; } }
@media print { body { font-size: 11px; max-width: none; padding: 0; } .wide { overflow: visible; } tr { break-inside: avoid; } }
"""


def as_html(plan: Plan) -> str:
    return "\n".join(_page(plan)) + "\n"


def _page(plan: Plan) -> Iterator[str]:
    page = page_of(plan)
    yield '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">'
    yield '<meta name="viewport" content="width=device-width, initial-scale=1">'
    yield "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">"
    yield f"<title>{escape(page.title)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n<main>\n<h1>{escape(page.title)}</h1>"
    yield f'<p class="verdict {page.state}">{_inline(page.verdict)}</p>'
    yield "<dl>" + "".join(f"<dt>{escape(name)}</dt><dd>{_inline(value)}</dd>" for name, value in page.facts) + "</dl>"
    for section in page.sections:
        yield from _section(section)
    yield "</main>\n</body>\n</html>"


def _section(section: Section) -> Iterator[str]:
    title = escape(section.title)
    yield f"<details><summary>{title}</summary>" if section.is_folded else f"<section>\n<h2>{title}</h2>"
    for each in section.blocks:
        yield from _block(each)
    yield "</details>" if section.is_folded else "</section>"


def _block(block: Block) -> Iterator[str]:
    if isinstance(block, Text):
        yield f"<p>{_inline(block.text)}</p>"
    elif isinstance(block, Bullets):
        yield "<ul>" + "".join(f"<li>{_inline(each)}</li>" for each in block.items) + "</ul>"
    else:
        yield '<div class="wide"><table><thead><tr>' + "".join(
            f'<th scope="col">{_inline(each)}</th>' for each in block.head
        )
        yield "</tr></thead><tbody>"
        for row in block.rows:
            yield "<tr>" + "".join(f"<td>{_inline(cell)}</td>" for cell in row) + "</tr>"
        yield "</tbody></table></div>"


def _inline(text: str) -> str:
    return re.sub("`([^`]+)`", r"<code>\1</code>", escape(text))
