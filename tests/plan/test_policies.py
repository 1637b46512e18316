"""Policies: what they see, how they refuse, and what is wrong with them."""

from __future__ import annotations

from pathlib import Path

import pytest

from rehost.plan import Known, Plan, PolicyWrong, policy_files, read_policies
from tests.plan.conftest import SPEC, Steps, planned

CUTOVER = SPEC.replace("phase: replicate", "phase: cutover")
SHOP = ["db-01", "web-01"]
RULES = """\
policies:
  no-friday-cutover:
    description: Nothing is cut over on a Friday
    each: application
    when: application.enters == "cutover"
    require: has(application.window) && !("friday" in application.window.days)
  encrypted:
    description: Every image is encrypted
    each: server
    require: server.spec.image.encrypt
    message: set `image.encrypt`
    severity: warn
  cheap:
    description: A change costs at most 100 USD a month more
    require: plan.cost.monthly_difference <= 100.0
  often:
    description: Every server has a run a day
    each: server
    require: duration(server.schedule.every) <= duration("24h")
"""


def _rules(folder: Path, text: str, name: str = "rules.yaml") -> Path:
    place = folder / "policies"
    place.mkdir(exist_ok=True)
    (place / name).write_text(text)
    return place


def _judged(folder: Path, steps: Steps, known: Known, text: str, rules: str) -> Plan:
    return planned(folder, steps, known, text, policies=read_policies(_rules(folder, rules)))


def test_a_policy_refuses_or_warns_by_what_the_plan_says(tmp_path: Path, known: Known) -> None:
    steps = Steps().phase("shop", SHOP, "test", "cutover")
    plan = _judged(tmp_path, steps, known, CUTOVER, RULES)
    told = {
        each.policy.name: (each.checked, each.refuses, [one.of for one in each.violations]) for each in plan.verdicts
    }
    assert told == {
        "no-friday-cutover": (1, True, ["application shop"]),
        "encrypted": (3, False, ["server web-01", "server wiki-01"]),
        "cheap": (1, False, []),
        "often": (3, False, []),
    }
    assert plan.is_refused
    assert plan.as_dict()["refused"] is True
    assert plan.as_dict()["policies"][0]["violations"] == [
        {"of": "application shop", "message": "Nothing is cut over on a Friday"}
    ]


def test_another_day_passes(tmp_path: Path, known: Known) -> None:
    steps = Steps().phase("shop", SHOP, "test", "cutover")
    later = CUTOVER.replace("2026-12-04T22", "2026-12-06T22").replace("2026-12-05T06", "2026-12-07T06")
    assert not _judged(tmp_path, steps, known, later, RULES).is_refused
    no_window = CUTOVER.replace(", window: {opens: 2026-12-04T22:00:00+01:00, closes: 2026-12-05T06:00:00+01:00}", "")
    assert _judged(tmp_path, steps, known, no_window, RULES).is_refused, "without a window it could be any day"


def test_the_time_zone_of_a_day_can_be_chosen(tmp_path: Path, known: Known) -> None:
    rule = "policies: {one: {description: d, each: application, when: has(application.window), require: 'timestamp(application.window.opens).getDayOfWeek(\"Pacific/Auckland\") == 6'}}"
    assert not _judged(tmp_path, Steps(), known, SPEC, rule).is_refused, "22:00 in Berlin is Saturday in Auckland"


@pytest.mark.parametrize(
    ("require", "reason"),
    [
        ("plan.nothing == 1", "no such member"),
        ("plan.stack", "not true or false"),
        ("unknown > 1", "unknown"),
        ("plan.stack > 3", "no such overload"),
    ],
)
def test_what_cannot_be_evaluated_refuses(tmp_path: Path, known: Known, require: str, reason: str) -> None:
    plan = _judged(tmp_path, Steps(), known, SPEC, f"policies: {{one: {{description: d, require: {require}}}}}")
    assert plan.is_refused
    message = plan.verdicts[0].violations[0].message
    assert message.startswith("it cannot be evaluated, so it refuses")
    assert reason in message or "found no matching overload" in message


def test_no_policy_sees_user_data(tmp_path: Path, known: Known) -> None:
    document = str(planned(tmp_path, Steps().instance("create", "db-01", userData="a-secret-word"), known).as_dict())
    assert "web.sh" in document
    assert "a-secret-word" not in document


@pytest.mark.parametrize(
    ("text", "where", "reason"),
    [
        ("", "the file", "one key, `policies`"),
        ("policies: [a]", "the file", "one key, `policies`"),
        ("policies: {a: {description: d, require: 'x =='}}", "a.require", "it is not CEL"),
        ("policies: {a: {description: d, require: 'true', when: '('}}", "a.when", "it is not CEL"),
        ("policies: {a: {description: d}}", "a", "require is missing"),
        ("policies: {a: {require: 'true'}}", "a", "description is missing"),
        ("policies: {a: {description: d, require: true}}", "a.require", "it must be text"),
        ("policies: {a: {description: d, require: 'true', each: disk}}", "a.each", "'disk' is none of plan, wave"),
        (
            "policies: {a: {description: d, require: 'true', severity: deny}}",
            "a.severity",
            "'deny' is none of refuse, warn",
        ),
        ("policies: {a: {description: d, require: 'true', requires: x}}", "a", "unknown key 'requires'"),
        ("policies: {'a b': {description: d, require: 'true'}}", "a b", "a name has letters"),
        ("policies: &x {a: *x}", "the file", "aliases are not taken"),
        ("policies: {a: {description: d, require: '" + "(" * 3000 + "'}}", "a.require", ""),
        ("policies: {a: {description: d, require: '" + "x" * 5000 + "'}}", "a.require", "longer than 4096"),
        ("policies: \x00", "the file", "it is not YAML"),
        ("p: " + "{a: " * 3000, "the file", "it is not YAML"),
    ],
)
def test_a_wrong_policy_is_an_error_with_its_place(tmp_path: Path, text: str, where: str, reason: str) -> None:
    with pytest.raises(PolicyWrong) as error:
        read_policies(_rules(tmp_path, text))
    assert str(error.value).startswith(f"policies/rules.yaml: {where}: ")
    assert reason in str(error.value)


def test_names_are_unique_in_the_folder_and_hidden_files_are_passed_over(tmp_path: Path) -> None:
    one = "policies: {a: {description: d, require: 'true'}}"
    folder = _rules(tmp_path, one)
    _rules(tmp_path, "nonsense", ".hidden.yaml")
    assert [each.name for each in policy_files(folder)] == ["rules.yaml"]
    _rules(tmp_path, one, "same.yml")
    with pytest.raises(PolicyWrong, match="has a policy of that name already"):
        read_policies(folder)
