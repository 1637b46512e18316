"""The comment and the page: within the limit, in order, and with nothing of somebody else's taken for markup."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from rehost.plan import LIMIT, Known, as_html, as_markdown
from tests.plan.conftest import SPEC, Steps, planned

HOSTILE = "<img src=x onerror=alert(1)> | @everyone [x](javascript:alert(1)) `a` *b* <!-- --> </details>"


def _many(count: int) -> tuple[str, Steps]:
    names = [f"web-{number:04}" for number in range(count)]
    servers = "".join(f"  {name}: {{source: dc1, locator: {{path: {name}.raw}}}}\n" for name in names)
    steps = Steps()
    for name in names:
        steps.job("create", name, sourceName="dc1")
    return f"sources: {{dc1: {{type: images, path: ../exports}}}}\nservers:\n{servers}", steps


def test_what_cannot_be_undone_stands_first(tmp_path: Path, known: Known) -> None:
    steps = Steps().phase("shop", ["db-01", "web-01"], "cutover", "complete").job("update", "db-01", ended=True)
    text = as_markdown(planned(tmp_path, steps, known, SPEC.replace("phase: replicate", "phase: complete")))
    titles = re.findall("^## (.*)$", text, re.MULTILINE)
    assert titles[0] == "What cannot be undone"
    assert "- no way back: shop becomes complete" in text
    assert text.startswith("<!-- rehost plan rehost plan of prod -->\n# rehost plan of prod\n"), (
        "a pipeline finds its comment again"
    )
    assert "| shop | cutover → complete |" in text
    assert "| db-01 | its replication ends | 3 | 3 |" in text


@pytest.mark.parametrize("count", [50, 1000, 5000])
def test_a_comment_is_within_githubs_limit_and_says_what_it_leaves_out(
    tmp_path: Path, known: Known, count: int
) -> None:
    plan = planned(tmp_path, _many(count)[1], known, _many(count)[0])
    text = as_markdown(plan)
    assert len(text.encode()) <= LIMIT
    assert text.count("<details>") == text.count("</details>")
    shown = text.count("| replication starts |")
    if shown < count:
        assert f"… and {count - shown:,} more" in text
        assert "Cut to fit into a comment." in text
    assert f"{count:,} servers change" in text
    assert as_html(plan).count("<td>replication starts</td>") == count, "the page has all of it"


def test_even_a_tiny_limit_holds(tmp_path: Path, known: Known) -> None:
    plan = planned(tmp_path, _many(30)[1], known, _many(30)[0])
    for limit in (4000, 1500, 900, 100):
        assert len(as_markdown(plan, limit).encode()) <= limit
    assert "sections are left out" in as_markdown(plan, 1500)


def test_texts_of_others_are_texts(tmp_path: Path, known: Known) -> None:
    steps = (
        Steps()
        .says(f"shop: {HOSTILE} [kms-key]")
        .says(HOSTILE, "error")
        .job("create", "db-01", fullCopy=f"yes, {HOSTILE}")
    )
    steps.phase("shop", ["db-01"], None, "replicate", [HOSTILE])
    plan = planned(tmp_path, steps, known)
    text = as_markdown(plan)
    assert "<img" not in text
    assert "@everyone" not in text
    assert r"\[x\](javascript" in text, "brackets that are escaped make no link"
    assert not re.search(r"(?<!\\)\]\(", text)
    # Comments are ours: the mark at the top, and what keeps an @ from calling somebody.
    assert set(re.findall("<!--(.*?)-->", text)) <= {" ", " rehost plan rehost plan of prod "}
    assert text.count("</details>") == text.count("<details>")
    for row in re.findall(r"^\|.*\|$", text, re.MULTILINE):
        assert "\n" not in row
    page = as_html(plan)
    assert "<img" not in page
    assert "<code>a</code>" in page


class _Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.addresses: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in ("meta", "br"):
            self.open.append(tag)
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href")]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_page_is_whole_and_asks_for_nothing(tmp_path: Path, known: Known) -> None:
    steps = Steps().job("update", "db-01", schedule={"keep_images": 1}).instance("replace", "web-01")
    tags = _Tags()
    page = as_html(planned(tmp_path, steps, known))
    tags.feed(page)
    assert tags.open == []
    assert tags.addresses == []
    assert "default-src 'none'" in page
    assert "prefers-color-scheme: dark" in page


def test_nothing_says_so(tmp_path: Path, known: Known) -> None:
    text = as_markdown(planned(tmp_path, Steps(), known))
    assert "✅ **Nothing changes.**" in text
    assert "2 applications stay as they are." in text
