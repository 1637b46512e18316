"""The page: its sections, and the frame around them. Everything that it needs is in it."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from functools import cache
from importlib.resources import files

from rehost.report._chart_section import charts
from rehost.report._html import Markup, el, moment
from rehost.report._look import Past, Report
from rehost.report._overview import attention, summary, upcoming
from rehost.report._server_section import servers
from rehost.report._wave_section import waves

SECTIONS = ("summary", "attention", "next", "waves", "charts", "servers")
_TITLES = {
    "summary": "How it stands",
    "attention": "What needs a person",
    "next": "What comes next",
    "waves": "Waves",
    "charts": "Over time",
    "servers": "Servers",
}


def sections(report: Report, pasts: Mapping[str, Past] | None) -> dict[str, Markup]:
    """Each by its id, in the order of SECTIONS. Without `pasts` the page asks for a server's history when it is opened."""
    return {
        "summary": summary(report),
        "attention": attention(report),
        "next": upcoming(report),
        "waves": waves(report),
        "charts": charts(report),
        "servers": servers(report, pasts),
    }


def page(report: Report, pasts: Mapping[str, Past]) -> str:
    """A file of its own, to be passed on."""
    return frame(report, sections(report, pasts), live=False)


def frame(report: Report, parts: Mapping[str, Markup], *, live: bool) -> str:
    """The whole page. `live`: it belongs to a server that it asks for news."""
    title = f"Migration {report.stack}" if report.stack else "Migration"
    policy = None if live else el("meta", http_equiv="Content-Security-Policy", content=content_policy(live=False))
    status = el(
        "p",
        "As of ",
        el("span", moment(report.now, seconds=True), id="as-of"),
        " UTC. All moments are UTC.",
        " ",
        el("span", id="link", role="status"),
        class_="soft",
    )
    links = [el("li", el("a", title_, href=f"#{name}")) for name, title_ in _TITLES.items()]
    body = [el("section", parts[name], id=name, data_hash=digest(parts[name]) if live else None) for name in SECTIONS]
    head = [
        el("meta", charset="utf-8"),
        el("meta", name="viewport", content="width=device-width, initial-scale=1"),
        policy,
        el("meta", name="color-scheme", content="light dark"),
        el("title", title),
        el("style", Markup(_asset("page.css"))),
    ]
    whole = el(
        "html",
        el("head", head),
        el(
            "body",
            el("a", "To the content", href="#main", class_="skip"),
            el("header", el("h1", title), status, el("nav", el("ul", links), aria_label="Sections")),
            el("main", body, id="main", tabindex=-1),
            el("script", Markup(_asset("page.js"))),
            data_live=live,
        ),
        lang="en",
    )
    return f"<!doctype html>\n{whole}\n"


def content_policy(*, live: bool) -> str:
    """What the page may do: its own style and script, by their digests, and nothing from elsewhere."""
    sources = {name: f"'sha256-{_digest(name)}'" for name in ("page.css", "page.js")}
    rules = [
        "default-src 'none'",
        f"style-src {sources['page.css']}",
        f"script-src {sources['page.js']}",
        "base-uri 'none'",
        "form-action 'none'",
    ]
    if live:
        rules += ["connect-src 'self'", "frame-ancestors 'none'"]
    return "; ".join(rules)


def digest(part: str) -> str:
    """By which a section is known again."""
    return hashlib.blake2b(part.encode("utf-8", "replace"), digest_size=12).hexdigest()


@cache
def _asset(name: str) -> str:
    return files("rehost.report").joinpath(name).read_text("utf-8")


@cache
def _digest(name: str) -> str:
    return base64.b64encode(hashlib.sha256(_asset(name).encode()).digest()).decode()


__all__ = ["SECTIONS", "content_policy", "digest", "frame", "page", "sections"]
