"""The page in a real browser, in light, dark and narrow; live; and with a thousand servers. Needs the Debian package chromium."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from rehost.control import ControlPlane
from rehost.report import Live, ReportServer, look, page, past_of
from rehost.spec import check
from tests.control.conftest import spec
from tests.report.conftest import NOW
from tests.report.estate import Made, make
from tests.report.test_serve import _pasts
from tools import browser
from tools.browser import Browser, Tab

PICTURES = Path(__file__).resolve().parents[2] / "build" / "report"

pytestmark = pytest.mark.skipif(browser.program() is None, reason=f"needs the Debian package {browser.PACKAGE}")


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with Browser(tmp_path_factory.mktemp("browser")) as running:
        yield running


@pytest.fixture(scope="module")
def written(made: Made, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of the estate, as `rehost report` writes it."""
    return _write(made, tmp_path_factory.mktemp("report") / "report.html", NOW)


def _write(made: Made, path: Path, now: datetime) -> Path:
    control = ControlPlane.open(made.url, clock=lambda: now)
    found, _ = check(made.folder / "migration_specs", root=made.folder)
    report = look(control, found)
    path.write_text(page(report, past_of(control, report.servers, limit=10)), "utf-8")
    control.close()
    return path


def colour(tab: Tab, selector: str, of: str) -> tuple[int, ...]:
    told = tab.evaluate(f"getComputedStyle(document.querySelector({selector!r}))[{of!r}]")
    return tuple(int(part) for part in told[4:-1].split(",")[:3])


def light_of(colour: tuple[int, ...]) -> float:
    return sum(colour) / 765


def assert_it_fits(tab: Tab, width: int) -> None:
    """Nothing sticks out of the page, no text out of its chart, and charts have an extent."""
    assert tab.evaluate("document.documentElement.scrollWidth") <= width
    out = tab.evaluate(
        "Array.from(document.querySelectorAll('section, figure, svg.chart, .tile, h1, h2, h3, li, p, form *')).filter((each) => {"
        " const box = each.getBoundingClientRect(); return box.width && (box.right > innerWidth + 1 || box.left < -1);"
        "}).filter((each) => !each.closest('.wide')).map((each) => each.outerHTML.slice(0, 80))"
    )
    assert out == []
    sizes = tab.evaluate(
        "Array.from(document.querySelectorAll('.chart > svg'), (each) => { const box = each.getBoundingClientRect(); return [box.width, box.height]; })"
    )
    assert len(sizes) == 6
    assert all(across > width / 2 and down > 50 for across, down in sizes)


@pytest.mark.parametrize(
    ("name", "width", "dark"),
    [("light", 1280, False), ("dark", 1280, True), ("narrow", 380, False), ("narrow-dark", 380, True)],
)
def test_how_it_looks(chromium: Browser, written: Path, name: str, width: int, dark: bool) -> None:
    tab = chromium.open(written.as_uri(), width=width, dark=dark)
    tab.screenshot(PICTURES / f"{name}.png", whole=True)
    assert tab.log == [], "neither an error nor anything that the policy refused"
    assert tab.requests == [written.as_uri()]
    ground, ink = light_of(colour(tab, "section", "backgroundColor")), light_of(colour(tab, "body", "color"))
    assert (ground < 0.3 and ink > 0.7) if dark else (ground > 0.9 and ink < 0.3)
    assert_it_fits(tab, width)
    wide = tab.evaluate("getComputedStyle(document.querySelector('td.less')).display")
    assert wide == ("none" if width < 500 else "table-cell")
    drawn = tab.evaluate("Array.from(document.querySelectorAll('.fill'), (each) => getComputedStyle(each).fill)")
    assert drawn
    assert not [each for each in drawn if each in ("rgb(0, 0, 0)", "none")], "the style reached the charts"
    assert colour(tab, ".fill.failed", "fill") != colour(tab, ".fill.ok", "fill")
    assert (PICTURES / f"{name}.png").stat().st_size > 20_000


def test_finding_and_sorting_servers(chromium: Browser, written: Path, made: Made) -> None:
    tab = chromium.open(written.as_uri())
    shown = "Array.from(document.querySelectorAll('#server-table > tbody:not([hidden])'), (each) => each.dataset.key)"
    assert tab.evaluate(shown) == made.servers
    tab.evaluate("document.getElementById('find').focus()")
    tab.call("Input.insertText", text="WEB shop-00")
    assert tab.evaluate(shown) == [name for name in made.servers if name.startswith("web") and int(name[-4:]) < 40]
    assert tab.evaluate("document.getElementById('shown').textContent") == "10 of 60 servers"
    tab.evaluate(
        "document.getElementById('find').value = ''; document.getElementById('condition').value = 'attention'; document.getElementById('condition').dispatchEvent(new Event('change'))"
    )
    assert 0 < len(tab.evaluate(shown)) < 10
    tab.evaluate(
        "document.getElementById('condition').value = ''; document.getElementById('condition').dispatchEvent(new Event('change'))"
    )
    tab.evaluate("document.querySelector('#server-table thead button').click()")
    assert tab.evaluate(shown) == sorted(made.servers)
    assert tab.evaluate("document.querySelector('#server-table thead th').getAttribute('aria-sort')") == "ascending"
    tab.evaluate("document.querySelector('#server-table thead button').click()")
    assert tab.evaluate(shown) == sorted(made.servers, reverse=True)
    assert tab.log == []


