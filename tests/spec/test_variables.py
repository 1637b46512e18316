"""Variables of the stack: what they stand for, where they may stand, and that no secret gets into a spec by them."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from rehost import spec
from rehost.spec import _stacks, _variables, _yaml

SPEC = """
sources: {exports: {type: images, path: "${config:folder}", maxConcurrentRuns: "${config:runs}"}}
schedules:
  often:
    every: ${config:every}
    keepImages: ${config:keep}
  always: {continuous: "${config:on}"}
launchConfigs:
  web:
    instanceType: "${config:family}.${config:size}"
    subnet: ${config:subnet}
    protect: ${config:on}
    keyName: "${config:number}"
    tags: {environment: "${stack}", region: "${config:aws:region}", price: "$${stack}", both: "$$${stack}${stack}"}
    userData: {text: "#!/bin/sh\\necho ${HOME} ${stack}\\n"}
servers:
  web-01: {source: exports, locator: {path: web-01.raw}, schedule: often, launchConfig: web}
applications:
  shop: {groups: {web: {servers: [web-01]}}}
"""
SETTINGS = """
config:
  estate:every: 12h
  estate:keep: "5"
  estate:on: true
  estate:number: 0777
  estate:size: large
  estate:subnet: subnet-01
  estate:runs: 3
  aws:region: eu-central-1
  estate:password: {secure: AAABAH7x}
  estate:shape: {a: 1}
encryptionsalt: v1:xyz
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "Pulumi.yaml").write_text(
        "name: estate\nruntime: python\nconfig:\n  folder: exports\n  family: {type: string, default: m7i}\n"
        "  size: {default: small}\n  hidden: {secret: true, default: hunter2}\n"
    )
    (tmp_path / "Pulumi.dev.yaml").write_text(SETTINGS)
    (tmp_path / "migration_specs").mkdir()
    (tmp_path / "migration_specs" / "a.yaml").write_text(SPEC)
    return tmp_path


def test_each_value_is_what_its_key_takes(project: Path) -> None:
    estate = spec.load(project / "migration_specs", stack="dev")
    assert estate.schedules["often"].every_seconds == 12 * 3600
    assert estate.schedules["often"].keep_images == 5
    assert estate.schedules["always"].continuous is True
    assert estate.sources["exports"].max_concurrent_runs == 3
    assert estate.sources["exports"].config["path"] == "migration_specs/exports"
    web = estate.launch_configs["web"]
    assert (web.instance_type, web.subnet, web.protect, web.key_name) == ("m7i.large", "subnet-01", True, "0777")
    assert web.tags == {"environment": "dev", "region": "eu-central-1", "price": "${stack}", "both": "$${stack}dev"}


def test_what_a_shell_reads_is_left_alone(project: Path) -> None:
    text = spec.load(project / "migration_specs").launch_configs["web"].user_data
    assert text == "#!/bin/sh\necho ${HOME} ${stack}\n"


def test_the_engine_and_the_files_say_the_same(project: Path) -> None:
    """`pulumi` hands settings over as text, each under its whole key."""
    from_files, found = _stacks.variables_of(project, "dev")
    assert found == []
    assert isinstance(from_files, spec.Variables)
    assert from_files.secrets == {"estate:password", "estate:hidden"}
    handed = spec.Variables("dev", "estate", from_files.values, from_files.secrets)
    by_engine = spec.load(project / "migration_specs", variables=handed)
    assert by_engine == spec.load(project / "migration_specs", stack="dev")


