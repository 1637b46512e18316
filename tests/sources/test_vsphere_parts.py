"""Parts of the vsphere source by themselves: what a hostile or broken vCenter could say, concerns, streams, names."""

from __future__ import annotations

import io
import re
import struct
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyVmomi import vim

from rehost import secrets
from rehost.blocks import Extent
from rehost.sources import ChangesUnknown, DiskUnreadable, Severity, SourceConfigInvalid
from rehost.sources.vsphere import _changes, _config, _privileges
from rehost.sources.vsphere._client import Client
from rehost.sources.vsphere._concerns import concerns
from rehost.sources.vsphere._config import Transport, VSphereConfig
from rehost.sources.vsphere._export import place_of
from rehost.sources.vsphere._folder import folder_path
from rehost.sources.vsphere._inventory import DiskRecord, MachineRecord, SnapshotEntry
from rehost.sources.vsphere._names import description, run_of, snapshot_name
from rehost.sources.vsphere._stream_vmdk import Stream, StreamDamaged
from sandbox import VSphere
from tests.sources.vcenter import CREDENTIALS, built, entry, opened

PAGE = Path(__file__).resolve().parents[2] / "docs" / "sources" / "vsphere.md"
TIB = 1 << 40

# What changed, as a vCenter may tell it


def answer(start: int, length: int, *areas: tuple[int, int]) -> SimpleNamespace:
    changed = [SimpleNamespace(start=at, length=count) for at, count in areas]
    return SimpleNamespace(startOffset=start, length=length, changedArea=changed)


def asked(*answers: SimpleNamespace, size: int = 1000) -> list[Extent]:
    """What comes of a vCenter that gives these answers, one after the other."""
    remaining = iter(answers)
    client = cast(Client, SimpleNamespace(call=lambda what, _doing: what()))
    machine = SimpleNamespace(QueryChangedDiskAreas=lambda *_: next(remaining))
    return list(_changes.areas(client, machine, None, 2000, "*", size=size, disk="scsi0-0"))


def test_pages_are_put_together() -> None:
    assert asked(answer(0, 600, (0, 10), (500, 100)), answer(600, 400, (600, 1))) == [
        Extent(0, 10),
        Extent(500, 100),
        Extent(600, 1),
    ]
    assert asked(answer(0, 1000)) == []


@pytest.mark.parametrize(
    "answers",
    [
        [answer(0, 0)],
        [answer(0, 500), answer(500, 0)],
        [answer(10, 990)],
        [answer(0, 500), answer(600, 400)],
        [answer(0, -5)],
        [answer(0, 1000, (990, 20))],
        [answer(0, 1000, (-1, 20))],
        [answer(0, 1000, (500, 10), (400, 10))],
        [answer(0, 1000, (5, 0))],
    ],
)
def test_an_answer_that_leaves_something_out_is_not_believed(answers: list[SimpleNamespace]) -> None:
    with pytest.raises(ChangesUnknown):
        asked(*answers)


@pytest.mark.parametrize(
    ("since", "now", "said"),
    [
        ("a/1", "b/2", "reset"),
        (None, "a/2", "was off when"),
        ("a/1", None, "is off"),
    ],
)
def test_positions_that_lead_to_no_answer(since: str | None, now: str | None, said: str) -> None:
    with pytest.raises(ChangesUnknown, match=said):
        _changes.check_since("d", str(_changes.Position(since, 512)), _changes.Position(now, 512))
    with pytest.raises(ChangesUnknown, match="size"):
        _changes.check_since("d", str(_changes.Position("a/1", 512)), _changes.Position("a/2", 1024))
    assert _changes.check_since("d", str(_changes.Position("a/1", 512)), _changes.Position("a/2", 512)) == "a/1"


# Concerns

