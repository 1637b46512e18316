"""The pure parts of the azure source: configuration, kinds of points in time, concerns, lists of ranges, names."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from rehost.blocks import Extent
from rehost.concerns import KINDS
from rehost.sources import Quiesce, SourceConfigInvalid
from rehost.sources.azure import _concerns, _config, _names, _pages, _vhd
from rehost.sources.azure._records import DiskRecord, MachineRecord, SizeRecord
from rehost.sources.azure._ways import Way, choose

SUBSCRIPTION = "0b1f6471-1bf0-4dda-aec3-cb9272f09590"
PRINCIPAL = {"method": "servicePrincipal", "tenant": "t", "clientId": "c", "clientSecret": {"env": "X"}}
OS, DATA = DiskRecord("os", "os", "/os", 1 << 30), DiskRecord("lun0", "data", "/data", 1 << 30)
MACHINE = MachineRecord(
    id="/vm",
    name="web-01",
    group="shop",
    location="westeurope",
    zone="",
    size_name="Standard_D4s_v5",
    size=SizeRecord(4, 16384),
    generation="V2",
    security="",
    secure_boot=False,
    vtpm=False,
    power="running",
    agent=True,
    os_type="Linux",
    guest="ubuntu",
    host_name="web-01",
    plan="",
    license="",
    disks=[OS, DATA],
)
ULTRA = replace(MACHINE, disks=[OS, replace(DATA, sku="UltraSSD_LRS")])


def test_nothing_of_azure_is_imported_before_a_source_of_it() -> None:
    program = "import sys, rehost.sources; print([name for name in sys.modules if name.startswith(('azure', 'msal'))])"
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_the_generated_clients_are_not_imported() -> None:
    """They alone take more memory than a connector has."""
    program = "import sys, rehost.sources.azure; print([name for name in sys.modules if name.startswith('azure.mgmt')])"
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout == "[]\n"


@pytest.mark.parametrize(
    ("entry", "told"),
    [
        ({"subscription": "x", "auth": PRINCIPAL}, "GUID"),
        ({"subscription": SUBSCRIPTION}, "auth"),
        (
            {"subscription": SUBSCRIPTION, "auth": {"method": "password"}},
            "password.*servicePrincipal, managedIdentity, cli",
        ),
        ({"subscription": SUBSCRIPTION, "auth": {"method": "servicePrincipal"}}, "tenant"),
        ({"subscription": SUBSCRIPTION, "auth": PRINCIPAL | {"certificateFile": "a"}}, "one of"),
        ({"subscription": SUBSCRIPTION, "auth": PRINCIPAL | {"clientSecret": "hunter2"}}, "a reference"),
        ({"subscription": SUBSCRIPTION, "auth": PRINCIPAL, "cloud": "Mars"}, "Mars"),
        ({"subscription": SUBSCRIPTION, "auth": PRINCIPAL, "endpoints": {"authority": "http://a"}}, "https://"),
        ({"subscription": SUBSCRIPTION, "auth": PRINCIPAL, "accessDuration": 5}, "accessDuration"),
        ({"subscription": SUBSCRIPTION, "auth": PRINCIPAL, "powerOff": "burn"}, "stop, deallocate"),
    ],
)
def test_a_wrong_entry_is_refused(entry: dict[str, Any], told: str) -> None:
    with pytest.raises(SourceConfigInvalid, match=told) as refused:
        _config.parse(entry, Path())
    assert "hunter2" not in str(refused.value)


def test_a_cloud_has_its_endpoints() -> None:
    entry = {"subscription": SUBSCRIPTION, "auth": PRINCIPAL, "cloud": "AzureChinaCloud"}
    config = _config.parse(entry, Path())
    assert config.endpoints.authority == "https://login.chinacloudapi.cn"
    assert "X" not in repr(config)


@pytest.mark.parametrize(
    ("machine", "quiesce", "keeps", "way"),
    [
        (replace(MACHINE, disks=[OS]), Quiesce.NONE, None, Way.SNAPSHOTS),
        (replace(MACHINE, disks=[OS]), Quiesce.TRY, None, Way.APPLICATION),
        (MACHINE, Quiesce.NONE, None, Way.CRASH),
        (MACHINE, Quiesce.TRY, None, Way.APPLICATION),
        (replace(MACHINE, agent=False), Quiesce.TRY, None, Way.CRASH),
        (ULTRA, Quiesce.NONE, None, Way.APPLICATION),
        (replace(ULTRA, agent=False), Quiesce.NONE, None, None),
        (replace(MACHINE, size=SizeRecord(premium=False), agent=False), Quiesce.NONE, None, None),
        (replace(MACHINE, power="stopped"), Quiesce.TRY, None, Way.CRASH),
        (replace(MACHINE, power="stopped"), Quiesce.TRY, Way.SNAPSHOTS, Way.SNAPSHOTS),
        (replace(MACHINE, power="deallocated", disks=[OS]), Quiesce.TRY, Way.CRASH, Way.CRASH),
        (replace(ULTRA, power="deallocated"), Quiesce.NONE, None, Way.SNAPSHOTS),
    ],
)
def test_the_kind_of_point_in_time(
    machine: MachineRecord, quiesce: Quiesce, keeps: Way | None, way: Way | None
) -> None:
    assert choose(machine, quiesce, keeps=keeps) is way


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, {"azure-restore-points"}),
        ({"vtpm": True, "secure_boot": True, "disks": [OS]}, {"vtpm", "secure-boot"}),
        ({"agent": False, "disks": [OS]}, {"azure-no-agent"}),
        ({"power": "deallocated"}, {"azure-off"}),
        ({"plan": "acme/box/pro", "license": "Windows_Server", "disks": [OS]}, {"azure-marketplace", "azure-license"}),
        (
            {"size": SizeRecord(architecture="Arm64", temporary_mib=1), "disks": [OS]},
            {"azure-arm64", "azure-temporary-disk"},
        ),
        ({"disks": [replace(OS, id="")]}, {"azure-unmanaged-disk"}),
        ({"disks": [replace(OS, encryption="EncryptionAtRestWithCustomerKey")]}, {"azure-customer-key"}),
        (
            {"disks": [replace(OS, network_access="AllowPrivate", sector_size=4096)]},
            {"azure-private-export", "azure-4k-sectors"},
        ),
        ({"disks": [replace(OS, size=17 << 40)]}, {"disk-too-large-for-import"}),
        ({"disks": [replace(OS, size=65 << 40)]}, {"disk-too-large"}),
        ({"disks": [replace(OS, security="ConfidentialVM_DiskEncryptedWithPlatformKey")]}, {"azure-confidential-disk"}),
        ({"disks": [OS, replace(DATA, caching="ReadWrite")]}, {"azure-restore-points", "azure-write-cache"}),
        ({"disks": [OS, DATA, DATA], "size_name": "Standard_D4as_v7"}, {"azure-restore-points", "azure-disks-apart"}),
        ({"disks": [OS, DATA, DATA], "size_name": "Standard_D4as_v6"}, {"azure-restore-points"}),
        ({"disks": [OS, DATA, DATA], "size_name": "Standard_E8ds_v6"}, {"azure-restore-points", "azure-disks-apart"}),
        (
            {"disks": ULTRA.disks, "agent": False},
            {"azure-no-common-moment", "azure-no-agent", "azure-restore-points", "azure-slow-snapshot"},
        ),
    ],
)
def test_concerns(changes: dict[str, Any], expected: set[str]) -> None:
    found = _concerns.concerns(replace(MACHINE, **changes))
    assert {each.id for each in found} == expected
    assert all(KINDS[each.id].severity == each.severity.value for each in found)


def test_ranges_are_merged_and_end_with_the_disk() -> None:
    ranges = [Extent(0, 512), Extent(512, 512), Extent(2048, 512), Extent(2048, 1024), Extent(4096, 1024)]
    assert list(_pages.merged(ranges, 4608)) == [Extent(0, 1024), Extent(2048, 1024), Extent(4096, 512)]
    assert list(_pages.merged([Extent(4608, 512)], 4608)) == []
    with pytest.raises(ValueError, match="after byte"):
        list(_pages.merged([Extent(4096, 512), Extent(0, 512)], 1 << 20))


@pytest.mark.parametrize(
    "span", ["<Start>0</Start>", "<Start>1</Start><End>511</End>", "<Start>512</Start><End>511</End>"]
)
def test_a_range_that_is_none_is_refused(span: str) -> None:
    with pytest.raises(ValueError, match="range"):
        _pages.parse(f"<PageList><PageRange>{span}</PageRange></PageList>".encode())


def test_the_footer_is_not_part_of_the_disk() -> None:
    footer = b"conectix".ljust(512, b"\0")
    assert _vhd.disk_size((1 << 20) + 512, footer) == 1 << 20
    for size, tail in ((1 << 20, b"\0" * 512), (512, footer), ((1 << 20) + 513, footer)):
        with pytest.raises(ValueError, match="footer"):
            _vhd.disk_size(size, tail)


def test_names_fit_and_tell_machines_apart() -> None:
    one, other = (_names.snapshot_name("run-1", "os", each) for each in ("/a", "/b"))
    assert one != other
    assert len(_names.snapshot_name("r" * 200, "lun63", "/a")) == 80
    assert _names.digest("/A/b") == _names.digest("/a/B")
    assert _names.point_name("a/b c", "/vm").startswith("rehost-a-b-c-")
