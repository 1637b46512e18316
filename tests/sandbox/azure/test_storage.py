"""Reads of a managed disk by its URL: ranges, pages of ranges, differences, the footer, and what goes wrong."""

from __future__ import annotations

import base64
import hashlib
import random
import struct
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from typing import Any

import pytest
import urllib3
from azure.core.exceptions import HttpResponseError

from sandbox.azure import AzureCloud, MachineHandle
from sandbox.azure._vhd import footer
from tests.sandbox.azure.conftest import MIB, Client, refused

PAGES = "&comp=pagelist"


@pytest.fixture
def machine(cloud: AzureCloud) -> MachineHandle:
    return cloud.add_machine("web", [4 * MIB])


@pytest.fixture
def pool(cloud: AzureCloud) -> Iterator[urllib3.PoolManager]:
    with urllib3.PoolManager(ca_certs=str(cloud.ca), retries=False) as made:
        yield made


def taken(client: Client, machine: MachineHandle, name: str) -> str:
    client.snapshot(name, machine.disks[0].id)
    return client.access(name)


def ranges(answer: Any, kind: str = "PageRange") -> list[tuple[int, int]]:
    assert answer.status == 200, answer.data
    found = ElementTree.fromstring(answer.data).iter(kind)
    return [(int(each.findtext("Start", "")), int(each.findtext("End", "")) + 1) for each in found]


def test_the_footer_is_a_fixed_vhds(client: Client, machine: MachineHandle) -> None:
    blob = client.blob(taken(client, machine, "one"))
    found = blob.get_blob_properties()
    assert (found.size, found.blob_type) == (4 * MIB + 512, "PageBlob")
    raw = blob.download_blob(4 * MIB, 512).readall()
    assert raw[:8] == b"conectix"
    assert struct.unpack(">QQ", raw[40:56]) == (4 * MIB, 4 * MIB)
    assert struct.unpack(">I", raw[60:64]) == (2,)
    wanted = ~sum(raw[:64] + bytes(4) + raw[68:]) & 0xFFFFFFFF
    assert struct.unpack(">I", raw[64:68]) == (wanted,)


@pytest.mark.parametrize(
    ("size", "geometry"),
    [(4 * MIB, (120, 4, 17)), (1 << 30, (2080, 16, 63)), (127 << 30, (65278, 16, 255)), (4 << 40, (65535, 16, 255))],
)
def test_the_geometry_is_the_specifications(size: int, geometry: tuple[int, int, int], machine: MachineHandle) -> None:
    raw = footer(size, machine.disks[0].pages.identity, 0)
    assert struct.unpack(">HBB", raw[56:60]) == geometry


def test_what_is_read_is_what_was_written(client: Client, machine: MachineHandle) -> None:
    source = random.Random(7)
    model = bytearray(4 * MIB)
    for _ in range(20):
        offset = source.randrange(4 * MIB - 9000)
        data = source.randbytes(source.randrange(1, 9000))
        machine.write(0, offset, data)
        model[offset : offset + len(data)] = data
    machine.zero(0, 65536, 4096)
    model[65536 : 65536 + 4096] = bytes(4096)
    url = taken(client, machine, "one")
    machine.write(0, 0, b"later")
    assert client.blob(url).download_blob(0, 4 * MIB).readall() == bytes(model)


def test_ranges_and_what_is_beyond_them(client: Client, machine: MachineHandle, pool: urllib3.PoolManager) -> None:
    machine.write(0, MIB, b"x" * 1024)
    url = taken(client, machine, "one")
    answer = pool.request("GET", url, headers={"Range": f"bytes={MIB + 1000}-{MIB + 1030}"})
    assert (answer.status, answer.data) == (206, b"x" * 24 + bytes(7))
    assert answer.headers["Content-Range"] == f"bytes {MIB + 1000}-{MIB + 1030}/{4 * MIB + 512}"
    both = {"Range": "bytes=0-0", "x-ms-range": "bytes=4194304-9999999"}
    answer = pool.request("GET", url, headers=both)
    assert (answer.status, len(answer.data)) == (206, 512)
    answer = pool.request("GET", url, headers={"Range": f"bytes={4 * MIB + 512}-"})
    assert (answer.status, answer.headers["x-ms-error-code"]) == (416, "InvalidRange")
    answer = pool.request(
        "GET", url, headers={"Range": f"bytes={MIB}-{MIB + 511}", "x-ms-range-get-content-md5": "true"}
    )
    assert answer.headers["Content-MD5"] == base64.b64encode(hashlib.md5(answer.data).digest()).decode()
    answer = pool.request("GET", url, headers={"Range": f"bytes=0-{4 * MIB}", "x-ms-range-get-content-md5": "true"})
    assert answer.status == 400
    answer = pool.request("PUT", url, body=b"")
    assert (answer.status, answer.headers["x-ms-error-code"]) == (403, "AuthorizationPermissionMismatch")


