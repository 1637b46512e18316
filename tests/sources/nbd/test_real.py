"""The client against qemu-nbd and nbdkit."""

from __future__ import annotations

import itertools
import random
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from rehost.blocks import Extent
from rehost.sources.nbd import NbdClient, NbdError, NbdRefused, NbdRequestFailed, NbdUnavailable
from tests.sources.nbd.relay import relay
from tests.sources.nbd.servers import running
from tests.sources.qemu_machine import make_disk, need

MIB = 1 << 20
CONTENT = {0: random.Random(1).randbytes(MIB), 5 * MIB: random.Random(2).randbytes(700_000), 15 * MIB: b"end" * 10_000}
SIZE = 16 * MIB


def whole() -> bytes:
    content = bytearray(SIZE)
    for offset, data in CONTENT.items():
        content[offset : offset + len(data)] = data
    return bytes(content)


def read(client: NbdClient, offset: int, length: int) -> bytes:
    buffer = bytearray(length)
    done = 0
    with memoryview(buffer) as view:
        while done < length and (got := client.read_into(offset + done, view[done:])):
            done += got
    return bytes(buffer[:done])


@pytest.fixture(params=["qemu-nbd qcow2", "qemu-nbd raw", "nbdkit", "nbdkit without structured replies"])
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    kind, at = str(request.param), tmp_path / "s"
    suffix = "qcow2" if "qcow2" in kind else "raw"
    disk = make_disk(tmp_path / f"a.{suffix}", SIZE, CONTENT)
    if kind.startswith("qemu-nbd"):
        options: list[str | Path] = [
            "--read-only",
            "--persistent",
            "--shared=8",
            "-f",
            suffix,
            "-x",
            "disk",
            "-k",
            at,
            disk,
        ]
        with running("qemu-nbd", "qemu-utils", options, at) as path:
            yield path
    else:
        options = ["--foreground", "--readonly", "--unix", at, "-e", "disk"]
        options += ["--no-sr"] if "without" in kind else []
        with running("nbdkit", "nbdkit", [*options, "file", disk], at) as path:
            yield path


def test_it_reads_what_is_there(server: Path) -> None:
    with NbdClient(server, "disk") as client:
        assert client.size == SIZE
        assert read(client, 0, SIZE + 4096) == whole()
        assert read(client, 777, 1001) == whole()[777:1778]
        assert client.read_into(SIZE, memoryview(bytearray(512))) == 0


def test_many_threads_share_few_connections(server: Path) -> None:
    expected = whole()
    with NbdClient(server, "disk", connections=2) as client, ThreadPoolExecutor(8) as pool:
        places = list(range(0, SIZE, 256 * 1024)) * 3
        for at, part in zip(places, pool.map(lambda at: read(client, at, 256 * 1024), places), strict=True):
            assert part == expected[at : at + 256 * 1024]


def test_what_is_allocated_holds_all_the_data(server: Path, request: pytest.FixtureRequest) -> None:
    with NbdClient(server, "disk") as client:
        if "without" in request.node.name:
            with pytest.raises(NbdRefused, match="block status"):
                list(client.allocated())
            return
        extents = list(client.allocated())
        content = bytearray(SIZE)
        for extent in extents:
            content[extent.offset : extent.end] = read(client, extent.offset, extent.length)
        assert bytes(content) == whole()
        assert sum(extent.length for extent in extents) < 3 * MIB
        assert all(before.end < after.offset for before, after in itertools.pairwise(extents))


def test_an_export_that_is_not_there(server: Path, request: pytest.FixtureRequest) -> None:
    with NbdClient(server, "other") as client:
        if "nbdkit" in request.node.name:  # its file plugin takes any name
            assert client.size == SIZE
            return
        with pytest.raises(NbdRefused, match="no such export"):
            _ = client.size


def test_a_context_that_is_not_there(server: Path) -> None:
    with NbdClient(server, "disk") as client, pytest.raises(NbdRefused):
        list(client.dirty("nothing"))


def test_the_dirty_bitmap_of_an_image(tmp_path: Path) -> None:
    disk, at = make_disk(tmp_path / "a.qcow2", SIZE, CONTENT), tmp_path / "s"
    subprocess.run([need("qemu-img", "qemu-utils"), "bitmap", "--add", str(disk), "b"], check=True)
    subprocess.run([need("qemu-io", "qemu-utils"), "-c", "write 3M 100k", str(disk)], check=True, capture_output=True)
    options: list[str | Path] = ["--read-only", "--persistent", "--shared=4", "-f", "qcow2", "-B", "b", "-k", at, disk]
    with running("qemu-nbd", "qemu-utils", options, at), NbdClient(at) as client:
        assert list(client.dirty("b")) == [Extent(3 * MIB, 128 * 1024)]


def test_a_failed_read_leaves_the_connection_usable(tmp_path: Path) -> None:
    disk, at = make_disk(tmp_path / "a.raw", SIZE, CONTENT), tmp_path / "s"
    trigger = tmp_path / "fail"
    trigger.touch()
    options: list[str | Path] = ["--foreground", "--readonly", "--unix", at, "--filter=error", "file", disk]
    options += ["error-pread-rate=100%", f"error-file={trigger}", "error=EIO"]
    with running("nbdkit", "nbdkit", options, at), NbdClient(at) as client:
        with pytest.raises(NbdRequestFailed, match="Input/output error") as failed:
            read(client, 0, 4096)
        assert failed.value.retryable
        trigger.unlink()
        assert read(client, 0, 4096) == whole()[:4096]


def test_a_server_that_comes_back_is_connected_to_again(tmp_path: Path) -> None:
    disk, at = make_disk(tmp_path / "a.raw", SIZE, CONTENT), tmp_path / "s"
    options: list[str | Path] = ["--read-only", "--persistent", "-f", "raw", "-k", at, disk]
    with NbdClient(at) as client:
        with running("qemu-nbd", "qemu-utils", options, at):
            assert read(client, 0, 4096) == whole()[:4096]
        with pytest.raises(NbdUnavailable) as gone:
            read(client, 0, 4096)
        assert gone.value.retryable
        at.unlink(missing_ok=True)
        with running("qemu-nbd", "qemu-utils", options, at):
            assert read(client, 0, 4096) == whole()[:4096]


def test_tcp(tmp_path: Path) -> None:
    disk = make_disk(tmp_path / "a.raw", SIZE, CONTENT)
    at = tmp_path / "s"
    options: list[str | Path] = ["--read-only", "--persistent", "--shared=4", "-f", "raw", "-k", at, disk]
    # A relay on a port that the system chooses: qemu-nbd cannot say which port it would have been given.
    with running("qemu-nbd", "qemu-utils", options, at), relay(at) as address, NbdClient(address) as client:
        assert read(client, 0, SIZE) == whole()


def test_nobody_there(tmp_path: Path) -> None:
    with pytest.raises(NbdError, match="cannot be reached"):
        _ = NbdClient(tmp_path / "s").size
