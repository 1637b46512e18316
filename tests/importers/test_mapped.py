"""Any table, with a mapping."""

from __future__ import annotations

from pathlib import Path

import pytest

from rehost.importers import (
    InventoryUnreadable,
    InventoryWrong,
    NothingToImport,
    _documents,
    _inventory,
    _table,
    read_mapping,
)

from .conftest import Import

COLUMNS = {
    "server": "Hostname",
    "locator.uuid": "UUID",
    "application": "Service",
    "application.owner": "Owner",
    "group": "Tier",
    "wave": "Move",
    "launchConfig.instanceType": "Size",
    "launchConfig.publicIp": "Public",
    "launchConfig.volumeIops": "IOPS",
    "launchConfig.volumeType": "Disk",
    "launchConfig.securityGroups": "Groups",
    "image.encrypt": "Encrypted",
    "tags.costCentre": "Cost",
    "throttle": "Rate",
}
HEAD = "Hostname,UUID,Service,Owner,Tier,Move,Size,Public,IOPS,Disk,Groups,Encrypted,Cost,Rate,Comment"
UUID = "5039b1b2-1b0f-4f0c-8c5e-2c9d1a7a4d10"


def table(folder: Path, *lines: str, head: str = HEAD) -> Path:
    file = folder / "cmdb.csv"
    file.write_text("\n".join((head, *lines)) + "\n", "utf-8")
    return file


def test_each_cell_becomes_what_its_key_holds(come_in: Import, tmp_path: Path) -> None:
    file = table(
        tmp_path, f"web-01,{UUID},shop,team a,web,w1,m7i.large,yes,4000,GP3,sg-1;sg-2,TRUE,4711,50 MiB/s,see mail"
    )
    came = come_in("csv", file, columns=COLUMNS)
    server = came.estate.servers["web-01"]
    launch = server.launch_config
    assert launch is not None
    assert (launch.instance_type, launch.public_ip, launch.volume_iops, launch.volume_type) == (
        "m7i.large",
        True,
        4000,
        "gp3",
    )
    assert launch.security_groups == ("sg-1", "sg-2")
    assert (server.image.encrypt, server.tags, server.throttle) == (True, {"costCentre": "4711"}, "50 MiB/s")
    assert server.locator == {"uuid": UUID}
    shop = came.estate.applications["shop"]
    assert (shop.owner, [each.name for each in shop.groups]) == ("team a", ["web"])
    assert came.estate.waves["w1"].applications == ("shop",)
    assert came.reasons("not carried over", "web-01").keys() == {"Comment"}
    quiet = come_in("csv", file, columns=COLUMNS, ignored=frozenset({"comment"}), stem="in")
    assert quiet.reasons("not carried over") == {}


def test_what_does_not_fit_is_said_with_its_row(come_in: Import, tmp_path: Path) -> None:
    file = table(
        tmp_path,
        "web-01,not one,shop,team a,web,w1,huge,maybe,many,floppy,,perhaps,,fast,",
        "web-02,,shop,team b,web,w2,,,,,,,,,",
    )
    came = come_in("csv", file, columns=COLUMNS)
    lost = [each for each in came.made.remarks if each.kind == "not carried over"]
    assert {each.field for each in lost if each.subject == "web-01"} == {
        "Size",
        "Public",
        "IOPS",
        "Disk",
        "Encrypted",
        "Rate",
    }
    assert {each.where for each in lost if each.subject == "web-01"} == {"cmdb.csv:2"}
    assert {(each.field, each.value) for each in lost if each.subject == "shop"} == {
        ("Owner", "team b"),
        ("wave", "w2"),
    }
    assert came.estate.servers["web-01"].locator == {"name": "web-01"}


def test_passwords_are_not_repeated(come_in: Import, tmp_path: Path) -> None:
    file = table(tmp_path, "web-01,hunter2,hunter3", head="Host,Root password,api_key")
    came = come_in("csv", file, columns={"server": "Host"})
    assert came.reasons("not carried over", "web-01").keys() == {"Root password", "api_key"}
    assert "hunter" not in repr(came.made)


def test_too_many_cells_or_values(come_in: Import, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_table, "MAX_CELLS", 5)
    with pytest.raises(InventoryUnreadable, match="more than 5 cells"):
        come_in("csv", table(tmp_path, "a,b,c", "d,e,f", head="Host,B,C"), columns={"server": "Host"})
    monkeypatch.setattr(_documents, "MAX_VALUES", 5)
    with pytest.raises(InventoryUnreadable, match="more than 5 values"):
        come_in("sms", "sms-servers.json")