CONFIG = VSphereConfig("vc", 443, CREDENTIALS["username"], CREDENTIALS["password"])
DISK = DiskRecord("scsi0-0", 2000, "Hard disk 1", 1 << 30, "[ds] a/a.vmdk", "persistent", "flat", False, "", None)
MACHINE = MachineRecord(
    moref="vm-1",
    name="a",
    folder="/DC/vm",
    datacenter="DC",
    host="h",
    uuid="u",
    instance_uuid="i",
    template=False,
    guest_id="debian12_64Guest",
    guest="Debian 12",
    firmware="bios",
    secure_boot=False,
    hardware_version="vmx-19",
    cpus=1,
    memory_mib=1024,
    power="poweredOn",
    connection="connected",
    tools_running=True,
    cbt_enabled=True,
    cbt_supported=True,
    encrypted=False,
    consolidation_needed=False,
    host_name="",
    address="",
    disks=[DISK],
    nics=[],
    devices=[],
)
SNAPSHOT = SnapshotEntry("snapshot-1", "before the update", "", 0.0, False)


def disk(**changes: Any) -> dict[str, Any]:
    return {"disks": [replace(DISK, **changes)]}


CASES: Mapping[str, tuple[dict[str, Any], dict[str, Any], Severity]] = {
    "template": ({"template": True}, {}, Severity.ERROR),
    "not-connected": ({"connection": "orphaned"}, {}, Severity.ERROR),
    "encrypted": ({"encrypted": True}, {}, Severity.WARNING),
    "no-tools": ({"tools_running": False}, {}, Severity.WARNING),
    "consolidation-needed": ({"consolidation_needed": True}, {}, Severity.WARNING),
    "secure-boot": ({"secure_boot": True}, {}, Severity.INFO),
    "cbt-unsupported": ({"cbt_enabled": False, "hardware_version": "vmx-04"}, {}, Severity.WARNING),
    "cbt-off": ({"cbt_enabled": False}, {}, Severity.WARNING),
    "cbt-will-be-enabled": ({"cbt_enabled": False}, {"enable_change_tracking": True}, Severity.INFO),
    "cbt-off-snapshots": (
        {"cbt_enabled": False, "snapshots": [SNAPSHOT]},
        {"enable_change_tracking": True},
        Severity.WARNING,
    ),
    "existing-snapshots": ({"snapshots": [SNAPSHOT]}, {"transport": Transport.HTTPS}, Severity.ERROR),
    "no-disks": ({"disks": []}, {}, Severity.ERROR),
    "rdm-disk": (disk(backing="rdm", mode="independent_persistent"), {}, Severity.ERROR),
    "independent-disk": (disk(mode="independent_nonpersistent"), {}, Severity.ERROR),
    "unknown-disk": (disk(backing="other"), {}, Severity.ERROR),
    "shared-disk": (disk(sharing="multi-writer"), {}, Severity.ERROR),
    "odd-size": (disk(size=1000), {}, Severity.ERROR),
    "disk-too-large": (disk(size=65 * TIB), {}, Severity.ERROR),
    "disk-too-large-for-import": (disk(size=17 * TIB), {}, Severity.WARNING),
    "too-many-disks": ({"disks": [DISK] * 22}, {}, Severity.WARNING),
    "sparse-disk": (disk(backing="sesparse"), {"transport": Transport.HTTPS}, Severity.ERROR),
    "usb-device": ({"devices": ["usb"]}, {}, Severity.WARNING),
    "passthrough-device": ({"devices": ["pci"]}, {}, Severity.WARNING),
    "vtpm": ({"devices": ["tpm"]}, {}, Severity.WARNING),
}


@pytest.mark.parametrize("name", CASES)
def test_each_concern(name: str) -> None:
    machine, config, severity = CASES[name]
    found = {each.id: each for each in concerns(replace(MACHINE, **machine), replace(CONFIG, **config))}
    assert found[name].severity is severity
    assert found[name].message
    assert found[name].remedy


def test_a_sound_machine_has_none() -> None:
    assert concerns(MACHINE, CONFIG) == []
    assert concerns(replace(MACHINE, power="poweredOff", tools_running=False), CONFIG) == []


def test_the_gravest_come_first() -> None:
    machine = replace(MACHINE, template=True, secure_boot=True, encrypted=True)
    order = [each.severity for each in concerns(machine, CONFIG)]
    assert order == sorted(order, key=list(Severity).index)


