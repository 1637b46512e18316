"""MGN's JSON and its CSV export, alone and together."""

from __future__ import annotations

from pathlib import Path

import pytest

from rehost.importers import InventoryUnreadable, InventoryWrong, NothingToImport

from .conftest import DATA, Import

JSON = [each.name for each in sorted(DATA.glob("mgn-*.json"))]
EXPORT = "mgn-export.csv"
HEAD = "mgn:account-id,mgn:region,mgn:app:name,mgn:wave:name,mgn:server:user-provided-id"


def table(folder: Path, *lines: str) -> Path:
    file = folder / "export.csv"
    file.write_text("\n".join(lines) + "\n", "utf-8")
    return file


def test_servers_are_found_as_their_hints_say(come_in: Import) -> None:
    came = come_in("mgn", *JSON)
    servers = came.estate.servers
    assert servers.keys() == {"shop-web-01", "shop-db-01", "agentless-01"}
    assert servers["shop-web-01"].locator == {"uuid": "5039b1b2-1b0f-4f0c-8c5e-2c9d1a7a4d10"}
    assert servers["agentless-01"].locator == {"path": "/DC1/vm/agentless-01"}
    assert servers["shop-db-01"].locator == {"name": "shop-db-01"}
    assert servers["shop-web-01"].source.config["endpoint"] == "vcenter.invalid"
    assert servers["shop-db-01"].source.type == "images"
    assert {"endpoint", "source", "credentials", "replicationType"} == came.reasons("assumed").keys()


def test_replication_goes_on_as_it_did(come_in: Import) -> None:
    servers = come_in("mgn", *JSON).estate.servers
    assert servers["shop-web-01"].schedule.continuous
    assert servers["agentless-01"].schedule.every_seconds == 3600


def test_settings_of_a_server(come_in: Import) -> None:
    came = come_in("mgn", *JSON)
    server = came.estate.servers["shop-db-01"]
    launch = server.launch_config
    assert launch is not None
    assert (launch.instance_type, launch.private_ip, launch.started) == ("auto", "copy", False)
    image = server.image
    assert (image.license, image.boot_mode, image.platform, image.encrypt) == ("byol", "uefi", "windows", True)
    assert image.kms_key == "arn:aws:kms:eu-central-1:111122223333:key/11111111-2222-3333-4444-555555555555"
    assert server.throttle == "100 Mbit/s"
    assert {"postLaunchActions", "stagingAreaSubnetId", "ec2LaunchTemplateID"} <= came.reasons(
        "not carried over", "shop-db-01"
    ).keys()


def test_applications_and_waves(come_in: Import) -> None:
    came = come_in("mgn", *JSON)
    shop = came.estate.applications["Web-Shop"]
    assert (shop.servers, shop.tags, shop.phase) == (("shop-web-01", "shop-db-01"), {"owner": "shop team"}, "replicate")
    assert {name: each.applications for name, each in came.estate.waves.items()} == {
        "Wave-1": ("Web-Shop",),
        "wave-2": ("reports",),
    }
    assert "# the first weekend" in came.text
    assert came.reasons("not carried over", "Wave 1")["tags"] == "a wave has no tags of its own"


def test_settings_without_their_server_and_templates_are_said(come_in: Import, tmp_path: Path) -> None:
    file = tmp_path / "templates.json"
    file.write_text('{"items": [{"launchConfigurationTemplateID": "lct-1", "ec2LaunchTemplateID": "lt-1"}]}')
    row = table(tmp_path, HEAD, ",,shop,w1,web-01")
    lost = come_in("mgn", row, file, "mgn-launch.json", "mgn-replication.json").reasons("not carried over")
    assert "describe-source-servers" in lost["sourceServerID"]
    assert "servers that are new" in lost["template"]


def test_what_has_moved_or_runs_in_ec2_is_left_out(come_in: Import) -> None:
    left = {each.subject: each.reason for each in come_in("mgn", *JSON).made.remarks if each.kind == "left out"}
    assert left.keys() == {"ledger-01", "archive-01", "cloud-01"}
    assert "cut it over" in left["ledger-01"]
    assert "archived" in left["archive-01"]
    assert "i-0123456789abcdef0" in left["cloud-01"]


