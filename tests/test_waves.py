"""Whether an application may be cut over now: every rule by itself, and what holds for any wave at any time."""

from __future__ import annotations

import itertools
import random
from datetime import UTC, datetime, timedelta, timezone

import pytest

from rehost.concerns import KINDS
from rehost.text import named
from rehost.waves import Standing, WavePlan, may_cut_over, moment, refusals, unfinished, wave_of, wave_order

OPENS = datetime(2026, 12, 5, 22, tzinfo=UTC)
CLOSES = datetime(2026, 12, 6, 6, tzinfo=UTC)
WITHIN = OPENS + timedelta(hours=1)
STANDINGS = [
    Standing(reached, under_way)
    for reached, under_way in itertools.product((None, "replicate", "test", "cutover", "complete"), (False, True))
]


def ids(wave: WavePlan, standings: dict[str, Standing], now: datetime, *others: WavePlan) -> list[str]:
    waves = {each.name: each for each in (wave, *others)}
    return [each.id for each in refusals("shop", wave, waves, standings, now)]


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        (OPENS - timedelta(microseconds=1), ["window-not-open"]),
        (OPENS, []),
        (CLOSES - timedelta(microseconds=1), []),
        (CLOSES, ["window-closed"]),
        (CLOSES.astimezone(timezone(timedelta(hours=-9))), ["window-closed"]),
    ],
)
def test_a_window_holds_its_first_moment_and_not_its_last(now: datetime, expected: list[str]) -> None:
    assert ids(WavePlan("one", ("shop",), OPENS, CLOSES), {"shop": Standing("test")}, now) == expected


def test_an_application_in_no_wave_or_one_without_limits_may_at_any_time() -> None:
    assert refusals("shop", None, {}, {}, OPENS) == []
    assert ids(WavePlan("one", ("shop", "blog")), {"blog": Standing("test", True)}, OPENS) == []


def test_every_application_of_a_wave_before_must_be_cut_over() -> None:
    before, wave = WavePlan("one", ("wiki", "blog")), WavePlan("two", ("shop",), after=("one",))
    standings = {"wiki": Standing("cutover")}
    assert ids(wave, standings, OPENS, before) == ["wave-before"]
    assert "blog is not cut over" in refusals("shop", wave, {"one": before}, standings, OPENS)[0].message
    assert ids(wave, {**standings, "blog": Standing("complete")}, OPENS, before) == []
    # A cutover that has begun has not been reached, and one that was taken back is none.
    assert ids(wave, {**standings, "blog": Standing("test", True)}, OPENS, before) == ["wave-before"]


@pytest.mark.parametrize(("busy", "concurrency"), list(itertools.product(range(4), (None, 1, 2, 3))))
def test_concurrency_counts_the_other_cutovers_under_way(busy: int, concurrency: int | None) -> None:
    wave = WavePlan("one", ("shop", *(f"app-{number}" for number in range(6))), concurrency=concurrency)
    standings = {f"app-{number}": Standing("test", number < busy) for number in range(6)}
    assert ids(wave, standings, OPENS) == (["wave-busy"] if concurrency is not None and busy >= concurrency else [])


def test_all_reasons_are_given_at_once_each_with_what_to_do() -> None:
    before, wave = WavePlan("one", ("wiki",)), WavePlan("two", ("shop", "blog"), OPENS, CLOSES, 1, ("one",))
    found = refusals("shop", wave, {"one": before}, {"blog": Standing("test", True)}, CLOSES)
    assert [each.id for each in found] == ["window-closed", "wave-before", "wave-busy"]
    assert all(each.id in KINDS and not KINDS[each.id].ignorable and each.remedy for each in found)
    assert str(found[0]).startswith("the window of wave two closed 2026-12-06 06:00 UTC; agree on")