def test_our_own_snapshots_are_no_concern() -> None:
    own = SnapshotEntry("snapshot-2", snapshot_name("run-1"), description("run-1"), 0.0, False)
    assert run_of(own) == "run-1"
    assert concerns(replace(MACHINE, snapshots=[own]), CONFIG) == []
    for name, text in (("rehost-run-1", ""), ("rehost-run-1", "{}"), ("rehost-run-1", "[1]"), ("x", own.description)):
        assert run_of(replace(own, name=name, description=text)) is None


def test_the_page_has_each_concern_and_each_privilege() -> None:
    page = PAGE.read_text(encoding="utf-8")
    section = page.split("## Concerns")[1].split("## Limits")[0]
    assert set(re.findall(r"`([a-z]+(?:-[a-z]+)*)`", section)) >= {*CASES, "missing-privileges"}
    for group in (_privileges.ALWAYS, _privileges.TRACKING, _privileges.HTTPS, _privileges.EXPORT, _privileges.POWER):
        assert all(f"`{privilege}`" in page for privilege in group)


# Configuration


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"endpoint": "https://vc"}, "needs `endpoint`"),
        ({"endpoint": ""}, "needs `endpoint`"),
        ({"credentials": {"username": "root", "password": "hunter2"}}, "each a reference"),
        ({"transport": "nfs"}, "no transport 'nfs'"),
        ({"transport": "vddk"}, "needs `vddk"),
        ({"tls": {"thumbprint": "12:34"}}, "SHA-256"),
    ],
)
def test_wrong_configurations(change: dict[str, Any], said: str) -> None:
    good = {"type": "vsphere", "endpoint": "vc", "credentials": CREDENTIALS}
    with pytest.raises(SourceConfigInvalid, match=said) as refused:
        _config.parse(good | change, Path())
    assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize(
    ("endpoint", "host", "port"),
    [("vc.example.com", "vc.example.com", 443), ("10.0.0.5:8443", "10.0.0.5", 8443), ("[fd00::5]:1", "fd00::5", 1)],
)
def test_endpoints(endpoint: str, host: str, port: int) -> None:
    parsed = _config.parse({"endpoint": endpoint, "credentials": CREDENTIALS}, Path())
    assert (parsed.host, parsed.port) == (host, port)


def test_a_secret_is_never_repeated() -> None:
    for wrong in ("hunter2", {"env": "A", "ssmParameter": "hunter2"}, {"hunter2": "x"}, {}):
        with pytest.raises(secrets.SecretUnavailable) as refused:
            secrets.resolve(cast(Any, wrong))
        assert "hunter2" not in str(refused.value)


def test_kinds_of_secrets_that_a_process_does_not_know() -> None:
    with pytest.raises(secrets.SecretUnavailable, match="this process cannot resolve pulumiConfig"):
        secrets.resolve({"pulumiConfig": "vcPassword"})


# Paths and places


def test_both_names_of_a_folder_address_are_quoted_twice() -> None:
    path = folder_path("[store 1/a] web 01/web 01.vmdk", "east/DC & 1")
    assert path == ("/folder/web%2001/web%2001-flat.vmdk?dcPath=east%252FDC%2520%2526%25201&dsName=store%25201%252Fa")
    with pytest.raises(DiskUnreadable):
        folder_path("web.vmdk", "DC")


@pytest.mark.parametrize(
    ("key", "place"),
    [
        ("/vm-12/ParaVirtualSCSIController0:1", "scsi0-1"),
        ("/vm-12/VirtualLsiLogicController1:0", "scsi1-0"),
        ("/vm-12/VirtualAHCIController0:2", "sata0-2"),
        ("/vm-12/VirtualNVMEController0:0", "nvme0-0"),
        ("/vm-12/VirtualIDEController1:0", "ide1-0"),
        ("/vm-12/disk:0", ""),
        ("", ""),
    ],
)
def test_places_of_exported_disks(key: str, place: str) -> None:
    assert place_of(key) == place


# Streams

GRAIN = 128  # sectors


def header(capacity: int, overhead: int = 1, *, magic: bytes = b"KDMV", flags: int = 0x30001, method: int = 1) -> bytes:
    fields = (magic, 3, flags, capacity, GRAIN, 0, 0, 512, 0, 0, overhead, 0, b"\n \r\n", method)
    return struct.pack("<4sIIQQQQIQQQB4sH", *fields).ljust(512, b"\0")