def test_the_csv_has_launch_configs(come_in: Import) -> None:
    came = come_in("mgn", EXPORT)
    web, db = came.estate.servers["shop-web-01"], came.estate.servers["shop-db-01"]
    launch = web.launch_config
    assert launch is not None
    assert (launch.name, launch.instance_type, launch.instance_profile) == ("shop-web-01", "m6i.large", "web")
    assert launch.security_groups == ("sg-0123456789abcdef0", "sg-0123456789abcdef1")
    assert (launch.private_ip, launch.volume_type) == ("10.0.1.10", "gp3")
    assert launch.network_interfaces["nic-1"].subnet == "subnet-0123456789abcdef1"
    assert web.tags == {"Name": "shop-web-01", "environment": "production"}
    assert db.launch_config is not None
    assert db.launch_config.placement == {"tenancy": "dedicated"}
    assert db.image.license == "byol"
    lost = came.reasons("not carried over", "shop-db-01")
    assert "mgn:launch:nic:1:network-interface-id" in lost
    assert "disk-1" in lost["mgn:launch:volume:/dev/sda:type"]
    assert came.estate.waves["Wave-2"].applications == ("reports",)
    assert came.estate.applications["reports"].servers == ("reports-02",)


def test_csv_and_json_of_one_server_are_joined(come_in: Import) -> None:
    came = come_in("mgn", EXPORT, *JSON)
    assert came.estate.servers.keys() == {"shop-web-01", "shop-db-01", "agentless-01", "reports-02"}
    web, db = came.estate.servers["shop-web-01"], came.estate.servers["shop-db-01"]
    assert web.locator == {"uuid": "5039b1b2-1b0f-4f0c-8c5e-2c9d1a7a4d10"}
    assert db.launch_config is not None
    assert (db.launch_config.instance_type, db.launch_config.private_ip) == ("r6i.xlarge", "copy")
    assert came.estate.applications["Web-Shop"].servers == ("shop-web-01", "shop-db-01")


def test_a_region_has_to_be_chosen(come_in: Import, tmp_path: Path) -> None:
    file = table(
        tmp_path,
        HEAD,
        "111122223333,eu-central-1,shop,w1,web-01",
        "111122223333,us-east-1,shop,w1,web-02",
        ",,shop,w1,web-03",
    )
    with pytest.raises(InventoryWrong, match=r"2 accounts and regions.*--account and --region"):
        come_in("mgn", file)
    came = come_in("mgn", file, region="us-east-1")
    assert came.estate.servers.keys() == {"web-02"}
    assert came.made.remarks[-1].reason.startswith("in another account or region") or any(
        each.value == "2 servers" for each in came.made.remarks
    )


def test_an_application_in_two_waves(come_in: Import, tmp_path: Path) -> None:
    came = come_in("mgn", table(tmp_path, HEAD, ",,shop,w1,web-01", ",,shop,w2,web-02"))
    assert {name: each.applications for name, each in came.estate.waves.items()} == {"w1": ("shop",)}
    assert "w1 came first" in came.reasons("not carried over", "shop")["wave"]
    assert came.reasons("left out", "w2")[""] == "none of its applications is in the spec"


def test_rows_without_a_server_or_twice_are_said(come_in: Import, tmp_path: Path) -> None:
    came = come_in("mgn", table(tmp_path, HEAD, ",,shop,w1,", ",,shop,w1,web-01", ",,shop,w1,web-01", ",,,w3,web-02"))
    notes = [each.reason for each in came.made.remarks if each.kind == "note"]
    assert any("the row has no server" in each for each in notes)
    assert any("there twice" in each for each in notes)
    assert any("made of applications" in each for each in notes)
    assert came.estate.servers.keys() == {"web-01", "web-02"}


def test_unknown_columns_are_said(come_in: Import, tmp_path: Path) -> None:
    came = come_in("mgn", table(tmp_path, f"{HEAD},mgn:launch:new-thing,Remark", ",,shop,w1,web-01,on,see mail"))
    assert came.reasons("not carried over", "web-01").keys() == {"mgn:launch:new-thing", "Remark"}


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        ("Name,IP\nweb-01,10.0.0.1\n", InventoryUnreadable, "none of its columns begins with mgn:"),
        (HEAD + "\n", NothingToImport, "no servers"),
        ('{"items": [{"hostname": "x"}]}', InventoryUnreadable, "is not what `aws mgn"),
        ('{"items": []}', NothingToImport, "no servers"),
        ('{"items": [3]}', InventoryWrong, "items[0]: this is not an object"),
        ('"text"', InventoryUnreadable, "is not MGN's CSV"),
    ],
)
def test_what_is_not_its_output(
    come_in: Import, tmp_path: Path, text: str, error: type[Exception], message: str
) -> None:
    file = tmp_path / "wrong"
    file.write_text(text)
    with pytest.raises(error) as caught:
        come_in("mgn", file)
    assert message.removeprefix("items") in str(caught.value)