def test_the_only_stack_is_meant_or_that_of_the_environment(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    specs = project / "migration_specs"
    assert spec.load(specs).launch_configs["web"].tags["environment"] == "dev"
    (project / "Pulumi.prod.yaml").write_text(SETTINGS.replace("12h", "24h"))
    (finding,) = {each.hint for each in spec.check(specs)[1]}
    assert finding == "name it: --stack, or PULUMI_STACK (dev, prod)"
    monkeypatch.setenv("PULUMI_STACK", "organisation/estate/prod")
    assert spec.load(specs).schedules["often"].every_seconds == 24 * 3600


def test_each_stack_is_checked_and_named_where_it_alone_is_wrong(project: Path) -> None:
    (project / "Pulumi.prod.yaml").write_text(SETTINGS.replace('keep: "5"', "kept: 5").replace("12h", "often"))
    estate, found = spec.check_stacks(project / "migration_specs")
    assert estate is None
    assert [str(each) for each in found] == [
        "migration_specs/a.yaml:5:12: schedules.often.every cannot be 'often', on stack prod (for example 12h)",
        "migration_specs/a.yaml:6:17: stack prod has no setting keep, on stack prod (did you mean kept?)",
    ]
    assert spec.check_stacks(project / "migration_specs", stacks=["dev"])[1] == []


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("config:password", "the setting password is a secret, and a secret's value is no part of a spec"),
        ("config:hidden", "the setting hidden is a secret, and a secret's value is no part of a spec"),
        ("config:estate:password", "the setting estate:password is a secret"),
        ("config:shape", "stack dev has no setting shape"),
        ("config:nowhere", "stack dev has no setting nowhere"),
        ("stak", "there is no variable ${stak} (did you mean ${stack}?"),
        ("configs:every", "there is no variable ${configs:every} (did you mean ${config:KEY}?"),
        ("env:HOME", "there is no variable ${env:HOME} (there are ${stack} and ${config:KEY};"),
    ],
)
def test_what_has_no_value_is_said(project: Path, name: str, said: str) -> None:
    text = SPEC.replace("${config:subnet}", f'"${{{name}}}"')
    (project / "migration_specs" / "a.yaml").write_text(text)
    found = [str(each) for each in spec.check(project / "migration_specs")[1]]
    assert len(found) == 1
    assert said in found[0]
    assert "hunter2" not in found[0]
    assert "AAABAH7x" not in found[0]


def test_a_setting_that_is_long_or_has_lines_is_no_value(project: Path) -> None:
    for value in ('"a\\nb"', "x" * (_variables.LONGEST + 1)):
        (project / "Pulumi.dev.yaml").write_text(SETTINGS.replace("subnet-01", value))
        (finding,) = spec.check(project / "migration_specs")[1]
        assert finding.message == "the setting subnet cannot stand in a spec"


@pytest.mark.parametrize("content", [b"config: [", b"\xff\xfe", b"- a", b"config: {a: &a [*a]}", b"[" * 50_000])
def test_wrong_settings_files_are_findings_or_empty(project: Path, content: bytes) -> None:
    (project / "Pulumi.dev.yaml").write_bytes(content)
    estate, found = spec.check(project / "migration_specs")
    assert estate is None
    assert any("has no setting" in each.message or each.rule == "unreadable" for each in found)


def test_a_spec_without_variables_reads_no_settings(project: Path) -> None:
    (project / "migration_specs" / "a.yaml").write_text("sources: {exports: {type: images, path: exports}}")
    (project / "Pulumi.dev.yaml").write_bytes(b"config: [")
    assert [each.rule for each in spec.check(project / "migration_specs")[1]] == ["no-servers"]


texts = st.text(alphabet="$${}:stackconfig xy", max_size=30)


@given(texts, st.dictionaries(st.sampled_from(["p:x", "p:y"]), texts, max_size=2))
@example("${config:x}", {"p:x": "${stack}"})
def test_filling_is_one_pass_and_never_fails(text: str, values: dict[str, str]) -> None:
    document = _yaml.parse(f"a: {text!r}".replace("\\", "").encode(), "a.yaml")
    before = dict(document.data) if isinstance(document.data, dict) else document.data
    variables = spec.Variables("dev", "p", values)
    found = list(_variables.fill(document, variables, {}))
    for path, _finding in found:
        assert path == ("a",)
        assert document.data == before
    if text == "${config:x}" and values.get("p:x", "").isprintable() and "p:x" in values:
        assert document.data["a"] == values["p:x"]


@given(texts)
def test_an_escaped_text_is_itself(text: str) -> None:
    document = _yaml.parse(("a: '" + text.replace("${", "$${") + "'").encode(), "a.yaml")
    assert list(_variables.fill(document, spec.Variables("dev"), {})) == []
    assert document.data["a"] == text