def test_what_a_screen_reader_is_told(chromium: Browser, written: Path) -> None:
    """By the browser's own accessibility tree: nothing that takes the focus or draws is without a name."""
    tab = chromium.open(written.as_uri())
    tab.call("Accessibility.enable")
    nodes = [each for each in tab.call("Accessibility.getFullAXTree")["nodes"] if not each.get("ignored")]
    roles: dict[str, list[str]] = {}
    for node in nodes:
        roles.setdefault(str(node.get("role", {}).get("value")), []).append(
            str(node.get("name", {}).get("value") or "")
        )
    for role in (
        "link",
        "button",
        "searchbox",
        "combobox",
        "image",
        "region",
        "navigation",
        "columnheader",
        "rowheader",
        "heading",
    ):
        assert roles.get(role), role
        assert all(roles[role]), f"a {role} without a name"
    assert len(roles["main"]) == 1
    assert any("Lag" in name and "median" in name for name in roles["image"])


def test_it_can_be_read_without_a_script(chromium: Browser, written: Path, made: Made) -> None:
    tab = chromium.open("about:blank")
    tab.call("Emulation.setScriptExecutionDisabled", value=True)
    tab.go(written.as_uri())
    document = tab.call("DOM.getDocument", depth=0)["root"]["nodeId"]
    rows = tab.call("DOM.querySelectorAll", nodeId=document, selector="#server-table > tbody")["nodeIds"]
    assert len(rows) == len(made.servers)
    runs = tab.call("DOM.querySelectorAll", nodeId=document, selector="#server-table details .past tbody tr")["nodeIds"]
    assert len(runs) > 5 * len(made.servers)


def test_live_it_follows_and_keeps_what_is_open(chromium: Browser, empty: ControlPlane) -> None:
    first, second = empty.jobs.put(spec(server="web-01")), empty.jobs.put(spec(server="web-02"))
    live = Live(lambda: look(empty, None), _pasts(empty), every=0.2)
    with ReportServer(live, "127.0.0.1", 0) as server:
        thread = server.in_background()
        try:
            tab = chromium.open(server.url)
            tab.wait("document.getElementById('link').textContent.startsWith('Live')")
            tab.evaluate("document.querySelector('[data-key=web-01] details').open = true")
            tab.wait("document.querySelector('[data-key=web-01] .past').textContent.includes('No run yet')")
            tab.evaluate("document.getElementById('find').value = 'web'; document.getElementById('find').focus()")
            tab.evaluate("document.querySelector('[data-key=web-02]').dataset.same = 'yes'")
            empty.jobs.pause(first.id)
            tab.wait("document.querySelector('[data-key=web-01]').textContent.includes('paused')")
            tab.wait("document.querySelector('[data-key=web-01] .past').textContent.includes('rehost resume')")
            assert tab.evaluate("document.querySelector('[data-key=web-01] details').open") is True
            assert tab.evaluate("document.querySelector('[data-key=web-02]').dataset.same") == "yes", (
                "it stayed as it was"
            )
            assert tab.evaluate("document.activeElement.id + document.getElementById('find').value") == "findweb"
            third = empty.jobs.put(spec(server="web-03"))
            tab.wait("Boolean(document.querySelector('[data-key=web-03]'))")
            assert tab.evaluate("document.getElementById('shown').textContent") == "3 of 3 servers"
            empty.jobs.begin_end(third.id)
            empty.jobs.ended(third.id)
            tab.wait("!document.querySelector('[data-key=web-03]')")
            assert tab.log == []
            assert all(each.startswith(server.url) for each in tab.requests)
            tab.screenshot(PICTURES / "live.png")
        finally:
            server.shutdown()
            thread.join()
        assert second.id
        server.server_close()
        tab.wait("document.getElementById('link').textContent.includes('does not answer')")


def test_a_thousand_servers_stay_usable(chromium: Browser, tmp_path: Path) -> None:
    """By the processor time of the page's own thread, which others on this machine do not make longer."""
    made = make(tmp_path / "estate", 1000, NOW, every=timedelta(hours=12))
    written = _write(made, tmp_path / "report.html", NOW)
    assert written.stat().st_size < 8_000_000
    tab = chromium.open(written.as_uri())
    assert tab.log == []
    assert tab.evaluate("document.getElementById('shown').textContent") == "1,000 of 1,000 servers"
    tab.call("Performance.enable", timeDomain="threadTicks")
    before = spent(tab)
    tab.evaluate(FIND.format("db-0998"))
    assert tab.evaluate("document.getElementById('shown').textContent") == "1 of 1,000 servers"
    found = spent(tab)
    tab.evaluate(FIND.format(""))
    tab.evaluate("document.querySelectorAll('#server-table thead button')[6].click(); document.body.offsetHeight")
    everything = spent(tab)
    print(
        f"processor seconds: finding one {found - before:.2f}, showing all again and sorting by lag {everything - found:.2f}"
    )
    assert found - before < 1.5
    assert everything - found < 5
    assert tab.evaluate("document.documentElement.scrollWidth") <= 1280
    tab.screenshot(PICTURES / "thousand.png")


#: What typing into the field does, with the layout that follows.
FIND = "document.getElementById('find').value = '{}'; document.getElementById('find').dispatchEvent(new Event('input')); document.body.offsetHeight"


def spent(tab: Tab) -> float:
    metrics = {each["name"]: each["value"] for each in tab.call("Performance.getMetrics")["metrics"]}
    return float(metrics["TaskDuration"])