def test_too_many_servers(come_in: Import, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_inventory, "MAX_MACHINES", 1)
    with pytest.raises(InventoryWrong, match=r"cmdb.csv:3: there are more than 1 servers"):
        come_in("csv", table(tmp_path, "a", "b", head="Host"), columns={"server": "Host"})


def test_what_a_spec_refuses_becomes_a_comment(come_in: Import, tmp_path: Path) -> None:
    """io2 needs a figure for IOPS: each value fits, and the launch config does not."""
    file = table(tmp_path, "web-01,,shop,,,,m7i.large,,,io2,,,,,", "web-02,,shop,,,,m7i.large,,,gp3,,,,,")
    came = come_in("csv", file, columns=COLUMNS)
    assert came.estate.servers["web-01"].launch_config is None
    assert came.estate.servers["web-02"].launch_config is not None
    assert "needs volumeIops" in came.text
    assert "the spec does not take it" in came.reasons("not carried over", "web-01")[""]


def test_names_that_the_spec_has_already(come_in: Import, folder: Path, tmp_path: Path) -> None:
    folder.mkdir()
    (folder / "base.yaml").write_text(
        "sources: {dc1: {type: vsphere, endpoint: vc, credentials: {username: {env: U}, password: {env: P}}}}\n"
        "schedules: {daily: {every: 1d}}\nlaunchConfigs: {web: {instanceType: m7i.large}}\n"
        "servers: {web-01: {source: dc1, locator: {name: other}}}\n"
    )
    file = table(tmp_path, "web-01,daily,web", "web-02,nightly,", head="Host,Plan,Launch")
    came = come_in("csv", file, columns={"server": "Host", "schedule": "Plan", "launchConfig": "Launch"}, source="dc1")
    server = came.estate.servers["web-01-2"]
    assert (server.schedule.name, server.locator) == ("daily", {"name": "web-01"})
    assert server.launch_config is not None
    assert server.launch_config.name == "web"
    assert "nightly is not in schedules" in came.reasons("left out", "web-02")[""]


def test_a_mapping_is_checked_before_a_row_is_read(come_in: Import, tmp_path: Path) -> None:
    columns = {"server": "Hostname", "launchConfig.size": "Size", "sever": "UUID", "tags.": "Cost", "phase": "Move"}
    with pytest.raises(InventoryWrong) as caught:
        come_in("csv", table(tmp_path, "web-01"), columns=columns)
    assert [each.split(";")[0] for each in caught.value.problems] == [
        f"the spec has nothing for the mapping's key {key}" for key in ("launchConfig.size", "sever", "tags.", "phase")
    ]
    with pytest.raises(InventoryUnreadable, match="no column Host"):
        come_in("csv", table(tmp_path, "web-01"), columns={"server": "Host"})
    with pytest.raises(InventoryWrong, match="--map server=COLUMN"):
        come_in("csv", table(tmp_path, "web-01"))
    with pytest.raises(NothingToImport):
        come_in("csv", table(tmp_path, ",,shop"), columns=COLUMNS)


def test_a_mapping_file(tmp_path: Path) -> None:
    file = tmp_path / "mapping.yaml"
    file.write_text(
        "columns:\n  server: Hostname\n  image.encrypt: no\nignore: [Comment]\ndelimiter: ';'\nencoding: cp1252\n"
    )
    read = read_mapping(file)
    assert read.columns == {"server": "Hostname", "image.encrypt": "no"}
    assert (read.ignored, read.delimiter, read.encoding) == (frozenset({"Comment"}), ";", "cp1252")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("server: Hostname\n", "a mapping is `columns:`"),
        ("columns: {server: [a]}\n", "columns.server is not the name of a column"),
        ("columns: {server: a}\ncolumn: {}\nignore: x\n", "no key column"),
        ("columns: {server: a\n", "this is not YAML"),
        ("columns: {a: &x b, c: *x}\n", "no aliases"),
        ("a: " + "[" * 900, "this is not YAML"),
        ("a: " + "[" * 3000, "1000 lists"),
        ("#" * 70_000, "64 KiB"),
    ],
)
def test_what_is_no_mapping_file(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "mapping.yaml"
    file.write_text(text)
    with pytest.raises((InventoryUnreadable, InventoryWrong)) as caught:
        read_mapping(file)
    assert message in str(caught.value)
