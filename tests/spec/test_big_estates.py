"""What servers have in common: defaults of folders, templates, selections; and that a thousand of them are read in linear time."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from rehost import spec
from rehost.spec import _yaml

SOURCES = "sources: {exports: {type: images, path: exports}, other: {type: images, path: other}}\n"


def write(folder: Path, **files: str) -> Path:
    for name, text in files.items():
        file = folder / (name.replace("__", "/") + ".yaml")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return folder


def test_the_nearest_wins(tmp_path: Path) -> None:
    folder = write(
        tmp_path / "specs",
        base=SOURCES + "schedules: {daily: {every: 1d}, weekly: {every: 7d}}\n"
        "defaults: {servers: {source: exports, schedule: daily, tags: {a: all, b: all, c: all, d: all}}}\n",
        templates="serverTemplates:\n"
        "  linux: {image: {platform: linux, copies: {eu-west-1: {}}}, tags: {b: linux, c: linux, d: linux}}\n"
        "  web: {extends: linux, schedule: weekly, image: {bootMode: uefi}, tags: {c: web, d: web}}\n",
        dc1__defaults="defaults: {servers: {source: other, quiesce: none, extends: linux}}\n",
        dc1__a__servers="servers:\n"
        "  one: {locator: {name: one}}\n"
        "  two: {extends: web, locator: {name: two}, image: {copies: {eu-west-2: {}}}, tags: {d: own}}\n",
        servers="servers: {three: {locator: {name: three}, source: other, tags: {a: own}}}\n",
    )
    estate = spec.load(folder)
    one, two, three = (estate.servers[name] for name in ("one", "two", "three"))
    assert (one.source.name, one.schedule.name, one.quiesce, one.image.platform) == ("other", "daily", "none", "linux")
    assert one.tags == {"a": "all", "b": "linux", "c": "linux", "d": "linux"}
    assert (two.source.name, two.schedule.name, two.quiesce) == ("other", "weekly", "none")
    assert (two.image.platform, two.image.boot_mode) == ("linux", "uefi")
    assert list(two.image.copies) == ["eu-west-1", "eu-west-2"]
    assert two.tags == {"a": "all", "b": "linux", "c": "web", "d": "own"}
    assert (three.source.name, three.quiesce, three.image) == ("other", "try", spec.ImageOptions())
    assert three.tags == {"a": "own", "b": "all", "c": "all", "d": "all"}


def test_a_finding_shows_the_line_that_is_to_be_changed_and_shows_it_once(tmp_path: Path) -> None:
    servers = "".join(f"  s{number}: {{locator: {{name: s{number}}}}}\n" for number in range(1500))
    folder = write(
        tmp_path / "specs",
        a=SOURCES + "defaults:\n  servers:\n    source: exprots\n    throttle: 1 KiB/s\n",
        b=f"servers:\n{servers}",
    )
    errors = [str(each) for each in spec.check(folder)[1] if each.is_error]
    assert errors == [
        "specs/a.yaml:4:13: exprots is not in sources (did you mean exports?)",
        "specs/a.yaml:5:15: '1 KiB/s' is below 16 KiB/s, at which a block of 512 KiB takes half a minute "
        "(raise it, or leave it out)",
    ]


def test_applications_have_defaults_too(tmp_path: Path) -> None:
    folder = write(
        tmp_path / "specs",
        a=SOURCES + "defaults:\n  applications: {owner: blue, cutover: {power: keep, shutdown: 90s}, tags: {a: x},"
        " postLaunch: {remove-vm-tools: {}}}\n",
        b="servers: {s: {source: exports, locator: {name: s}, launchConfig: c}}\nlaunchConfigs: {c: {instanceType: t3.small}}\n"
        "applications:\n  shop: {cutover: {shutdown: 10s}, postLaunch: {install-ssm-agent: {}}, groups: {g: {servers: [s]}}}\n",
    )
    shop = spec.load(folder).applications["shop"]
    assert (shop.owner, shop.power, shop.shutdown_seconds, shop.tags) == ("blue", "keep", 10, {"a": "x"})
    assert [each.name for each in shop.post_launch] == ["remove-vm-tools", "install-ssm-agent"]


SELECTION = """
selections:
  web:
    source: exports
    match: {name: ["web-*"], tags: {stage: [prod, test]}}
    except: ["*-99"]
    server: {extends: linux, tags: {tier: web}}
