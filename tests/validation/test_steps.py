"""The ready actions: those that the spec knows, each with scripts that a shell can parse and settings in their place."""

from __future__ import annotations

import subprocess
from importlib.resources import files

import pytest

from rehost import spec
from rehost.validation import Action
from rehost.validation._actions import fingerprint_of
from rehost.validation._steps import PLATFORMS, catalog, steps

SETTINGS = {
    "directoryId": "d-1",
    "directoryName": "corp.example.com",
    "dnsIpAddresses": "10.0.0.2, 10.0.0.3",
    "configuration": "cw",
}


def test_the_spec_knows_the_ready_ones() -> None:
    known = spec.schema()["$defs"]["postLaunchAction"]["properties"]["action"]["enum"]
    assert sorted(catalog()) == sorted(known)


@pytest.mark.parametrize("platform", PLATFORMS)
@pytest.mark.parametrize("name", sorted(catalog()))
def test_each_comes_to_documents(name: str, platform: str) -> None:
    for step in steps(Action(name, action=name, settings=SETTINGS), platform, "web-01"):
        assert step.document.startswith(("AWS-", "AmazonCloudWatch-"))
        assert all(isinstance(value, str) for values in step.parameters.values() for value in values)


def test_settings_are_where_they_belong_and_quoted() -> None:
    (joined,) = steps(Action("join-domain", action="join-domain", settings=SETTINGS), "Linux", "web-01")
    assert joined.parameters["dnsIpAddresses"] == ["10.0.0.2", "10.0.0.3"]
    (named,) = steps(
        Action("set-host-name", action="set-host-name", settings={"name": "a'; touch x"}), "Linux", "web-01"
    )
    script = named.parameters["commands"][0] + '\nprintf %s "$REHOST_NAME"'
    assert subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True).stdout == "a'; touch x"


def test_another_timeout_is_not_another_thing_to_do() -> None:
    one, other = (Action("x", ssm={"command": "true"}, timeout=seconds) for seconds in (60, 900))
    assert fingerprint_of(one, "web-01") == fingerprint_of(other, "web-01")
    assert fingerprint_of(one, "web-01") != fingerprint_of(Action("x", ssm={"command": "false"}), "web-01")


@pytest.mark.parametrize(
    "name",
    sorted(each.name for each in files("rehost.validation").joinpath("actions").iterdir() if each.name.endswith(".sh")),
)
def test_each_shell_script_can_be_parsed(name: str) -> None:
    text = files("rehost.validation").joinpath("actions", name).read_text("utf-8")
    subprocess.run(["sh", "-n"], input=text, text=True, check=True)
