"""Cloud Migration Factory's intake form."""

from __future__ import annotations

from pathlib import Path

import pytest

from rehost.importers import InventoryUnreadable, InventoryWrong

from .conftest import Import

FORM = "cmf-intake.csv"
HEAD = "wave_name,app_name,aws_accountid,aws_region,server_name,server_os_family,server_tier,r_type,subnet_IDs,tenancy"


def form(folder: Path, *lines: str, encoding: str = "utf-8") -> Path:
    file = folder / "intake.csv"
    file.write_bytes(("\r\n".join(lines) + "\r\n").encode(encoding))
    return file


def test_the_form_of_the_solution(come_in: Import) -> None:
    came = come_in("cmf", FORM)
    assert came.estate.servers.keys() == {"Server1", "Server2"}
    hr = came.estate.applications["app01-hr"]
    assert [(each.name, each.servers, each.after) for each in hr.groups] == [
        ("web", ("Server1",), ()),
        ("db", ("Server2",), ()),
    ]
    assert came.estate.waves["1"].applications == ("app01-hr",)
    launch = came.estate.servers["Server1"].launch_config
    assert launch is not None
    assert (launch.instance_type, launch.subnet) == ("m4.large", "subnet-1111")
    assert launch.security_groups == ("sg-1111", "sg-2222")
    assert came.estate.servers["Server1"].image.platform == "windows"
    assert came.reasons("not carried over", "Server1").keys() == {"subnet_IDs_test", "securitygroup_IDs_test"}
    assert came.reasons("assumed").keys() == {"source"}


def test_only_rehost_moves(come_in: Import, tmp_path: Path) -> None:
    came = come_in(
        "cmf",
        form(
            tmp_path, HEAD, "w,shop,,,a,linux,,Rehost,,", "w,shop,,,b,linux,,Retire,,", "w,crm,,,c,linux,,Replatform,,"
        ),
    )
    assert came.estate.servers.keys() == {"a"}
    assert "its strategy is Retire" in came.reasons("left out", "b")[""]
    assert came.estate.applications.keys() == {"shop"}
    assert "none of its servers" in came.reasons("left out", "crm")[""]
    assert "\n  # b:\n" in came.text


def test_values_that_do_not_fit_are_said(come_in: Import, tmp_path: Path) -> None:
    came = come_in(
        "cmf",
        form(tmp_path, HEAD, "w,shop,,,a,solaris,,,subnet-1;subnet-2,Dedicated host", "w,shop,,,b,,,,vlan 7,Sharde"),
    )
    assert "first one counts" in came.reasons("changed", "a")["subnet_IDs"]
    assert "auto, linux, windows" in came.reasons("not carried over", "a")["server_os_family"]
    assert came.reasons("not carried over", "b").keys() == {"subnet_IDs", "tenancy"}
    launch = came.estate.servers["a"].launch_config
    assert launch is not None
    assert (launch.subnet, launch.placement, launch.instance_type) == ("subnet-1", {"tenancy": "host"}, "auto")
    assert "smallest" in came.reasons("assumed", "a")["instanceType"]


def test_keys_tags_and_firmware(come_in: Import, tmp_path: Path) -> None:
    head = "app_name,server_name,server_os_family,ebs_kms_key_id,server_boot_mode_uefi,tags,Rack,private_ip"
    key = "11111111-2222-3333-4444-555555555555"
    came = come_in(
        "cmf", form(tmp_path, head, f"shop,a,Linux,{key},TRUE,owner=me;noise;aws:x=1,R7,10.0.0.9", "shop,b,,,true,,,")
    )
    server = came.estate.servers["a"]
    assert (server.image.encrypt, server.image.kms_key, server.image.boot_mode) == (True, key, "uefi")
    assert server.tags == {"owner": "me"}
    assert server.launch_config is not None
    assert server.launch_config.private_ip == "10.0.0.9"
    lost = [each for each in came.made.remarks if each.kind == "not carried over" and each.subject == "a"]
    assert {(each.field, each.value) for each in lost} == {("tags", "noise"), ("tags", "1"), ("Rack", "R7")}
    assert "fill server_os_family in" in came.reasons("not carried over", "b")["server_boot_mode_uefi"]


