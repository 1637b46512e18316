"""What SMS knew, as a spec: `aws sms get-...` of an estate with an application, a failed job and a machine of SCVMM."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from rehost.importers import InventoryUnreadable, InventoryWrong, NothingToImport

from .conftest import DATA, Import

SERVERS, JOBS = "sms-servers.json", "sms-jobs.json"
ALL = [each.name for each in sorted(DATA.glob("sms-*.json"))]


def test_servers_come_with_their_jobs(come_in: Import) -> None:
    web = come_in("sms", SERVERS, JOBS).estate.servers["shop-web-01"]
    assert web.source.config == {
        "type": "vsphere",
        "endpoint": "vcenter.example.com",
        "credentials": {"username": {"env": "VC_USER"}, "password": {"env": "VC_PASSWORD"}},
    }
    assert web.locator == {"path": "/DC1/vm/shop/shop-web-01"}
    assert (web.schedule.every_seconds, web.schedule.keep_images, web.schedule.seed_at) == (12 * 3600, 5, None)
    image = web.image
    assert (image.license, image.encrypt, image.kms_key, image.role) == ("byol", True, "alias/migration", None)
    assert image.description == "the shop's web server"


def test_applications_come_with_groups_order_and_launch_configs(come_in: Import) -> None:
    came = come_in("sms", *ALL)
    shop = came.estate.applications["Web-Shop"]
    assert shop.phase == "replicate"
    assert [(each.name, each.servers, each.after) for each in shop.groups] == [
        ("data-base", ("Shop-DB-primary",), ()),
        ("web", ("shop-web-01",), ("data-base",)),
    ]
    assert shop.tags == {"costCentre": "4711"}
    launch = came.estate.servers["shop-web-01"].launch_config
    assert launch is not None
    assert (launch.instance_type, launch.subnet) == ("m5.large", "subnet-0123456789abcdef0")
    assert (launch.key_name, launch.instance_profile, launch.public_ip) == ("operations", "web", True)
    assert launch.security_groups == ("sg-0123456789abcdef0",)


def test_the_order_of_the_files_does_not_matter(come_in: Import, tmp_path: Path) -> None:
    first = come_in("sms", *ALL)
    again = come_in("sms", *reversed(ALL))
    assert first.estate.servers == again.estate.servers
    # The order in which groups and entries stand may differ; what they say does not.
    assert first.estate.applications.keys() == again.estate.applications.keys()


def test_what_has_no_place_is_said(come_in: Import) -> None:
    came = come_in("sms", *ALL)
    web = came.reasons("not carried over", "shop-web-01")
    assert {"roleName", "latestAmiId", "seedReplicationTime", "userData", "configureScript", "vpc"} <= web.keys()
    assert "has passed" in web["seedReplicationTime"]
    assert "s3://shop-scripts/web.sh" in came.text
    db = came.reasons("not carried over", "Shop DB (primary)")
    assert "without encryption" in db["kmsKeyId"]
    assert "not what `subnet` takes" in db["subnet"]
    assert "aws:" in came.reasons("not carried over", "Web Shop")["tags"]
    assert "autoLaunch" in came.reasons("not carried over", "Web Shop")
    assert came.reasons("assumed").keys() == {"credentials", "numberOfRecentAmisToKeep"}


def test_it_stands_above_the_entry_that_it_concerns(come_in: Import) -> None:
    lines = come_in("sms", *ALL).text.splitlines()
    about = lines[lines.index("  shop-web-01:") - 20 : lines.index("  shop-web-01:")]
    assert "  # Not carried over: vpc: it follows from the subnet" in about
    assert not any("vpc-0123" in line for line in lines), "a value without a place may not be for everybody to read"
    assert "  # called Shop DB (primary) there" in lines


def test_machines_of_scvmm_come_with_it(come_in: Import) -> None:
    intranet = come_in("sms", SERVERS, JOBS).estate.servers["intranet-01"]
    assert intranet.source.config == {
        "type": "hyperv",
        "scvmm": {"endpoint": "scvmm.example.com"},
        "credentials": {"username": {"env": "HV_USER"}, "password": {"env": "HV_PASSWORD"}},
    }
    assert intranet.locator == {"name": "intranet-01"}, "SCVMM's id of it is no host's"


def test_machines_of_a_host_come_by_their_id(come_in: Import, tmp_path: Path) -> None:
    one, other = job(), job(serverId="s-8")
    one["vmServer"] |= {"vmManagerType": "HYPERV-MANAGER", "vmManagerName": "hv1.example.com"}
    one["vmServer"]["vmServerAddress"]["vmId"] = "0f3d6a5e-7c1b-4d0e-9a55-6f1f2f6e7a10"
    other["vmServer"] |= {"vmManagerType": "HYPERV-MANAGER", "vmManagerName": "", "vmName": "web-08"}
    came = come_in("sms", jobs(tmp_path, one, other))
    web = came.estate.servers["web-07"]
    assert (web.source.config["type"], web.source.config["endpoint"]) == ("hyperv", "hv1.example.com")
    assert web.locator == {"uuid": "0f3d6a5e-7c1b-4d0e-9a55-6f1f2f6e7a10"}
    other_source = came.estate.servers["web-08"].source.config
    assert other_source["endpoint"] == "hyperv.invalid"
    assert other_source["credentials"]["password"] == {"env": "HV_PASSWORD_2"}
    assert "cluster: in place of endpoint:" in came.text


def test_machines_of_other_managers_are_comments(come_in: Import, tmp_path: Path) -> None:
    strange = job(runOnce=True)
    strange["vmServer"] |= {"vmManagerType": "XEN"}
    came = come_in("sms", SERVERS, JOBS, jobs(tmp_path, strange))
    assert "web-07" not in came.estate.servers
    assert "#   schedule: once" in came.text
    assert "XEN" in came.reasons("left out", "web-07")[""]
    assert came.made.left_out == 1


def test_only_what_somebody_meant_to_move(come_in: Import) -> None:
    came = come_in("sms", SERVERS, JOBS)
    assert came.estate.servers.keys() == {"shop-web-01", "Shop-DB-primary", "intranet-01"}
    assert "--all" in came.reasons("note")["serverList"]
    assert come_in("sms", SERVERS, JOBS, everything=True).estate.servers.keys() > {"printer-01", "batch-01"}


def test_a_catalog_without_jobs(come_in: Import, tmp_path: Path) -> None:
    catalog = json.loads((DATA / SERVERS).read_text())
    for each in catalog["serverList"]:
        each.pop("replicationJobId", None)
    file = tmp_path / "catalog.json"
    file.write_text(json.dumps(catalog))
    with pytest.raises(NothingToImport, match=r"5 servers are in the catalog.*--all"):
        come_in("sms", file)


def test_a_job_whose_machine_nobody_knows_is_left_out(come_in: Import, tmp_path: Path) -> None:
    file = tmp_path / "jobs.json"
    file.write_text(json.dumps({"replicationJobList": [{"serverId": "s-9", "frequency": 1}, job()]}))
    came = come_in("sms", file)
    assert "get-servers" in came.reasons("left out", "s-9")[""]


def job(**changes: Any) -> dict[str, Any]:
    address = {"vmManagerId": "m", "vmId": "vm-7"}
    vm = {"vmServerAddress": address, "vmName": "web-07", "vmManagerName": "vc", "vmManagerType": "vSphere"}
    return {"serverId": "s-7", "frequency": 1, "vmServer": vm, **changes}


def jobs(path: Path, *each: dict[str, Any]) -> Path:
    file = path / "jobs.json"
    file.write_text(json.dumps({"replicationJobList": list(each)}))
    return file


def test_a_seed_time_that_is_still_to_come_is_kept(come_in: Import, tmp_path: Path) -> None:
    file = jobs(tmp_path, job(seedReplicationTime="2026-06-01T22:00:00+02:00"))
    assert come_in("sms", file).estate.servers["web-07"].schedule.seed_at == "2026-06-01T20:00:00Z"


def test_without_a_path_the_managed_object_counts(come_in: Import, tmp_path: Path) -> None:
    assert come_in("sms", jobs(tmp_path, job())).estate.servers["web-07"].locator == {"moref": "vm-7"}


@pytest.mark.parametrize("frequency", [0, -3, 10**9])
def test_a_frequency_that_cannot_be(come_in: Import, tmp_path: Path, frequency: int) -> None:
    came = come_in("sms", jobs(tmp_path, job(frequency=frequency, numberOfRecentAmisToKeep=5000)))
    assert came.estate.servers["web-07"].schedule.every_seconds is None
    assert {each.field for each in came.made.remarks if each.subject == "web-07"} >= {"frequency"}


def test_a_source_of_the_spec(come_in: Import, folder: Path) -> None:
    folder.mkdir()
    (folder / "sources.yaml").write_text("sources: {exports: {type: images, path: ../exports}}\n")
    came = come_in("sms", SERVERS, JOBS, source="exports")
    assert came.estate.sources.keys() == {"exports"}
    assert came.estate.servers["intranet-01"].locator == {"name": "intranet-01"}
    assert came.reasons("assumed").keys() == {"numberOfRecentAmisToKeep"}
    with pytest.raises(InventoryWrong, match="no source dc1; known: exports"):
        come_in("sms", SERVERS, JOBS, source="dc1", stem="again")


def test_a_cut_output_is_said(come_in: Import, tmp_path: Path) -> None:
    file = tmp_path / "jobs.json"
    file.write_text(json.dumps({"replicationJobList": [job()], "nextToken": "abc"}))
    assert "not whole" in come_in("sms", file).reasons("note")["nextToken"]


def test_several_outputs_in_one_file(come_in: Import, tmp_path: Path) -> None:
    file = tmp_path / "all.json"
    file.write_text("\n".join((DATA / each).read_text() for each in ALL), "utf-16")
    assert come_in("sms", file).estate.applications.keys() == {"Web-Shop"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{}", "this is not what `aws sms get-...` prints"),
        ("[1]", "no object"),
        ("{", "line 1, column 2 is not JSON"),
        ('{"serverList": [], "serverList": []}', "stands twice"),
        ('{"replicationJobList": [NaN]}', "NaN is not JSON"),
        ("[" * 100_000, "nested too deep"),
        ('{"serverList": ' + "[" * 60 + "]" * 60 + "}", "more than 40 deep"),
        (f'{{"serverList": [{"9" * 5000}]}}', "5000 digits"),
        ('{"serverList": "\\u0000"} \x00', "character U+0000"),
    ],
)
def test_what_is_not_its_output(come_in: Import, tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "wrong.json"
    file.write_text(text)
    with pytest.raises(InventoryUnreadable) as caught:
        come_in("sms", file)
    assert message in str(caught.value)


def test_wrong_types_are_told_all_at_once(come_in: Import, tmp_path: Path) -> None:
    file = tmp_path / "wrong.json"
    wrong = {"serverList": [7, {"serverId": 5}, {"serverId": "s-1", "vmServer": []}], "serverCatalogStatus": {}}
    file.write_text(json.dumps(wrong))
    with pytest.raises(InventoryWrong) as caught:
        come_in("sms", file, everything=True)
    told = str(caught.value)
    assert "wrong.json.serverList[0]: this is not an object" in told
    assert "serverList[1].serverId: this is not a text" in told
    assert "serverList[2].vmServer: this is not an object" in told
    assert "serverCatalogStatus: this is not a text" in told
