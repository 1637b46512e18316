"""RVTools' workbook: what it has of each machine, and workbooks that are none or mean harm."""

from __future__ import annotations

import io
import re
import zipfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rehost import spec
from rehost.importers import (
    InventoryError,
    InventoryUnreadable,
    InventoryWrong,
    NothingToImport,
    Options,
    _workbook,
    import_inventory,
)

from . import books
from .conftest import NOW, Import, write

TEXTS = st.text(st.characters(exclude_categories=["Cs", "Cc", "Co", "Cn"]), max_size=30)
OS = "OS according to the configuration file"


def export(folder: Path, machines: list[dict[str, Any]], **sheets: list[dict[str, Any]]) -> Path:
    disks = [books.disk(each["VM"], int(str(each["VM ID"])[3:])) for each in machines if each.get("VM ID")]
    return books.write(folder / "export.xlsx", {"vInfo": machines, "vDisk": disks, **sheets}, vInfo=books.INFO)


def test_machines_are_found_by_uuid(come_in: Import, tmp_path: Path) -> None:
    came = come_in(
        "rvtools", export(tmp_path, [books.machine("web-01", 1), books.machine("Shop DB", 2, Memory=6144, CPUs=4)])
    )
    assert came.estate.servers["web-01"].locator == {"uuid": books.uuid(1)}
    assert came.estate.servers["web-01"].source.config["endpoint"] == books.VCENTER
    assert "Shop-DB" in came.estate.servers
    assert "# Debian GNU/Linux 12 (64-bit); 4 CPUs; 6 GiB; disks: 50 GiB; 10.0.0.2" in came.text
    assert came.estate.servers["web-01"].launch_config is None
    assert came.reasons("note").keys() == {"application", "schedule"}


@pytest.mark.parametrize(
    ("memory", "told"), [("²", ""), ("4,096", "; 4 GiB"), ("1.5e9", ""), ("6144.0", "; 6 GiB"), ("-", "")]
)
def test_sizes_as_spreadsheets_have_them(come_in: Import, tmp_path: Path, memory: str, told: str) -> None:
    came = come_in("rvtools", export(tmp_path, [books.machine("web-01", 1, Memory=memory)]))
    assert f"2 CPUs{told}; disks" in came.text


def test_without_a_uuid_the_managed_object_or_the_name(come_in: Import, tmp_path: Path) -> None:
    machines = [
        books.machine("a", 1, **{"VM UUID": "not one"}),
        books.machine("b", 2, **{"VM UUID": None, "VM ID": None}),
        books.machine("twin", 3, **{"VM UUID": None}),
        books.machine("twin", 4, **{"VM UUID": None}),
    ]
    sheets = {"vInfo": machines}
    came = come_in("rvtools", books.write(tmp_path / "x.xlsx", sheets))
    assert {name: each.locator for name, each in came.estate.servers.items()} == {
        "a": {"moref": "vm-1"},
        "b": {"name": "b"},
        "twin": {"moref": "vm-3"},
        "twin-2": {"moref": "vm-4"},
    }


@pytest.mark.parametrize(
    ("cells", "disk", "reason"),
    [
        ({"Template": True}, {}, "a template has no snapshots"),
        ({"SRM Placeholder": "True"}, {}, "Site Recovery Manager"),
        ({"VM": "vCLS-5039b1b2"}, {}, "vCLS"),
        ({}, {"Raw": True}, "raw device mapping"),
        ({}, {"Disk Mode": "independent_persistent"}, "independent"),
        ({}, {"Sharing mode": "sharingMultiWriter"}, "shared with other machines"),
    ],
)
def test_what_cannot_be_replicated_is_a_comment(
    come_in: Import, tmp_path: Path, cells: dict[str, Any], disk: dict[str, Any], reason: str
) -> None:
    machine = books.machine("odd", 1, **cells)
    sheets = {
        "vInfo": [machine, books.machine("ok", 2)],
        "vDisk": [books.disk(machine["VM"], 1, **disk), books.disk("ok", 2)],
    }
    came = come_in("rvtools", books.write(tmp_path / "x.xlsx", sheets))
    assert came.estate.servers.keys() == {"ok"}
    assert reason in came.reasons("left out", machine["VM"])[""]
    assert f"# {machine['VM']}:" in came.text


