"""A spec from a program, without YAML: the same checks, the same model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from rehost import spec

DATA: dict[str, Any] = {
    "sources": {"exports": {"type": "images", "path": "exports"}},
    "launchConfigs": {
        "small": {"instanceType": "t3.small", "tags": {"stack": "${stack}"}, "userData": {"file": "a.sh"}}
    },
    "defaults": {"servers": {"source": "exports", "launchConfig": "small"}},
    "servers": {f"web-{number:02}": {"locator": {"name": f"web-{number:02}"}} for number in range(1, 4)},
    "applications": {"shop": {"groups": {"web": {"servers": ["web-01", "web-02", "web-03"]}}}},
}


def test_data_is_the_same_as_files(tmp_path: Path) -> None:
    (tmp_path / "a.sh").write_text("#!/bin/sh\n")
    estate = spec.of(DATA, root=tmp_path, variables=spec.Variables("dev"))
    assert estate.servers["web-02"].source.config["path"] == "exports"
    config = estate.launch_configs["small"]
    assert (config.user_data, config.tags) == ("#!/bin/sh\n", {"stack": "dev"})
    assert estate.applications["shop"].servers == ("web-01", "web-02", "web-03")


def test_what_is_wrong_is_said(tmp_path: Path) -> None:
    wrong = {
        **DATA,
        "schedules": {"s": {"runOnce": True, "keepImages": "three"}},
        "waves": {"w": {"applications": ["shpo"]}},
    }
    with pytest.raises(spec.SpecErrors) as caught:
        spec.of(wrong, root=tmp_path, variables=spec.Variables("dev"))
    assert [str(each) for each in caught.value.findings if each.rule != "unreadable"] == [
        "program:1:1: schedules.s.keepImages must be a whole number, not 'three' (for example 5)",
        "program:1:1: shpo is not in applications (did you mean shop?)",
    ]


@pytest.mark.parametrize("value", [{1, 2}, object(), float("nan"), Path("x"), b"x"])
def test_what_no_file_could_hold_is_an_error(tmp_path: Path, value: object) -> None:
    with pytest.raises(spec.SpecErrors):
        spec.of({"servers": {"a": {"source": value, "locator": {"name": "a"}}}}, root=tmp_path)


def test_the_digest_is_of_what_a_spec_means(tmp_path: Path) -> None:
    (tmp_path / "a.sh").write_text("#!/bin/sh\n")
    dev = spec.of(DATA, root=tmp_path, variables=spec.Variables("dev"))
    turned = dict(reversed(DATA.items()))
    assert spec.digest(spec.of(turned, root=tmp_path, variables=spec.Variables("dev"))) == spec.digest(dev)
    prod = spec.of(DATA, root=tmp_path, variables=spec.Variables("prod"))
    (tmp_path / "a.sh").write_text("#!/bin/sh\n# another\n")
    script = spec.of(DATA, root=tmp_path, variables=spec.Variables("dev"))
    assert len({spec.digest(each) for each in (dev, prod, script)}) == 3
    for other in (prod, script):
        before, now = spec.digests(dev), spec.digests(other)
        assert {key for key in before if before[key] != now[key]} == {("launchConfigs", "small")}


def test_the_model_by_hand_has_the_defaults_of_a_spec(tmp_path: Path) -> None:
    source = spec.SourceSpec("exports", {"type": "images", "path": "exports"})
    by_hand = spec.Estate(
        sources={"exports": source},
        servers={"a": spec.Server("a", source, {"name": "a"})},
        applications={"shop": spec.Application("shop", "replicate", (spec.Group("web", ("a",)),))},
    )
    read = spec.of(
        {
            "sources": {"exports": {"type": "images", "path": "exports"}},
            "servers": {"a": {"source": "exports", "locator": {"name": "a"}}},
            "applications": {"shop": {"groups": {"web": {"servers": ["a"]}}}},
        },
        root=tmp_path,
    )
    assert spec.digest(by_hand) == spec.digest(read)
