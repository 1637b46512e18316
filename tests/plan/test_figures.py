"""Bytes, time, retention and cost: each figure by hand, and what is not known said."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from rehost.plan import Known, Plan, PricesWrong, nothing_known, read_prices
from tests.plan.conftest import GIB, NOW, SPEC, Steps, planned, without


def test_a_full_copy_moves_what_is_allocated_at_the_measured_rate(tmp_path: Path, known: Known) -> None:
    steps = Steps().job("create", "db-01").job("create", "web-01")
    moves = planned(tmp_path, steps, known).movement
    assert moves.known_bytes == 80 * GIB
    assert moves.seconds == (640.0, 1280.0), "40 GiB at 64 MiB/s: side by side, and one after another"
    assert [each.why for each in moves.moves] == ["full copy: the first one"] * 2


def test_what_starts_a_copy_anew_counts_and_what_does_not_does_not(tmp_path: Path, known: Known) -> None:
    because = "yes, because image.encrypt is turned on"
    steps = Steps().job("update", "db-01", fullCopy=because).job("update", "web-01", tags={"a": "b"})
    moves = planned(tmp_path, steps, known).movement
    assert [(each.server, each.is_full, each.why) for each in moves.moves] == [
        ("db-01", True, "full copy: because image.encrypt is turned on")
    ]


def test_a_cutover_takes_a_last_run_of_what_the_newest_sent(tmp_path: Path, known: Known) -> None:
    text = SPEC.replace("phase: replicate", "phase: cutover")
    steps = Steps().job("update", "db-01").job("update", "web-01").phase("shop", ["db-01", "web-01"], "test", "cutover")
    moves = planned(tmp_path, steps, known, text).movement
    assert moves.known_bytes == 2 * GIB
    assert not any(each.is_full for each in moves.moves)


def test_a_last_run_is_foreseen_though_the_job_itself_does_not_change(tmp_path: Path, known: Known) -> None:
    text = SPEC.replace("phase: replicate", "phase: cutover")
    steps = Steps().phase("shop", ["db-01", "web-01"], "test", "cutover")
    assert planned(tmp_path, steps, known, text).movement.known_bytes == 2 * GIB


def test_what_nobody_measured_is_said_and_never_zero(tmp_path: Path, known: Known) -> None:
    steps = Steps().job("create", "db-01").job("create", "web-01")
    plan = planned(tmp_path, steps, without(known, "web-01"))
    assert plan.movement.unknown == ["web-01"]
    assert plan.movement.seconds is None
    assert any("the size of web-01" in each for each in plan.missing)
    assert any(each == "blocks of the next run, of unknown size (web-01)" for each in plan.cost.lacks)
    plan = planned(tmp_path, steps, replace(known, rates={}))
    assert any("a measured rate of dc1" in each for each in plan.missing)
    plan = planned(tmp_path, steps, nothing_known("the control plane is away", NOW))
    assert any("the control plane is away" in each for each in plan.missing)


def _going(plan: Plan) -> list[tuple[str, tuple[str, ...], tuple[str, ...]]]:
    return [(each.server, each.images, each.in_use) for each in plan.going]


def test_fewer_images_to_keep_lets_the_oldest_go_but_what_is_pinned_or_in_use(tmp_path: Path, known: Known) -> None:
    steps = Steps().job("update", "db-01", schedule={"every_seconds": 86400, "keep_images": 1})
    # Of 3, 2 and 1 the next run takes 1 with keepImages 3 as well: that is no matter of this change.
    assert _going(planned(tmp_path, steps, known)) == [("db-01", ("ami-db-01-2", "ami-db-01-3"), ())]
    assert _going(planned(tmp_path, steps, known, used=["ami-db-01-3"])) == [
        ("db-01", ("ami-db-01-2",), ("ami-db-01-3",))
    ]
    pinned = replace(known.servers["db-01"], pinned=frozenset({"ami-db-01-2"}))
    known = replace(known, servers={**known.servers, "db-01": pinned})
    assert _going(planned(tmp_path, steps, known)) == [("db-01", ("ami-db-01-3",), ())]
    more = Steps().job("update", "db-01", schedule={"every_seconds": 86400, "keep_images": 9})
    assert _going(planned(tmp_path, more, known)) == []


def test_a_job_that_goes_takes_its_images_and_those_of_instances_that_go_with_it(tmp_path: Path, known: Known) -> None:
    steps = Steps().job("delete", "db-01").instance("delete", "db-01", imageId="ami-db-01-3")
    steps.steps[-1]["oldState"]["inputs"]["imageId"] = "ami-db-01-3"
    plan = planned(tmp_path, steps, known, used=["ami-db-01-3", "ami-db-01-2"])
    assert _going(plan) == [("db-01", ("ami-db-01-3", "ami-db-01-1"), ("ami-db-01-2",))]
    assert plan.going[0].snapshots == ("snap-db-01-3", "snap-db-01-1")


def test_a_completed_application_keeps_what_is_pinned(tmp_path: Path, known: Known) -> None:
    held = replace(known.servers["db-01"], pinned=frozenset({"ami-db-01-3"}))
    known = replace(known, servers={**known.servers, "db-01": held})
    plan = planned(tmp_path, Steps().job("update", "db-01", ended=True), known)
    assert _going(plan) == [("db-01", ("ami-db-01-2", "ami-db-01-1"), ())]
    assert plan.going[0].why == "its replication ends"


def test_cost_is_the_tables_figures_times_what_is_known(tmp_path: Path, known: Known) -> None:
    steps = Steps().job("create", "db-01").instance("create", "db-01")
    cost = planned(tmp_path, steps, known).cost
    once, before, after = cost.of(cost.servers)
    assert once == pytest.approx(40 * 2048 / 1000 * 0.006)
    assert before.total == 0
    assert after.parts["instances"] == pytest.approx(730 * 0.0104)
    assert after.parts["volumes"] == pytest.approx(100 * 0.10), "VM import makes gp2"
    assert after.parts["snapshots"] == pytest.approx((40 + 2 * 1) * 0.05)
    assert after.parts["blocks"] == pytest.approx(730 / 24 * 2048 / 1000 * 0.006)
    assert cost.lacks == ()


def test_volumes_are_what_the_conversion_makes_them(tmp_path: Path, known: Known) -> None:
    registered = Steps().job("create", "db-01", image={"conversion": "register"}).instance("create", "db-01")
    cost = planned(tmp_path, registered, known).cost
    assert cost.servers["db-01"].after.parts["volumes"] == pytest.approx(100 * 0.08)
    before = replace(known.servers["db-01"], conversion="register")
    known = replace(known, servers={**known.servers, "db-01": before})
    alone = planned(tmp_path, Steps().instance("create", "db-01"), known).cost
    assert alone.servers["db-01"].after.parts["volumes"] == pytest.approx(100 * 0.08)


def test_what_has_no_price_is_said(tmp_path: Path, known: Known) -> None:
    steps = (
        Steps()
        .instance("create", "db-01", instanceType="x9.huge", volumeType="io9")
        .job("create", "db-01", schedule={"cron": "0 3 * * *"})
    )
    cost = planned(tmp_path, steps, known).cost
    assert "instances of type x9.huge (db-01)" in cost.lacks
    assert "volumes of type io9 (db-01)" in cost.lacks
    assert "blocks of later runs: the schedule has no fixed interval (db-01)" in cost.lacks


def test_a_stopped_instance_costs_its_volumes_alone(tmp_path: Path, known: Known) -> None:
    cost = planned(tmp_path, Steps().instance("create", "db-01", started=False), known).cost
    assert "instances" not in cost.servers["db-01"].after.parts
    assert cost.servers["db-01"].after.parts["volumes"] > 0


def test_another_region_is_priced_as_the_tables_own_and_that_is_said(tmp_path: Path, known: Known) -> None:
    steps = Steps().job("create", "db-01", region="eu-central-1")
    cost = planned(tmp_path, steps, known).cost
    assert (cost.region, cost.stands_for) == ("us-east-1", "eu-central-1")


def test_the_table_that_comes_with_rehost_says_its_date_and_is_whole() -> None:
    prices = read_prices()
    assert prices.date
    table = prices.regions["us-east-1"]
    assert table.put_per_thousand == 0.006, "12.6 USD for a full TiB"
    assert table.instance_hour["m5.2xlarge"] == pytest.approx(4 * table.instance_hour["m5.large"])


@pytest.mark.parametrize(
    ("text", "where", "reason"),
    [
        ("", "the file", "it is not a mapping"),
        ("a: [", "the file", "it is not YAML"),
        ("regions: &a {x: *a}", "the file", "aliases are not taken"),
        ("regions: {}", "regions", "it names no region"),
        ("regions: {eu: {}}\ndate: 2026-01-01\ncurrency: EUR", "date", "dates need quotes"),
        (
            "regions: {eu: {instancePerHour: {t3.micro: cheap}}}",
            "regions.eu.instancePerHour.t3.micro",
            "'cheap' is no price",
        ),
        ("regions: {eu: {instancePerHour: {t3.micro: -1}}}", "regions.eu.instancePerHour.t3.micro", "-1 is no price"),
        ("regions: {eu: {snapshotPerGbMonth: .nan}}", "regions.eu.snapshotPerGbMonth", "is no price"),
        ("regions: {eu: {snapshots: 1}}", "regions.eu", "unknown key 'snapshots'"),
        ("regions: {eu: {}}\notherRegions: us", "otherRegions", "there is no region 'us'"),
        ("x: " + "[" * 5000, "the file", "it is not YAML"),
    ],
)
def test_a_wrong_table_is_refused_with_its_place(text: str, where: str, reason: str) -> None:
    with pytest.raises(PricesWrong) as error:
        read_prices(text.encode(), "mine.yaml")
    assert str(error.value).startswith(f"mine.yaml: {where}: ")
    assert reason in str(error.value)