def test_firmware(come_in: Import, tmp_path: Path) -> None:
    machines = [
        books.machine("linux", 1, Firmware="efi", **{"EFI Secure boot": True}),
        books.machine("windows", 2, Firmware="efi", **{OS: "Microsoft Windows Server 2022 (64-bit)"}),
        books.machine("bsd", 3, Firmware="efi", **{OS: "FreeBSD 14"}),
    ]
    came = come_in("rvtools", export(tmp_path, machines))
    modes = {name: (each.image.boot_mode, each.image.platform) for name, each in came.estate.servers.items()}
    assert modes == {"linux": ("uefi", "linux"), "windows": ("uefi", "windows"), "bsd": ("auto", "auto")}
    assert "does not name it" in came.reasons("not carried over", "bsd")["Firmware"]
    assert "Secure Boot" in came.reasons("note", "linux")["EFI Secure boot"]


def test_concerns_of_other_sheets(come_in: Import, tmp_path: Path) -> None:
    own = {"VM": "web-01", "VM UUID": books.uuid(1), "VI SDK Server": books.VCENTER}
    machine = books.machine("web-01", 1, Powerstate="poweredOff", CBT=False, **{"Connection state": "orphaned"})
    file = export(
        tmp_path, [machine], vNetwork=[own, own], vSnapshot=[{**own, "Name": "old"}], vUSB=[{**own, "Connected": True}]
    )
    notes = come_in("rvtools", file).reasons("note", "web-01")
    assert notes.keys() == {"", "Powerstate", "CBT", "Connection state", "vNetwork", "vUSB"}
    assert "snapshots" in notes[""]


def test_columns_give_applications(come_in: Import, tmp_path: Path) -> None:
    machines = [books.machine("web-01", 1), books.machine("crm-01", 2, Folder="CRM")]
    came = come_in("rvtools", export(tmp_path, machines), columns={"application": "folder", "tags.cluster": "Cluster"})
    assert {name: each.servers for name, each in came.estate.applications.items()} == {
        "shop": ("web-01",),
        "CRM": ("crm-01",),
    }
    assert came.estate.servers["web-01"].tags == {"cluster": "cluster-1"}
    with pytest.raises(InventoryWrong, match="has no column Squad"):
        come_in("rvtools", export(tmp_path, machines), columns={"application": "Squad"}, stem="x")


def test_columns_and_sheets_without_a_place_are_said(come_in: Import, tmp_path: Path) -> None:
    machine = books.machine("web-01", 1, Rack="R7", Owner="me")
    book = books.write(tmp_path / "x.xlsx", {"vInfo": [machine], "vHost": [{"Host": "esx-1"}]})
    lost = come_in("rvtools", book, columns={"tags.owner": "Owner"}).reasons("not carried over")
    assert lost["vInfo"].endswith("of your own: Rack")
    assert lost["sheets"].endswith("vHost")


def test_several_vcenters(come_in: Import, tmp_path: Path) -> None:
    other = books.write(
        tmp_path / "b.xlsx", {"vInfo": [books.machine("web-01", 1, **{"VI SDK Server": "vc2.example.com"})]}
    )
    came = come_in("rvtools", export(tmp_path, [books.machine("web-01", 1)]), other)
    assert came.estate.sources["vc2.example.com"].config["credentials"]["password"] == {"env": "VC_PASSWORD_2"}
    assert came.estate.servers["web-01-2"].source.name == "vc2.example.com"


