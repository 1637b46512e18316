"""What happens to servers and applications, what cannot be undone, and what does not go together."""

from __future__ import annotations

from pathlib import Path

import pytest

from rehost.plan import Known, Plan
from tests.plan.conftest import SPEC, Steps, job, planned

CUTOVER = SPEC.replace("phase: replicate", "phase: cutover")
SHOP = ["db-01", "web-01"]


def _lines(plan: Plan) -> dict[str, tuple[str, ...]]:
    return {name: each.lines for name, each in plan.views.servers.items() if each.lines}


def _risks(plan: Plan) -> list[tuple[str, str]]:
    return [(each.weight, each.id) for each in plan.risks]


def test_each_server_says_what_happens_to_it(tmp_path: Path, known: Known) -> None:
    steps = Steps().job("create", "wiki-01").job("update", "db-01", tags={"a": "b"}).instance("create", "db-01")
    steps.instance("update", "web-01", instanceType="m5.large")
    plan = planned(tmp_path, steps, known)
    assert _lines(plan) == {
        "db-01": ("replication changes", "an instance starts"),
        "web-01": ("the instance is stopped, changed, and started again",),
        "wiki-01": ("replication starts",),
    }
    assert {name: each.what for name, each in plan.views.servers.items()} == {
        "db-01": "starts",
        "web-01": "changes",
        "wiki-01": "starts",
    }


def test_a_server_that_changes_its_place_is_one_that_is_replaced(tmp_path: Path, known: Known) -> None:
    steps = Steps().job("delete", "web-01")
    steps.add("create", "ReplicationJob", "web-01", after={**job("web-01"), "fullCopy": "yes, the first one"})
    steps.steps[-1]["urn"] = (
        "urn:pulumi:prod::rehost::rehost:index:Estate$pulumi-python:dynamic/rehost:ReplicationJob::web-01"
    )
    plan = planned(tmp_path, steps, known)
    assert plan.views.servers["web-01"].what == "replaced"
    assert ("removed", "replication-replaced") in _risks(plan)


@pytest.mark.parametrize(
    ("text", "steps", "expected"),
    [
        (CUTOVER, Steps().phase("shop", SHOP, "test", "cutover", power={"db-01": "off", "web-01": "off"}).instance("replace", "db-01"), []),
        (CUTOVER, Steps().phase("shop", SHOP, "test", "cutover", power={"web-01": "keep"}), [("lost", "sources-run-on")]),
        (CUTOVER, Steps().instance("replace", "db-01", userData="x"), [("lost", "instance-replaced")]),
        (SPEC.replace("phase: replicate", "phase: test"), Steps().instance("replace", "db-01"), [("removed", "instance-replaced")]),
        (SPEC.replace("phase: replicate", "phase: complete"), Steps().phase("shop", SHOP, "cutover", "complete"), [("final", "complete")]),
        (SPEC, Steps().phase("shop", SHOP, "cutover", "replicate", power={"db-01": "off"}).instance("delete", "db-01"), [("lost", "goes-back")]),
        (SPEC, Steps().phase("shop", SHOP, "test", "replicate").instance("delete", "db-01"), [("removed", "instance-terminated")]),
        (SPEC, Steps().phase("shop", SHOP, "replicate", "replicate"), []),
    ],
    ids=["a cutover can be reverted", "left running", "serving", "test", "complete", "back", "back from test", "nothing"],
)  # fmt: skip
def test_what_cannot_be_undone(
    tmp_path: Path, known: Known, text: str, steps: Steps, expected: list[tuple[str, str]]
) -> None:
    assert _risks(planned(tmp_path, steps, known, text)) == expected


def test_all_that_goes_is_said_first(tmp_path: Path, known: Known) -> None:
    steps = Steps()
    for server in SHOP:
        steps.job("delete", server).instance("delete", server)
    steps.phase("shop", SHOP, "cutover", None)
    text = "sources: {dc1: {type: images, path: ../exports}}\n"
    plan = planned(tmp_path, steps, known, text)
    assert _risks(plan) == [("lost", "application-goes"), ("final", "everything-goes"), ("removed", "images-go")]
    assert plan.views.applications[0].name == "shop"


def test_an_outage_has_its_window_its_days_and_its_estimate(tmp_path: Path, known: Known) -> None:
    told = "the outage is estimated to be 12 min: the longest last run took 10 min"
    steps = Steps().phase("shop", SHOP, "test", "cutover", [told])
    outage = planned(tmp_path, steps, known, CUTOVER).outages[0]
    assert (outage.application, outage.wave, outage.owner) == ("shop", "wave-1", "J. Doe")
    assert outage.days == ["friday", "saturday"], "in the time zone in which the window is declared"
    assert outage.told.startswith("12 min")
    assert outage.seconds is None, "no launch of it was measured"


def test_instances_that_serve_and_are_restarted_are_an_outage(tmp_path: Path, known: Known) -> None:
    def outages(steps: Steps, text: str) -> list[tuple[str, bool]]:
        return [(each.application, each.opens is None) for each in planned(tmp_path, steps, known, text).outages]

    larger = Steps().instance("update", "db-01", instanceType="m5.large")
    assert outages(larger, CUTOVER) == [("shop", True)], "no window holds for it"
    assert outages(larger, SPEC.replace("phase: replicate", "phase: test")) == []
    assert outages(Steps().instance("update", "db-01", tags={"a": "b"}), CUTOVER) == []
    assert outages(Steps().instance("replace", "db-01"), CUTOVER) == [("shop", True)]


def test_a_preview_of_another_spec_is_noticed(tmp_path: Path, known: Known) -> None:
    def notes(steps: Steps, text: str = SPEC) -> str:
        return " ".join(planned(tmp_path, steps, known, text).notes)

    assert "of another spec" in notes(Steps().job("create", "app-99"))
    assert "differ in db-01" in notes(Steps().job("delete", "db-01"))
    assert "differ in shop" in notes(Steps().phase("shop", SHOP, "replicate", "test"))
    assert notes(Steps().job("create", "db-01").phase("shop", SHOP, None, "replicate")) == ""
    assert notes(Steps()) == "", "what stays has no step"


def test_concerns_are_taken_from_what_the_preview_said(tmp_path: Path, known: Known) -> None:
    steps = Steps().job("create", "db-01").job("create", "wiki-01")
    steps.says("shop: db-01: the key is disabled; enable it [kms-key]").says(
        "shop: db-01: the key is disabled; enable it [kms-key]"
    )
    steps.says("wiki-01: static-address: it has a static address; set DHCP").says("nothing of importance")
    steps.says(
        "error: pulumi-python:dynamic/rehost:Preflight resource 'shop': property application value {shop} has a problem: application shop: no role [role-missing]\n",
        "error",
    )
    plan = planned(tmp_path, steps, known)
    assert [(each.severity, each.application, each.id, each.message) for each in plan.concerns] == [
        ("warning", "shop", "kms-key", "db-01: the key is disabled; enable it"),
        ("warning", "wiki", "static-address", "wiki-01: it has a static address; set DHCP"),
        ("error", "shop", "role-missing", "no role"),
    ]
    assert plan.has_failed
