"""The one table of what a change of an Instance's input does, against the inputs that there are, the provider and the page."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from components.estate import launch_args
from providers._instance_properties import NOTES, PROPERTIES, UPDATES, table
from providers.instance import InstanceProvider
from rehost import spec

PAGE = Path(__file__).resolve().parents[2] / "docs" / "launch.md"
SPEC = """
sources: {exports: {type: images, path: exports}}
launchConfigs:
  all:
    instanceType: auto
    launchTemplate: {id: lt-01, version: "1"}
    subnet: subnet-01
    securityGroups: [sg-01]
    privateIp: copy
    networkInterfaces: {storage: {subnet: subnet-02, securityGroups: [sg-02], privateIp: 10.0.0.9, description: storage}}
    instanceProfile: web
    keyName: operations
    userData: {text: "#!/bin/sh"}
    configureScript: {type: SHELL, text: "#!/bin/sh"}
    volumeType: gp3
    volumeIops: 4000
    volumeThroughput: 250
    volumeKmsKey: alias/a
    volumes: {disk-2: {type: io2, iops: 5000, kmsKey: alias/b}}
    imdsv2: optional
    metadataHopLimit: 2
    placement: {tenancy: dedicated}
    started: false
    terminationProtection: true
    protect: true
    tags: {a: b}
  public: {instanceType: t3.small, publicIp: true}
servers:
  a: {source: exports, locator: {path: a.raw}, launchConfig: all}
  b: {source: exports, locator: {path: b.raw}, launchConfig: public}
"""


@pytest.fixture
def estate(tmp_path: Path) -> spec.Estate:
    (tmp_path / "specs").mkdir()
    (tmp_path / "specs" / "estate.yaml").write_text(SPEC)
    return spec.load(tmp_path / "specs")


def arguments(estate: spec.Estate, server: str) -> dict[str, Any]:
    config = estate.servers[server].launch_config
    assert config is not None
    return {key: value for key, value in launch_args(estate.servers[server], config, {}).items() if value is not None}


def test_each_input_is_in_the_table_and_no_other(estate: spec.Estate) -> None:
    given = arguments(estate, "a").keys() | arguments(estate, "b").keys()
    assert given | {"stack", "server", "imageId"} == PROPERTIES.keys() | {"origin"}
    assert not PROPERTIES.keys() & set(NOTES)


@pytest.mark.parametrize("name", PROPERTIES)
def test_a_change_does_what_the_table_says(name: str) -> None:
    olds: dict[str, Any] = {name: {"a": "1"} if name == "volumes" else "1"}
    news: dict[str, Any] = {name: {"a": "2"} if name == "volumes" else "2"}
    if name == "volumes":
        olds, news = {name: {"disk-2": {"iops": 1}}}, {name: {"disk-2": {"iops": 2}}}
    found = InstanceProvider().diff("i-1", olds, news)
    assert found.changes
    assert found.replaces == ([name] if PROPERTIES[name].replaces else [])
    assert (name in UPDATES) is not PROPERTIES[name].replaces


@pytest.mark.parametrize("name", NOTES)
def test_what_is_for_the_reader_changes_nothing(name: str) -> None:
    assert not InstanceProvider().diff("i-1", {name: "1"}, {name: "2"}).changes


def test_magnetic_volumes_cannot_be_modified() -> None:
    diff = InstanceProvider().diff
    assert diff("i-1", {"volumeType": "standard"}, {"volumeType": "gp3"}).replaces == ["volumeType"]
    each = {"volumes": {"disk-2": {"type": "standard"}}}
    assert diff("i-1", {"volumes": {"disk-2": {"type": "gp3"}}}, each).replaces == ["volumes"]


def test_the_page_has_the_table() -> None:
    assert table() in PAGE.read_text(encoding="utf-8")


def test_a_set_without_auto_and_copy_needs_no_source(estate: spec.Estate) -> None:
    assert "origin" not in arguments(estate, "b")
    assert arguments(estate, "a")["origin"]["locator"] == {"path": "a.raw"}