def test_a_second_import_finds_the_machines_there(come_in: Import, tmp_path: Path) -> None:
    come_in("rvtools", export(tmp_path, [books.machine("web-01", 1)]))
    came = come_in("rvtools", export(tmp_path, [books.machine("web-01", 1), books.machine("web-02", 2)]), stem="later")
    assert came.estate.servers.keys() == {"web-01", "web-02"}
    assert came.reasons("left out", "web-01") == {"": "the spec has this machine already"}
    assert came.estate.sources.keys() == {books.VCENTER}
    assert came.reasons("assumed") == {}


def unzipped(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def zipped(path: Path, parts: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    return path


@pytest.fixture
def parts(tmp_path: Path) -> dict[str, bytes]:
    return unzipped(export(tmp_path, [books.machine("web-01", 1)]))


def refused(come_in: Import, path: Path) -> str:
    with pytest.raises(InventoryUnreadable) as caught:
        come_in("rvtools", path)
    return str(caught.value)


def test_a_zip_bomb_is_not_unpacked(
    come_in: Import, tmp_path: Path, parts: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_workbook, "MAX_UNPACKED", 8 << 20)
    bomb = zipped(tmp_path / "bomb.xlsx", {**parts, "xl/media/zeros.bin": bytes(32 << 20)})
    assert bomb.stat().st_size < 1 << 20
    assert "unpacks to 32 MiB" in refused(come_in, bomb)


def test_parts_that_would_be_held_in_memory(come_in: Import, tmp_path: Path, parts: dict[str, bytes]) -> None:
    for name, size in (("xl/sharedStrings.xml", _workbook.MAX_TEXTS), ("xl/styles.xml", _workbook.MAX_PART)):
        bomb = zipped(tmp_path / "bomb.xlsx", {**parts, name: b"<x>" + bytes(size)})
        assert "too large" in refused(come_in, bomb)


def test_a_part_that_is_larger_than_it_says(come_in: Import, tmp_path: Path, parts: dict[str, bytes]) -> None:
    """The directory of the zip says 100 bytes, the part unpacks to as many MiB."""
    path = zipped(tmp_path / "lie.xlsx", {**parts, "xl/sharedStrings.xml": b"<sst>" + bytes(100 << 20)})
    content = path.read_bytes()
    size = (len(b"<sst>") + (100 << 20)).to_bytes(4, "little")
    assert content.count(size) == 2
    path.write_bytes(content.replace(size, (100).to_bytes(4, "little")))
    assert "xlsx workbook" in refused(come_in, path) or "damaged" in refused(come_in, path)


def test_entities_are_refused(come_in: Import, tmp_path: Path, parts: dict[str, bytes]) -> None:
    laughs = b'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;">]>'
    for name in ("xl/workbook.xml", "xl/worksheets/sheet1.xml"):
        path = zipped(tmp_path / "laughs.xlsx", {**parts, name: laughs + parts[name].split(b"?>", 1)[-1]})
        assert "declares a document type" in refused(come_in, path)
    wide = zipped(tmp_path / "wide.xlsx", {**parts, "xl/workbook.xml": "<!DOCTYPE x><x/>".encode("utf-16")})
    assert "declares a document type" in refused(come_in, wide)


def test_a_sheet_that_says_it_is_huge(come_in: Import, tmp_path: Path, parts: dict[str, bytes]) -> None:
    """Neither what it says of its size is believed, nor are the rows made that a far row number leaves out."""
    sheet = parts["xl/worksheets/sheet1.xml"]
    wide = re.sub(b'<dimension ref="[^"]*"', b'<dimension ref="A1:XFD1048576"', sheet)
    assert wide != sheet
    assert come_in(
        "rvtools", zipped(tmp_path / "wide.xlsx", {**parts, "xl/worksheets/sheet1.xml": wide})
    ).estate.servers.keys() == {"web-01"}
    far = sheet.replace(
        b"</sheetData>", b'<row r="1048576"><c r="A1048576" t="inlineStr"><is><t>x</t></is></c></row></sheetData>'
    )
    assert "more than 200000 rows" in refused(
        come_in, zipped(tmp_path / "far.xlsx", {**parts, "xl/worksheets/sheet1.xml": far})
    )


def test_formulas_are_refused(come_in: Import, tmp_path: Path) -> None:
    file = export(
        tmp_path, [books.machine("web-01", 1, CPUs="=1+SUM(A1:A9)"), books.machine("web-02", 2, CPUs="=SUM(A1:A9)")]
    )
    assert "export.xlsx:vInfo:3 has a formula in the column CPUs" in refused(come_in, file)
    harmless = export(tmp_path, [books.machine("web-01", 1, Annotation="=== web ===")])
    came = come_in("rvtools", harmless)
    assert came.estate.servers.keys() == {"web-01"}
    assert "=== web" not in came.text, "an annotation may hold anything, a password too"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"PK\x03\x04 and nothing else", "it is not an xlsx workbook"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600), "it is not an xlsx workbook"),
        (b"VM,Powerstate\n", "it is not an xlsx workbook"),
        (b"", "it is empty"),
    ],
)
def test_what_is_no_workbook(come_in: Import, tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "x.xlsx"
    path.write_bytes(content)
    assert message in refused(come_in, path)


def outcome(come_in: Import, path: Path) -> str:
    try:
        come_in("rvtools", path)
    except (InventoryUnreadable, InventoryWrong, NothingToImport) as error:
        return str(error)
    return "fine"


def test_damaged_parts(come_in: Import, tmp_path: Path, parts: dict[str, bytes]) -> None:
    """Whatever part is damaged or missing: either it is not needed, or the file is refused."""
    found = set()
    for name, content in parts.items():
        kept = {key: each for key, each in parts.items() if key != name}
        damaged = [{**parts, name: each} for each in (b"", b"<", b"<x/>", content[: len(content) // 2])]
        for each in (kept, *damaged):
            found.add(outcome(come_in, zipped(tmp_path / "damaged.xlsx", each)).removeprefix(str(tmp_path)))
    assert "fine" in found
    assert sum("damaged.xlsx: " in each for each in found) >= 3


def test_workbooks_of_something_else(come_in: Import, tmp_path: Path) -> None:
    assert "no sheet vInfo" in refused(come_in, books.write(tmp_path / "a.xlsx", {"Sheet1": [{"VM": "x"}]}))
    assert "no sheet vInfo" in refused(come_in, books.write(tmp_path / "b.xlsx", {"vInfo": []}))
    assert "no column Powerstate, Template" in refused(
        come_in, books.write(tmp_path / "c.xlsx", {"vInfo": [{"VM": "x"}]})
    )
    with pytest.raises(NothingToImport):
        come_in("rvtools", books.write(tmp_path / "d.xlsx", {"vInfo": []}, vInfo=books.INFO))


def test_an_encrypted_zip(come_in: Import, tmp_path: Path, parts: dict[str, bytes]) -> None:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr("a", b"x")
    data = bytearray(content.getvalue())
    data[data.index(b"PK\x01\x02") + 8] |= 1
    path = tmp_path / "secret.xlsx"
    path.write_bytes(data)
    assert "encrypted" in refused(come_in, path)


@given(cells=st.lists(st.lists(TEXTS, min_size=len(books.INFO), max_size=len(books.INFO)), min_size=1, max_size=4))
@settings(max_examples=30, deadline=None)
def test_any_workbook_makes_a_valid_spec(cells: list[list[str]], tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("book")
    rows = [dict(zip(books.INFO, row, strict=True)) for row in cells]
    path = books.write(folder / "x.xlsx", {"vInfo": rows}, vInfo=books.INFO)
    options = Options(now=NOW, columns={"application": "Folder", "tags.place": "Cluster"})
    try:
        made = import_inventory("rvtools", [path], options, folder=folder / "specs", stem="in")
    except InventoryError:
        return
    write(folder / "specs", made.files)
    estate, findings = spec.check(folder / "specs")
    assert estate is not None, [str(each) for each in findings]
