"""The gate of an application lets as many of a wave in as the wave says, and in its order; on a real control plane."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from providers._provider import ProviderError
from providers.phase import _enter
from rehost.control import ControlPlane, Phase
from rehost.preflight import standing_of

ONE: dict[str, Any] = {"name": "one", "applications": ["shop", "blog"], "concurrency": 1}
TWO: dict[str, Any] = {"name": "two", "applications": ["wiki"], "after": ["one"]}


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Any]:
    control = ControlPlane.open(f"sqlite:///{tmp_path}/control.db")
    yield SimpleNamespace(control=control)
    control.close()


def enter(here: Any, application: str, phase: str, *waves: dict[str, Any]) -> None:
    _enter(
        here,
        {
            "stack": "dev", "application": application, "phase": phase, "servers": [f"{application}-01"],
            "force": "a test", "waves": list(waves),
        },
    )  # fmt: skip


def reached(here: Any, application: str) -> None:
    here.control.applications.reached("dev", application, Phase.CUTOVER, images={})


def test_one_after_the_other(here: Any) -> None:
    for application in ("shop", "blog", "wiki"):
        enter(here, application, "replicate", TWO if application == "wiki" else ONE)
    with pytest.raises(ProviderError, match=r"shop, blog are not cut over.*nothing of wiki was changed"):
        enter(here, "wiki", "cutover", TWO, ONE)
    enter(here, "shop", "cutover", ONE)
    enter(here, "shop", "cutover", ONE)  # what was killed goes on
    with pytest.raises(ProviderError, match=r"shop of wave one is being cut over.*concurrency is 1"):
        enter(here, "blog", "cutover", ONE)
    assert here.control.applications.get("dev", "blog").phase is Phase.REPLICATE
    reached(here, "shop")
    enter(here, "blog", "cutover", ONE)
    reached(here, "blog")
    enter(here, "wiki", "cutover", TWO, ONE)


def test_what_failed_holds_no_place_and_what_went_back_is_not_cut_over(here: Any) -> None:
    for application in ("shop", "blog"):
        enter(here, application, "replicate", ONE)
    enter(here, "shop", "cutover", ONE)
    assert standing_of(here.control.applications.get("dev", "shop")).under_way
    here.control.applications.failed("dev", "shop", "its last run failed")
    assert not standing_of(here.control.applications.get("dev", "shop")).under_way
    enter(here, "blog", "cutover", ONE)
    reached(here, "blog")
    assert standing_of(here.control.applications.get("dev", "blog")).is_cut_over
    enter(here, "blog", "replicate", ONE)
    assert not standing_of(here.control.applications.get("dev", "blog")).is_cut_over
