"""The page as a document: whole, self-contained, escaped, readable."""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import replace
from datetime import timedelta
from html.parser import HTMLParser
from importlib.resources import files
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rehost.control import ControlPlane, Phase, RunState
from rehost.report import Report, ReportError, StackUnclear, look, page, past_of
from rehost.report._html import el
from rehost.report._overview import concerns
from rehost.report._page import SECTIONS, content_policy, sections
from rehost.report._text import nameless
from rehost.spec import Estate
from tests.control.conftest import spec
from tests.report.conftest import NOW
from tests.report.estate import Made

VOID = {"meta", "input", "br"}


class Document(HTMLParser):
    """Reads a page, and refuses what is not closed in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open[-1:] not in (["style"], ["script"]):
            self.text.append(data)

    def ids(self) -> list[str]:
        return [attributes["id"] or "" for _, attributes in self.tags if "id" in attributes]


@pytest.fixture
def text(control: ControlPlane, report: Report) -> str:
    return page(report, past_of(control, report.servers, limit=10))


def test_everything_that_was_asked_for_is_there(text: str, made: Made) -> None:
    found = Document(text)
    words = " ".join(" ".join(found.text).split())
    for told in (
        "5 of 15",
        "Wave one",
        "window 2026-12-06",
        "declare phase: test",
        "Throughput",
        "Lag",
        "Why runs failed",
        "AWS is out of reach",
    ):
        assert told in words, told
    for server in made.servers:
        assert server in words
    assert words.count("completed") > len(made.servers), "each server's history is in the file"
    ids = found.ids()
    assert len(ids) == len(set(ids))
    assert set(SECTIONS) <= set(ids)


def test_nothing_comes_from_elsewhere(text: str) -> None:
    for tag, attributes in Document(text).tags:
        assert not {"src", "srcset", "action", "data", "style"} & set(attributes), tag
        assert not [name for name in attributes if name.startswith("on")], tag
        assert tag not in ("link", "img", "iframe", "base", "object"), tag
        if "href" in attributes:
            assert str(attributes["href"]).startswith("#")
    assert not re.findall(r"https?://|@import|url\(", text)


def test_the_policy_lets_the_pages_own_style_and_script_alone(text: str) -> None:
    (policy,) = [a["content"] for tag, a in Document(text).tags if a.get("http-equiv") == "Content-Security-Policy"]
    assert policy == content_policy(live=False)
    for name in ("style", "script"):
        (inside,) = re.findall(f"<{name}>(.*?)</{name}>", text, re.S)
        digest = base64.b64encode(hashlib.sha256(inside.encode()).digest()).decode()
        assert f"{name}-src 'sha256-{digest}'" in str(policy)
    assert "default-src 'none'" in str(policy)
    assert "unsafe" not in str(policy)


def test_what_can_be_seen_can_be_heard(text: str) -> None:
    """What a screen reader needs: a language, a title, headings in order, named charts and scopes of headers."""
    found = Document(text)
    assert ("html", {"lang": "en"}) in found.tags
    levels = [int(tag[1]) for tag, _ in found.tags if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))
    for tag, attributes in found.tags:
        if tag == "svg":
            assert attributes["role"] == "img"
            assert attributes["aria-label"]
        if tag == "th":
            assert attributes["scope"] in ("row", "col")
        if attributes.get("tabindex") == "0":
            assert attributes["aria-label"], "what takes the focus has a name"
    tables, captions = text.count("<table"), text.count("<caption")
    assert tables == captions


def _colours(dark: bool) -> dict[str, str]:
    style = files("rehost.report").joinpath("page.css").read_text("utf-8")
    light, _, rest = style.partition("@media (prefers-color-scheme: dark)")
    blocks = [light] + ([rest.partition("\n}\n")[0]] if dark else [])
    return {name: value for block in blocks for name, value in re.findall(r"--([a-z0-9-]+): (#[0-9a-f]{6})", block)}


def _luminance(colour: str) -> float:
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def _contrast(one: str, other: str) -> float:
    light, dark = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("dark", [False, True])
def test_contrast_is_what_wcag_asks_for(dark: bool) -> None:
    """WCAG 2.2: 4.5 for text (1.4.3), 3 for the parts of a chart and of controls (1.4.11)."""
    colour = _colours(dark)
    for text, ground in [(t, g) for t in ("text", "soft", "link") for g in ("page", "card")]:
        assert _contrast(colour[text], colour[ground]) >= 4.5, (text, ground)
    for kind in ("bad", "warn", "good"):
        assert _contrast(colour[kind], colour[f"{kind}-soft"]) >= 4.5, kind
        assert _contrast(colour[kind], colour["card"]) >= 4.5, kind
    for drawn in ("sent", "ok", "failed", "missed", "median", "most", "worst", "edge"):
        assert _contrast(colour[drawn], colour["card"]) >= 3, drawn
    for lower, higher in zip(("l0", "l1", "l2", "l3"), ("l1", "l2", "l3", "l4"), strict=True):
        assert _contrast(colour[lower], colour[higher]) >= 1.2, "levels can be told apart without their hue"


@given(st.text())
def test_text_stays_text(told: str) -> None:
    document = Document(el("p", told, title=told))
    assert [tag for tag, _ in document.tags] == ["p"]
    kept = "".join(document.text)
    assert len(kept) == len(told.replace("\r\n", "\n")) or "\r" in told
    assert "<" not in str(el("p", told)).removeprefix("<p>").removesuffix("</p>")


def test_what_a_source_or_a_guest_says_is_never_markup(empty: ControlPlane) -> None:
    evil = "</script><script>alert(1)</script><img src=x onerror=alert(2)>\"'`\u202e\x00\ud800"
    told = evil.replace("\ud800", "").replace("\x00", "")
    job = empty.jobs.put(spec(server="web-01", application=told))
    run = empty.runs.request(job.id, token="one")
    empty.connectors.register("c", version="0.1", host=told, pid=1, sources=None, log_path="x")
    assert empty.runs.claim("c", None, lease_seconds=60) is not None
    empty.runs.fail(run.id, told)
    empty.applications.enter("dev", told, Phase.REPLICATE, servers=["web-01"])
    empty.applications.failed("dev", told, told)
    report = look(empty, None, stack="dev", spec_problem=evil)
    text = page(report, past_of(empty, report.servers, limit=10))
    names = {tag for tag, _ in Document(text).tags}
    assert "img" not in names
    assert text.count("<script") == 1
    text.encode("utf-8")


def test_a_job_s_settings_stay_where_they_are(empty: ControlPlane) -> None:
    """References to secrets, channels, locators and paths are nobody's business who reads a report."""
    job = spec(
        source={
            "type": "vsphere",
            "endpoint": "vc.example.com",
            "credentials": {"password": {"env": "VC_SECRET_NAME"}},
        },
        notify=[{"name": "chat", "events": ["run-failed"], "webhook": {"url": "https://chat.example.com/T0PS3CR3T"}}],
        locator={"path": "/srv/private/web-01.raw"},
    )
    made = empty.jobs.put(job)
    empty.connectors.register("c", version="0.1", host="rack7", pid=4242, sources=None, log_path="/var/log/private.log")
    run = empty.runs.request(made.id, token="one")
    empty.runs.claim("c", None, lease_seconds=60)
    empty.runs.fail(run.id, "it failed")
    report = look(empty, None)
    text = page(report, past_of(empty, report.servers, limit=10))
    assert "it failed" in text
    assert "could not be delivered" in text
    for private in ("VC_SECRET_NAME", "T0PS3CR3T", "/srv/private", "/var/log", "vc.example.com"):
        assert private not in text