def test_what_concerns_many_stands_once_at_the_head(come_in: Import, tmp_path: Path) -> None:
    rows = [f"shop,web-{number:02},R{number}" for number in range(21)]
    text = come_in("cmf", form(tmp_path, "app_name,server_name,Rack", *rows)).text
    assert text.count("Rack") == 1
    assert "# Not carried over, of 21 entries: Rack: " in text.split("apiVersion")[0]
    few = come_in("cmf", form(tmp_path, "app_name,server_name,Rack", *rows[:20])).text
    assert few.count("  # Not carried over: Rack: ") == 20


def test_a_server_that_stands_there_twice(come_in: Import, tmp_path: Path) -> None:
    came = come_in(
        "cmf",
        form(
            tmp_path,
            HEAD,
            "w,shop,,,a,linux,web,,,",
            "w,crm,,,A,linux,web,,,",
            "w,shop,,,a,linux,web,,,",
            "w,x,,,,,,,,",
        ),
    )
    assert came.estate.servers.keys() == {"a"}
    told = [each.reason for each in came.made.remarks if each.subject in ("a", "A") and not each.field]
    assert told == [
        "the server stands in intake.csv:2 already, with another app_name, server_name; the first row counts",
        "the server stands in intake.csv:2 already, word for word; the first row counts",
    ]
    assert any(each.where == "intake.csv:5" and each.kind == "left out" for each in came.made.remarks)


def test_forms_as_spreadsheets_save_them(come_in: Import, tmp_path: Path) -> None:
    lines = [
        each.replace(",", ";").replace("wave_name", "Wave_Name") for each in (HEAD, "w,schöner laden,,,a,linux,,,,")
    ]
    came = come_in("cmf", form(tmp_path, *lines, encoding="utf-8-sig"))
    assert came.estate.waves["w"].applications == ("sch-ner-laden",)
    assert came.reasons("changed", "schöner laden").keys() == {"name"}
    assert come_in("cmf", form(tmp_path, *lines, encoding="utf-16")).estate.servers.keys() == {"a"}
    latin = form(tmp_path, *lines, encoding="cp1252")
    with pytest.raises(InventoryUnreadable, match=r"line 2 is not UTF-8.*--encoding"):
        come_in("cmf", latin)
    assert come_in("cmf", latin, encoding="cp1252").estate.servers.keys() == {"a"}
    with pytest.raises(InventoryUnreadable, match="no encoding 'cp12521'"):
        come_in("cmf", latin, encoding="cp12521")


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (
            ["Name,IP", "a,b"],
            "it is not an intake form of Cloud Migration Factory: it has no column app_name, server_name",
        ),
        (["app_name,server_name,APP_NAME", "a,b,c"], "line 1 has the column 'APP_NAME' twice"),
        (["app_name,server_name", 'a,"b'], "line 2 is not CSV"),
        (["app_name,server_name", "a,b,c"], "line 2 has 3 cells, and the header 2"),
        (["app_name,server_name", '=HYPERLINK("http://x"),b'], "intake.csv:2 has a formula in the column app_name"),
        (["app_name,server_name", "a,=cmd|' /C calc'!A0"], "has a formula in the column server_name"),
        (["app_name,server_name", "a,\0"], "character U+0000"),
        (["", "  "], "it is empty"),
        ([",,"], "it has no header"),
        (["app_name,server_name", '"' + "x" * 200_000 + '",b'], "field larger than field limit"),
    ],
)
def test_what_is_no_form(come_in: Import, tmp_path: Path, lines: list[str], message: str) -> None:
    with pytest.raises(InventoryUnreadable) as caught:
        come_in("cmf", form(tmp_path, *lines))
    assert message in str(caught.value)


def test_several_regions_are_not_mixed(come_in: Import, tmp_path: Path) -> None:
    file = form(tmp_path, HEAD, "w,a,111122223333,us-east-1,a,,,,,", "w,b,111122223333,us-west-2,b,,,,,")
    with pytest.raises(InventoryWrong, match="2 accounts and regions"):
        come_in("cmf", file)
    assert come_in("cmf", file, region="us-west-2", account="111122223333").estate.servers.keys() == {"b"}