def arbitrary(seed: int) -> tuple[dict[str, WavePlan], dict[str, Standing], datetime]:
    """Up to four waves in an order without cycles, their applications wherever they may stand, and any hour of the night."""
    chance = random.Random(seed)
    waves: dict[str, WavePlan] = {}
    standings: dict[str, Standing] = {}
    for number in range(chance.randint(1, 4)):
        applications = tuple(f"app-{number}-{place}" for place in range(chance.randint(1, 4)))
        opens = OPENS + timedelta(hours=chance.randint(-4, 4)) if chance.random() < 0.7 else None
        waves[f"wave-{number}"] = WavePlan(
            f"wave-{number}",
            applications,
            opens,
            opens + timedelta(hours=chance.randint(1, 6)) if opens else None,
            chance.choice([None, 1, 2]),
            tuple(each for each in waves if chance.random() < 0.4),
        )
        standings.update({each: chance.choice(STANDINGS) for each in applications if chance.random() < 0.9})
    return waves, standings, OPENS + timedelta(minutes=chance.randint(-300, 600))


@pytest.mark.parametrize("seed", range(200))
def test_what_holds_for_any_wave(seed: int) -> None:
    waves, standings, now = arbitrary(seed)
    for wave in waves.values():
        for application in wave.applications:
            standing = standings.get(application, Standing())
            allowed = may_cut_over(application, wave, waves, standings, now)
            if standing.under_way or standing.is_cut_over:
                assert allowed, "what has begun is never stopped half way"
                continue
            in_window = (wave.opens is None or wave.opens <= now) and (wave.closes is None or now < wave.closes)
            before_done = all(not unfinished(waves[other], standings) for other in wave.after)
            busy = sum(standings.get(each, Standing()).under_way for each in wave.applications)
            free = wave.concurrency is None or busy < wave.concurrency
            assert allowed == (in_window and before_done and free)
            if allowed:
                # Whoever begins takes a place: with every place taken nobody else may, and what has begun may go on.
                begun = {**standings, application: Standing(standing.reached, True)}
                assert may_cut_over(application, wave, waves, begun, now)
                # To declare fewer limits never bars what was allowed.
                for looser in (
                    WavePlan(wave.name, wave.applications, concurrency=wave.concurrency, after=wave.after),
                    WavePlan(wave.name, wave.applications, wave.opens, wave.closes, after=wave.after),
                    WavePlan(wave.name, wave.applications, wave.opens, wave.closes, wave.concurrency),
                ):
                    assert may_cut_over(application, looser, waves, standings, now)


@pytest.mark.parametrize("seed", range(50))
def test_a_night_in_which_everybody_begins_as_soon_as_allowed_ends_and_never_exceeds_the_concurrency(seed: int) -> None:
    chance = random.Random(seed)
    waves, _standings, _now = arbitrary(seed)
    waves = {  # without windows, so that nothing but order and concurrency holds them
        name: WavePlan(name, wave.applications, concurrency=wave.concurrency, after=wave.after)
        for name, wave in waves.items()
    }
    standings = {each: Standing("test") for wave in waves.values() for each in wave.applications}
    for _step in range(100):
        waiting = [each for each, standing in standings.items() if not standing.is_cut_over]
        if not waiting:
            return
        for application in chance.sample(waiting, len(waiting)):
            wave = wave_of(application, waves)
            assert wave is not None
            if may_cut_over(application, wave, waves, standings, OPENS):
                standings[application] = Standing("test", True)
            busy = sum(standings[each].under_way for each in wave.applications)
            assert wave.concurrency is None or busy <= wave.concurrency
        under_way = [each for each, standing in standings.items() if standing.under_way]
        assert under_way, "somebody may always begin"
        done = chance.choice(under_way)
        standings[done] = Standing("cutover")
    raise AssertionError(f"never done: {standings}")


def test_waves_are_ordered_by_what_they_come_after() -> None:
    waves = {
        each.name: each
        for each in (WavePlan("c", ("x",), after=("b",)), WavePlan("a", ("y",)), WavePlan("b", ("z",), after=("a",)))
    }
    assert [each.name for each in wave_order(waves)] == ["a", "b", "c"]


def test_moments_and_names_are_short() -> None:
    assert moment(OPENS.astimezone(timezone(timedelta(hours=1)))) == "2026-12-05 23:00 +01:00"
    assert named("abcdefg") == "a, b, c, d, e and 2 more"