def test_before_anything_was_declared(estate: Estate, empty: ControlPlane) -> None:
    for control in (None, empty):
        report = look(control, estate)
        words = " ".join(Document(page(report, {})).text)
        assert "0 of 60" in words
        assert "`pulumi up`" not in words
        assert "pulumi up" in words
        assert "No run has ended yet" in words
    words = " ".join(Document(page(look(empty, None), {})).text)
    assert "No server is declared" in words
    assert "No application is declared" in words


def test_without_the_spec_it_shows_what_the_control_plane_knows(control: ControlPlane, made: Made) -> None:
    report = look(control, None, spec_problem="migration_specs is not here")
    assert [view.wave.name for view in report.waves] == list(
        dict.fromkeys(sorted(made.waves, key=lambda w: made.waves[w][0]))
    )
    assert {each.name for each in report.servers} == set(made.servers)
    assert "migration_specs is not here" in sections(report, None)["summary"]


def test_an_application_outside_of_every_wave_has_a_place(empty: ControlPlane) -> None:
    empty.jobs.put(spec(server="web-01", application="wiki"))
    empty.applications.enter("dev", "wiki", Phase.REPLICATE, servers=["web-01"])
    report = look(empty, None)
    assert [view.wave.name for view in report.waves] == [""]
    assert "No wave" in sections(report, None)["waves"]


def test_several_stacks_are_not_mixed(empty: ControlPlane) -> None:
    empty.jobs.put(spec(stack="dev"))
    empty.jobs.put(spec(stack="prod"))
    with pytest.raises(StackUnclear, match="dev, prod"):
        look(empty, None)
    assert issubclass(StackUnclear, ReportError)
    assert [each.name for each in look(empty, None, stack="prod").servers] == ["web-01"]


def test_one_cause_is_one_matter(report: Report) -> None:
    found = [each for each in concerns(report) if "credentials" in each.what]
    assert len(found) == 1
    assert report.servers
    failing = [each.name for each in report.servers if each.status and each.status.job.state == "PAUSED_ON_FAILURE"]
    assert len(failing) == 2
    assert nameless("web-1 and web-10 of web-1's", "web-1") == "SERVER and web-10 of SERVER's"


def test_a_window_that_closed_over_an_application_is_a_matter(control: ControlPlane, estate: Estate) -> None:
    wave = estate.waves["two"]
    assert wave.window is not None
    gone = replace(wave.window, opens=NOW - timedelta(hours=9), closes=NOW - timedelta(hours=1))
    late = replace(estate, waves={**estate.waves, "two": replace(wave, window=gone)})
    found = [each for each in concerns(look(control, late)) if "closed" in each.what]
    assert found
    assert all(each.weight == 2 for each in found)


def test_runs_that_are_shown_are_those_of_the_control_plane(control: ControlPlane, report: Report, made: Made) -> None:
    ended = control.timeline.ended_runs("prod", since=NOW - timedelta(days=7))
    assert list(report.ended) == ended
    in_all = sum(len(control.runs.list(each.status.job.id, limit=200)) for each in report.servers if each.status)
    under_way = sum(each.status is not None and each.status.open_run is not None for each in report.servers)
    assert len(ended) == in_all - under_way
    assert sum(run.state is RunState.FAILED for run in ended) > 0
    assert len(made.servers) == len(report.servers)


def test_the_style_and_the_script_are_part_of_the_package() -> None:
    root = Path(__file__).resolve().parents[2]
    assert '"rehost.report" = ["*.css", "*.js"]' in (root / "pyproject.toml").read_text("utf-8")
