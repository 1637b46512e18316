"""The ready actions: those that the spec knows, each with scripts that a shell can parse and settings in their place."""

from __future__ import annotations

import shutil
import subprocess
from importlib.resources import files
from pathlib import Path

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


#: Stand-ins for what the scripts call: a machine of Debian's or Red Hat's kind with all the packages that they look for.
_TOOLS = {
    "debian": {"dpkg-query": "echo 'install ok installed'", "apt-get": "echo apt-get $* >>$LOG"},
    "red hat": {"rpm": "exit 0", "dnf": "echo dnf $* >>$LOG"},
    "nothing of it": {"dpkg-query": "exit 1", "systemctl": "exit 1"},
}


@pytest.mark.parametrize(
    ("name", "machine", "done", "said"),
    [
        ("remove-hyperv-daemons.sh", "debian", "apt-get -y purge hyperv-daemons", "removed: hyperv-daemons"),
        (
            "remove-hyperv-daemons.sh",
            "red hat",
            "dnf -y remove hyperv-daemons hypervkvpd hypervvssd hypervfcopyd hyper-v",
            "removed: hyperv-daemons hypervkvpd hypervvssd hypervfcopyd hyper-v",
        ),
        ("remove-hyperv-daemons.sh", "nothing of it", "", "removed: nothing"),
        ("remove-azure-agent.sh", "debian", "apt-get -y purge walinuxagent waagent", "removed: walinuxagent waagent 9.cfg"),
        (
            "remove-azure-agent.sh",
            "red hat",
            "dnf -y remove WALinuxAgent python-azure-agent python3-azure-agent",
            "removed: WALinuxAgent python-azure-agent python3-azure-agent 9.cfg",
        ),
        ("remove-azure-agent.sh", "nothing of it", "", "removed: 9.cfg"),
    ],
)  # fmt: skip
def test_agents_of_where_it_came_from_are_removed(
    tmp_path: Path, name: str, machine: str, done: str, said: str
) -> None:
    tools, cloud, log = tmp_path / "bin", tmp_path / "etc" / "cloud" / "cloud.cfg.d", tmp_path / "log"
    cloud.mkdir(parents=True)
    tools.mkdir()
    log.touch()
    (cloud / "9.cfg").write_text("datasource_list: [ Azure ]\n")
    (cloud / "8.cfg").write_text("datasource_list: [ Azure, Ec2 ]\n")
    for tool, body in _TOOLS[machine].items():
        (tools / tool).write_text(f"#!/bin/sh\n{body}\n")
        (tools / tool).chmod(0o755)
    for tool in ("grep", "mkdir", "mv", "basename", "echo"):
        (tools / tool).symlink_to(str(shutil.which(tool)))
    text = files("rehost.validation").joinpath("actions", name).read_text("utf-8")
    # This very machine may be one of Azure's: its own files are out of reach.
    text = text.replace("/etc/cloud", str(tmp_path / "etc" / "cloud")).replace(
        "/var/backups", str(tmp_path / "backups")
    )
    environment = {"PATH": str(tools), "LOG": str(log)}
    ran = subprocess.run(
        ["/bin/sh"], input=text, text=True, env=environment, capture_output=True, check=True, cwd=tmp_path
    )
    assert log.read_text().strip() == done
    assert ran.stdout.strip() == said
    moved = name == "remove-azure-agent.sh"
    assert [each.name for each in sorted(cloud.iterdir())] == (["8.cfg"] if moved else ["8.cfg", "9.cfg"])
    assert (tmp_path / "backups" / "rehost-azure" / "9.cfg").exists() == moved