def grain(sector: int, content: bytes) -> bytes:
    packed = zlib.compress(content)
    marked = struct.pack("<QI", sector, len(packed)) + packed
    return marked.ljust(-(-len(marked) // 512) * 512, b"\0")


def marker(sectors: int, kind: int) -> bytes:
    return struct.pack("<QII", sectors, 0, kind).ljust(512, b"\0") + bytes(sectors * 512)


END = marker(0, 0)


def decoded(stream: bytes) -> list[tuple[int, bytes]]:
    return list(Stream(io.BytesIO(stream)).grains())


def test_a_stream_is_decoded() -> None:
    content = bytes(range(256)) * 256
    short = b"x" * 512
    stream = header(GRAIN * 3 + 1, 4) + bytes(3 * 512) + grain(GRAIN, content) + marker(4, 1)
    stream += grain(GRAIN * 3, short) + marker(1, 2) + marker(1, 3) + END
    assert decoded(stream) == [(65536, content), (3 * 65536, short)]


def broken() -> Iterator[bytes]:
    good = header(GRAIN) + grain(0, bytes(65536)) + END
    yield from (good[:length] for length in (0, 100, 512, 700, 1024))
    yield header(GRAIN, magic=b"XXXX") + END
    yield header(GRAIN, flags=1) + END
    yield header(GRAIN, method=0) + END
    yield header(GRAIN, 1 << 30) + END
    yield header(GRAIN) + grain(GRAIN * 7, b"x") + END  # beyond the disk
    yield header(GRAIN) + struct.pack("<QI", 0, 600).ljust(1024, b"\xff") + END  # not deflated
    yield header(GRAIN) + struct.pack("<QI", 0, 1 << 31).ljust(512, b"\0") + END  # huge
    yield header(GRAIN) + struct.pack("<QII", 1 << 40, 0, 1).ljust(512, b"\0") + END  # an endless table


@pytest.mark.parametrize("stream", list(broken()))
def test_damaged_streams_are_found_out(stream: bytes) -> None:
    with pytest.raises(StreamDamaged):
        decoded(stream)


@given(st.binary(max_size=3000))
def test_any_bytes_behind_a_header_end_in_grains_or_an_error(rest: bytes) -> None:
    try:
        found = decoded(header(GRAIN * 2) + rest)
    except StreamDamaged:
        return
    assert all(0 <= offset < GRAIN * 2 * 512 and len(content) <= 65536 for offset, content in found)


def test_a_grain_that_unpacks_to_more_than_it_may_is_cut_off() -> None:
    [(_, content)] = decoded(header(GRAIN) + grain(0, bytes(10 << 20)) + END)
    assert len(content) == 65536


# Discovery


def test_discovery_asks_by_pages_and_not_by_machines(tmp_path: Path) -> None:
    with VSphere(tmp_path, built(), machines=450) as vcenter:
        before = sum(vcenter.state()["calls"].values())
        source = opened(entry(vcenter))
        found = list(source.discover())
        source.close()
        assert len(found) == len({each.name for each in found}) == 450
        assert all(each.disks and each.facts["host"] and each.facts["path"].startswith("/DC0/vm/") for each in found)
        assert sum(vcenter.state()["calls"].values()) - before < 15


# Custom attributes


def test_custom_attributes_are_tags_of_discovery(tmp_path: Path) -> None:
    with VSphere(tmp_path, built(), machines=2) as vcenter:
        source = opened(entry(vcenter))
        before = list(source.discover())
        client = source._client
        manager = client.content.customFieldsManager
        keys = {name: manager.AddFieldDefinition(name, vim.VirtualMachine).key for name in ("application", "stage")}
        target = client.managed(vim.VirtualMachine, before[0].facts["moref"])
        manager.SetField(target, keys["application"], "shop")
        found = {each.name: each.facts["tags"] for each in source.discover()}
        source.close()
    assert found == {before[0].name: {"application": "shop"}, before[1].name: {}}
