"""docs/plan.md: its policies are policies, and what it lists is what there is."""

from __future__ import annotations

import re
from pathlib import Path

import yaml

from rehost.plan import Known, read_policies
from rehost.plan._policies import _KEYS
from tests.plan.conftest import SPEC, Steps, planned

PAGE = Path(__file__).resolve().parents[2] / "docs" / "plan.md"


def _example() -> str:
    found = re.search("```yaml\n(policies:.*?)```", PAGE.read_text(), re.DOTALL)
    assert found
    return found[1]


def test_the_example_judges(tmp_path: Path, known: Known) -> None:
    (tmp_path / "policies").mkdir()
    (tmp_path / "policies" / "example.yaml").write_text(_example())
    policies = read_policies(tmp_path / "policies")
    assert len(policies) == len(yaml.safe_load(_example())["policies"])
    cutover = SPEC.replace("phase: replicate", "phase: cutover\n    force: nobody has time")
    steps = Steps().phase("shop", ["db-01", "web-01"], "replicate", "cutover", power={"db-01": "keep"})
    plan = planned(tmp_path, steps, known, cutover, policies=policies)
    found = {each.policy.name: [one.of for one in each.violations] for each in plan.verdicts}
    assert found == {
        "no-friday-cutover": ["application shop"],
        "encrypted-images": ["server web-01", "server wiki-01"],
        "tested-before-cutover": ["application shop"],
        "nothing-lost": [""],
        "budget": [],
        "fresh-enough": [],
    }
    assert not any("cannot be evaluated" in one.message for each in plan.verdicts for one in each.violations)
    plan = planned(tmp_path, Steps(), known, SPEC.replace("encrypt: true", "encrypt: false"), policies=policies)
    assert {each.policy.name for each in plan.verdicts if each.violations} == {"encrypted-images"}


def test_every_key_of_a_policy_and_of_the_document_is_on_the_page(tmp_path: Path, known: Known) -> None:
    text = PAGE.read_text()
    for key in _KEYS:
        assert f"| `{key}` |" in text
    for key in planned(tmp_path, Steps(), known).as_dict():
        if key not in ("version", "made_at", "other_resources"):
            assert f"`{key}`" in text, key