serverTemplates: {linux: {image: {platform: linux}}}
defaults: {servers: {quiesce: none}}
applications: {shop: {groups: {web: {servers: [db], selections: [web]}}}}
servers: {db: {source: other, locator: {name: db}}}
"""
SELECTED = 'selected: {web: {selection: "%s", servers: {web-01: {name: web-01}, web-02: {path: x.raw}}}}'


def digest_of(folder: Path) -> str:
    (selection,), _, problems = spec.selections(folder)
    assert problems == []
    return selection.digest


def test_what_was_selected_becomes_servers(tmp_path: Path) -> None:
    folder = write(tmp_path / "specs", a=SOURCES + SELECTION)
    (finding,) = spec.check(folder)[1]
    assert finding.rule == "stale-selection"
    assert spec.load(folder, accept_stale=True).servers.keys() == {"db"}
    write(folder, b=SELECTED % digest_of(folder))
    estate = spec.load(folder)
    assert estate.applications["shop"].servers == ("db", "web-01", "web-02")
    web = estate.servers["web-02"]
    assert (web.source.name, web.locator, web.quiesce) == ("exports", {"path": "x.raw"}, "none")
    assert (web.image.platform, web.tags) == ("linux", {"tier": "web"})
    assert str(estate.position("servers", "web-02")) == "specs/b.yaml:1:83"


@pytest.mark.parametrize(
    ("old", "new", "is_stale"),
    [
        ('"web-*"', '"web-0*"', True),
        ("stage", "stages", True),
        ("source: exports", "source: other", True),
        ('"*-99"', '"*-98"', True),
        ("tier: web", "tier: front", False),
    ],
)
def test_a_selection_that_changed_is_not_what_was_reviewed(tmp_path: Path, old: str, new: str, is_stale: bool) -> None:
    folder = write(tmp_path / "specs", a=SOURCES + SELECTION)
    write(folder, a=SOURCES + SELECTION.replace(old, new), b=SELECTED % digest_of(folder))
    assert [each.rule for each in spec.check(folder)[1]] == (["stale-selection"] if is_stale else [])


def test_how_a_selection_matches(tmp_path: Path) -> None:
    (selection,), own, _ = spec.selections(write(tmp_path / "specs", a=SOURCES + SELECTION))
    assert own.keys() == {"db"}
    tags = {"tags": {"stage": "prod"}}
    assert selection.matches("web-01", tags)
    assert selection.matches("web-[1]", tags)
    for name, facts in (("WEB-01", tags), ("web-99", tags), ("db", tags), ("web-01", {}), ("web-01", {"tags": {}})):
        assert not selection.matches(name, facts)
    assert not selection.matches("web-01", {"tags": {"stage": "dev"}})


def estate_of(count: int) -> bytes:
    lines = ["sources: {exports: {type: images, path: exports}}", "launchConfigs: {small: {instanceType: t3.small}}"]
    lines += ["serverTemplates: {linux: {image: {platform: linux}, tags: {a: b}}}"]
    lines += ["defaults: {servers: {source: exports, extends: linux}}", "servers:"]
    lines += [f"  s{number}: {{locator: {{name: s{number}}}, launchConfig: small}}" for number in range(count)]
    lines += ["applications:"]
    for number in range(0, count, 10):
        servers = ", ".join(f"s{each}" for each in range(number, number + 10))
        lines.append(f"  a{number}: {{phase: test, groups: {{web: {{servers: [{servers}]}}}}}}")
    return "\n".join(lines).encode()


def test_the_time_grows_with_the_number_of_servers_and_no_faster(tmp_path: Path) -> None:
    """Against reading the same YAML without any check, so that a slow machine changes nothing."""
    ratios = []
    for count in (200, 2000):
        folder = tmp_path / str(count) / "specs"
        folder.mkdir(parents=True)
        (folder / "a.yaml").write_bytes(estate_of(count))
        parsing, checking = [], []
        for _ in range(3):
            began = time.process_time()
            _yaml.parse(estate_of(count), "a.yaml")
            parsing.append(time.process_time() - began)
            began = time.process_time()
            assert len(spec.load(folder).servers) == count
            checking.append(time.process_time() - began)
        ratios.append(min(checking) / min(parsing))
    assert ratios[1] < 3 * ratios[0], ratios