def test_page_ranges_in_pages(client: Client, machine: MachineHandle, pool: urllib3.PoolManager) -> None:
    for number in range(5):
        machine.write(0, number * 8192, b"x" * 4096)
    url = taken(client, machine, "one")
    wanted = [*((number * 8192, number * 8192 + 4096) for number in range(5)), (4 * MIB, 4 * MIB + 512)]
    assert ranges(pool.request("GET", url + PAGES)) == wanted
    found, marker, asked = [], "", 0
    while asked == 0 or marker:
        answer = pool.request("GET", f"{url}{PAGES}&maxresults=4&marker={marker}")
        found += ranges(answer)
        marker = ElementTree.fromstring(answer.data).findtext("NextMarker") or ""
        asked += 1
    assert (found, asked) == (wanted, 2)
    part = pool.request("GET", url + PAGES, headers={"x-ms-range": "bytes=2048-10239"})
    assert ranges(part) == [(2048, 4096), (8192, 10240)]
    assert pool.request("GET", f"{url}{PAGES}&maxresults=0").status == 400
    listed = client.blob(url).list_page_ranges(results_per_page=4)
    assert [(each.start, (each.end or 0) + 1) for each in listed] == wanted


def test_the_difference_of_two_snapshots(client: Client, machine: MachineHandle, pool: urllib3.PoolManager) -> None:
    machine.write(0, 0, b"a" * 65536)
    first = taken(client, machine, "one")
    machine.write(0, 4096, b"b" * 4096)
    machine.zero(0, 16384, 8192)
    machine.write(0, MIB, b"c" * 512)
    second = taken(client, machine, "two")
    machine.write(0, MIB, b"d" * 512)
    machine.zero(0, MIB, 512)
    third = taken(client, machine, "three")

    def since(url: str, previous: str, **headers: str) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
        answer = pool.request("GET", url + PAGES, headers={"x-ms-previous-snapshot-url": previous, **headers})
        return ranges(answer), ranges(answer, "ClearRange")

    assert since(second, first) == ([(4096, 8192), (MIB, MIB + 512)], [(16384, 24576)])
    assert since(third, second) == ([], [(MIB, MIB + 512)])
    assert since(third, first) == ([(4096, 8192)], [(16384, 24576)])
    assert since(second, first, Range="bytes=6144-18431") == ([(6144, 8192)], [(16384, 18432)])
    assert since(second, second) == ([], [])
    changed, cleared = client.blob(second).get_page_range_diff_for_managed_disk(first)
    assert ([each["start"] for each in changed], [each["start"] for each in cleared]) == ([4096, MIB], [16384])
    answer = pool.request("GET", first + PAGES, headers={"x-ms-previous-snapshot-url": second})
    assert (answer.status, answer.headers["x-ms-error-code"]) == (400, "PreviousSnapshotCannotBeNewer")


def test_the_difference_outlives_a_snapshot_between(
    cloud: AzureCloud, client: Client, machine: MachineHandle, pool: urllib3.PoolManager
) -> None:
    first = taken(client, machine, "one")
    machine.write(0, 0, b"a" * 512)
    client.snapshot("two", machine.disks[0].id)
    machine.write(0, 8192, b"b" * 512)
    cloud.delete_snapshot("two")
    third = taken(client, machine, "three")
    answer = pool.request("GET", third + PAGES, headers={"x-ms-previous-snapshot-url": first})
    assert ranges(answer) == [(0, 512), (8192, 8704)]
    cloud.delete_snapshot("one")
    answer = pool.request("GET", third + PAGES, headers={"x-ms-previous-snapshot-url": first})
    assert answer.status == 403


