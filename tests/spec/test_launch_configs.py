"""Launch configs with what they extend, and the user data that a configure script becomes."""

from __future__ import annotations

from email import message_from_string
from pathlib import Path

import pytest

from rehost import spec

SPEC = """
launchConfigs:
  base:
    subnet: subnet-01
    tags: {tier: none, owner: team}
    volumeType: gp3
    volumes: {disk-1: {iops: 4000}, disk-2: {throughput: 250}}
    placement: {tenancy: dedicated}
    networkInterfaces: {storage: {subnet: subnet-02, securityGroups: [sg-01]}}
    userData: {file: base.sh}
    terminationProtection: true
  web:
    extends: base
    instanceType: auto
    tags: {tier: web}
    volumes: {disk-2: {iops: 5000}}
    terminationProtection: false
  web-big: {extends: web, instanceType: m7i.large, userData: {text: "#!/bin/sh"}, privateIp: copy}
"""


def load(folder: Path, text: str) -> spec.Estate:
    (folder / "specs").mkdir()
    (folder / "specs" / "estate.yaml").write_text(text)
    (folder / "specs" / "base.sh").write_text("#!/bin/sh\necho base\n")
    return spec.load(folder / "specs")


def test_a_launch_config_has_what_it_extends(tmp_path: Path) -> None:
    configs = load(tmp_path, SPEC).launch_configs
    web, big = configs["web"], configs["web-big"]
    assert (web.subnet, web.instance_type, web.termination_protection) == ("subnet-01", "auto", False)
    assert web.tags == {"tier": "web", "owner": "team"}
    assert web.volumes == {"disk-1": spec.Volume(iops=4000), "disk-2": spec.Volume(iops=5000, throughput=250)}
    assert web.placement == {"tenancy": "dedicated"}
    assert web.network_interfaces == {"storage": spec.NetworkInterface("subnet-02", ("sg-01",))}
    assert (web.user_data, web.user_data_file) == ("#!/bin/sh\necho base\n", "specs/base.sh")
    assert (big.instance_type, big.private_ip, big.user_data, big.tags) == (
        "m7i.large",
        "copy",
        "#!/bin/sh",
        web.tags,
    )


def user_data(folder: Path, config: str) -> str | None:
    return load(folder, f"launchConfigs:\n  a: {{instanceType: t3.small, {config}}}").launch_configs["a"].user_data


def test_a_shell_script_alone_is_the_user_data(tmp_path: Path) -> None:
    assert user_data(tmp_path, "configureScript: {type: SHELL, file: base.sh}") == "#!/bin/sh\necho base\n"


@pytest.mark.parametrize(
    ("data", "kind"), [("#cloud-config", "text/cloud-config"), ("#!/bin/sh", "text/x-shellscript")]
)
def test_a_shell_script_runs_behind_the_user_data(tmp_path: Path, data: str, kind: str) -> None:
    text = user_data(
        tmp_path, f'userData: {{text: "{data}\\nx: 1\\n"}}, configureScript: {{type: SHELL, file: base.sh}}'
    )
    assert text is not None
    _, *parts = message_from_string(text).walk()
    assert [part.get_content_type() for part in parts] == [kind, "text/x-shellscript"]
    assert [str(part.get_payload()).strip() for part in parts] == [f"{data}\nx: 1", "#!/bin/sh\necho base"]


def test_a_powershell_script_gets_its_tags(tmp_path: Path) -> None:
    text = user_data(
        tmp_path, 'userData: {text: "<persist>true</persist>"}, configureScript: {type: POWERSHELL, text: dir}'
    )
    assert text == "<persist>true</persist>\n<powershell>\ndir\n</powershell>\n"