def test_a_grown_disk(client: Client, machine: MachineHandle, pool: urllib3.PoolManager) -> None:
    first = taken(client, machine, "one")
    machine.resize(0, 6 * MIB)
    machine.write(0, 5 * MIB, b"new" * 1024)
    second = taken(client, machine, "two")
    assert client.compute.snapshots.get("migration", "one").disk_size_bytes == 4 * MIB
    assert client.compute.snapshots.get("migration", "two").disk_size_bytes == 6 * MIB
    answer = pool.request("GET", second + PAGES, headers={"x-ms-previous-snapshot-url": first})
    assert ranges(answer) == [(5 * MIB, 5 * MIB + 3072), (6 * MIB, 6 * MIB + 512)]
    assert ranges(answer, "ClearRange") == [(4 * MIB, 4 * MIB + 512)]
    machine.resize(0, (4 << 40) + MIB)
    third = taken(client, machine, "three")
    answer = pool.request("GET", third + PAGES, headers={"x-ms-previous-snapshot-url": second})
    assert (answer.status, answer.headers["x-ms-error-code"]) == (409, "PreviousSnapshotOperationNotSupported")


def test_another_disks_snapshot_is_no_previous_one(
    cloud: AzureCloud, client: Client, machine: MachineHandle, pool: urllib3.PoolManager
) -> None:
    other = taken(client, cloud.add_machine("db", [MIB]), "other")
    url = taken(client, machine, "one")
    answer = pool.request("GET", url + PAGES, headers={"x-ms-previous-snapshot-url": other})
    assert (answer.status, answer.headers["x-ms-error-code"]) == (409, "PreviousSnapshotNotFound")


def test_a_url_that_was_changed(client: Client, machine: MachineHandle, pool: urllib3.PoolManager) -> None:
    url = taken(client, machine, "one")
    for wrong in (
        url[:-4] + "AA%3D",
        url.replace("sr=b", "sr=c"),
        url.replace("/abcd", "/abce"),
        url.partition("?")[0],
    ):
        answer = pool.request("HEAD", wrong)
        assert (answer.status, answer.headers["x-ms-error-code"]) == (403, "AuthenticationFailed")


def test_storage_is_busy_and_bodies_end_early(
    cloud: AzureCloud, client: Client, machine: MachineHandle, pool: urllib3.PoolManager
) -> None:
    machine.write(0, 0, b"x" * MIB)
    url = taken(client, machine, "one")
    busy = cloud.fault("throttle", call="storage/get", count=2)
    answers = [pool.request("GET", url, headers={"Range": "bytes=0-511"}).status for _ in range(3)]
    assert (answers, busy.hits) == ([503, 503, 206], 2)
    cloud.fault("cut", call="storage/get", bytes=300_000)
    with pytest.raises(urllib3.exceptions.HTTPError):
        pool.request("GET", url, headers={"Range": f"bytes=0-{MIB - 1}"})
    assert len(pool.request("GET", url, headers={"Range": f"bytes=0-{MIB - 1}"}).data) == MIB


def test_access_is_taken_away_in_the_middle(cloud: AzureCloud, client: Client, machine: MachineHandle) -> None:
    blob = client.blob(taken(client, machine, "one"))
    blob.download_blob(0, 512).readall()
    cloud.revoke_access()
    with pytest.raises(HttpResponseError) as error:
        blob.download_blob(0, 512).readall()
    assert refused(error) == (403, "AuthenticationFailed")


def test_a_snapshot_is_deleted_in_the_middle(cloud: AzureCloud, client: Client, machine: MachineHandle) -> None:
    blob = client.blob(taken(client, machine, "one"))
    cloud.fault("meanwhile", call="storage/get", after=1, then=lambda: cloud.delete_snapshot("one"))
    blob.download_blob(0, 512).readall()
    with pytest.raises(HttpResponseError) as error:
        blob.download_blob(0, 512).readall()
    assert refused(error) == (403, "AuthenticationFailed")
    assert cloud.state()["snapshots"] == cloud.state()["access"] == []
