"""What the `images` source adds to the contract: locators, files that are no disks, holes, clones."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from rehost.blocks import Extent
from rehost.sources import (
    DiskMissing,
    DiskUnsuitable,
    FreezeLost,
    ImagesSource,
    Locator,
    LocatorInvalid,
    Quiesce,
    ServerNotFound,
    SourceChanged,
    SourceConfigInvalid,
    SourceError,
    SourceUnavailable,
    open_source,
)
from tests.sources.contract import SourceContract
from tests.sources.harness import INITIAL, whole
from tests.sources.images import ROOT, ClonesHarness, ImagesHarness, copy, no_clone, open_images, reflinks, sparse

MIB = 1 << 20


class TestImages(SourceContract):
    harness_type = ImagesHarness


class TestClones(SourceContract):
    harness_type = ClonesHarness


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The source's folder, with nothing in it."""
    made = tmp_path / ROOT
    made.mkdir()
    return made


@pytest.fixture
def source(tmp_path: Path) -> ImagesSource:
    return open_images(str(tmp_path), copying=False)


def disk_at(path: Path, size: int = MIB) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    sparse(path, f"{path.name:<512}".encode() + bytes(size - 512))
    return path


def keys(source: ImagesSource, locator: Locator) -> list[str]:
    return [disk.key for disk in source.inspect(locator).disks]


# Locators


def test_the_ways_to_name_a_server(folder: Path, source: ImagesSource) -> None:
    disk_at(folder / "web-01.raw")
    disk_at(folder / "db" / "b-data.raw")
    disk_at(folder / "db" / "a-root.raw")
    assert keys(source, {"name": "web-01"}) == keys(source, {"path": "web-01.raw"}) == ["web-01.raw"]
    assert keys(source, {"name": "web-01.raw"}) == ["web-01.raw"]
    assert keys(source, {"name": "db"}) == keys(source, {"path": "db"}) == ["a-root.raw", "b-data.raw"]
    assert keys(source, {"disks": ["db/b-data.raw", "web-01.raw"]}) == ["b-data.raw", "web-01.raw"]
    assert keys(source, {"path": str(folder / "web-01.raw")}) == ["web-01.raw"]


def test_two_files_of_one_name(folder: Path, source: ImagesSource) -> None:
    disk_at(folder / "a" / "root.raw")
    disk_at(folder / "b" / "root.raw")
    disk_at(folder / "web.raw")
    disk_at(folder / "web.img")
    assert keys(source, {"disks": ["a/root.raw", "b/root.raw"]}) == ["a:root.raw", "b:root.raw"]
    assert [server.name for server in source.discover()] == ["a", "b", "web.img", "web.raw"]
    with pytest.raises(ServerNotFound):
        source.inspect({"name": "web"})


def test_the_same_file_twice(folder: Path, source: ImagesSource) -> None:
    disk_at(folder / "a.raw")
    (folder / "b.raw").symlink_to("a.raw")
    with pytest.raises(LocatorInvalid, match="two of its disks are the same file"):
        source.inspect({"disks": ["a.raw", "b.raw"]})


def test_an_unknown_name_gets_those_there_are(folder: Path, source: ImagesSource) -> None:
    for name in ("web-01", "web-02"):
        disk_at(folder / f"{name}.raw")
    with pytest.raises(ServerNotFound, match=r"'web-1'.*its servers are: web-01, web-02$"):
        source.inspect({"name": "web-1"})
    with pytest.raises(ServerNotFound):
        source.inspect({"name": 1})


@pytest.mark.parametrize(
    "locator",
    [
        {"path": "../outside.raw"},
        {"path": "link-to-file.raw"},
        {"path": "link-to-folder"},
        {"path": "link-to-folder/outside.raw"},
        {"path": "sub/../../outside.raw"},
        {"name": "link-to-file"},
        {"disks": ["good.raw", "../outside.raw"]},
        {"path": "/etc/passwd"},
    ],
    ids=str,
)
def test_nothing_outside_the_folder_is_read(folder: Path, source: ImagesSource, locator: Locator) -> None:
    disk_at(folder.parent / "outside.raw")
    disk_at(folder.parent / "outside" / "outside.raw")
    disk_at(folder / "good.raw")
    (folder / "sub").mkdir()
    (folder / "link-to-file.raw").symlink_to("../outside.raw")
    (folder / "link-to-folder").symlink_to("../outside")
    with pytest.raises(LocatorInvalid, match="leads out of the source's folder"):
        source.inspect(locator)
    with pytest.raises(LocatorInvalid):
        source.freeze(locator, quiesce=Quiesce.NONE, run="run-1")


def test_links_within_the_folder_work(folder: Path, source: ImagesSource) -> None:
    disk_at(folder / "store" / "v7.raw")
    (folder / "web.raw").symlink_to("store/v7.raw")
    frozen = source.freeze({"path": "web.raw"}, quiesce=Quiesce.NONE, run="run-1")
    assert frozen.disks[0].key == "web.raw", "the key must not change with what the link leads to"
    assert whole(frozen.disks[0])[:6] == b"v7.raw"
    frozen.release()


def test_a_link_to_nothing_and_a_loop(folder: Path, source: ImagesSource) -> None:
    (folder / "gone.raw").symlink_to("nothing.raw")
    (folder / "loop.raw").symlink_to("loop.raw")
    with pytest.raises(DiskMissing):
        source.inspect({"path": "gone.raw"})
    with pytest.raises(SourceError):
        source.inspect({"path": "loop.raw"})


# What is no disk


def test_a_missing_file(folder: Path, source: ImagesSource) -> None:
    with pytest.raises(DiskMissing, match=r"exports/web\.raw does not exist; correct the server's locator"):
        source.inspect({"path": "web.raw"})
    disk_at(folder / "web.raw")
    with pytest.raises(DiskMissing):
        source.inspect({"path": "web.raw/below"})
    (folder / "empty").mkdir()
    with pytest.raises(DiskMissing):
        source.inspect({"path": "empty"})


@pytest.mark.parametrize(
    ("size", "said"),
    [
        (0, "it is empty"),
        (1, "its size of 1 bytes is not a multiple of 512; pad it with zeros: truncate -s %512 web.raw"),
        (513, "not a multiple of 512"),
        (MIB - 1, "not a multiple of 512"),
        ((64 << 40) + 512, "above 64 TiB"),
    ],
)
def test_sizes_that_do_not_fit(folder: Path, source: ImagesSource, size: int, said: str) -> None:
    path = folder / "web.raw"
    path.touch()
    try:
        os.truncate(path, size)
    except OSError as error:
        pytest.skip(f"this file system holds no file of {size} bytes: {error.strerror}")
    for refusing in (source.inspect, lambda at: source.freeze(at, quiesce=Quiesce.NONE, run="run-1")):
        with pytest.raises(DiskUnsuitable) as refused:
            refusing({"path": "web.raw"})
        assert said in str(refused.value)


def test_the_advice_on_sizes_works(folder: Path, source: ImagesSource) -> None:
    path = folder / "web.raw"
    path.write_bytes(b"x" * 1000)
    with pytest.raises(DiskUnsuitable, match="truncate -s %512"):
        source.inspect({"path": "web.raw"})
    subprocess.run(["truncate", "-s", "%512", "web.raw"], cwd=folder, check=True)
    assert source.inspect({"path": "web.raw"}).disks[0].size == 1024


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"QFI\xfb" + bytes(508), "it is in qcow2 format, and QEMU cannot open it: Unsupported qcow2 version 0"),
        (b"KDMV" + bytes(508), "it is in vmdk format, and QEMU cannot open it"),
        (b"# Disk DescriptorFile\nversion=1\n", "vmdk"),
        (b"vhdxfile" + bytes(504), "vhdx"),
        (bytes(1024) + b"conectix" + bytes(504), "vhd"),
        (b"\x1f\x8b\x08" + bytes(509), "it is compressed (gzip); unpack it first"),
        (b"\xfd7zXZ\0" + bytes(506), "xz"),
        (bytes(0x40) + b"\x7f\x10\xda\xbe" + bytes(512 - 0x44), "vdi"),
    ],
    ids=["qcow2", "vmdk", "vmdk-text", "vhdx", "vhd", "gzip", "xz", "vdi"],
)
def test_files_that_are_no_images_whatever_they_begin_with(
    folder: Path, source: ImagesSource, content: bytes, said: str
) -> None:
    (folder / "web.raw").write_bytes(content)
    with pytest.raises(DiskUnsuitable) as refused:
        source.inspect({"path": "web.raw"})
    assert said in str(refused.value)


def test_what_is_no_file(folder: Path, source: ImagesSource) -> None:
    os.mkfifo(folder / "fifo.raw")
    listening = socket.socket(socket.AF_UNIX)
    # A socket's path is short by nature.
    here = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        listening.bind(f"/proc/self/fd/{here}/socket.raw")
    finally:
        os.close(here)
        listening.close()
    (folder / "tree" / "deeper").mkdir(parents=True)
    for name, said in (("fifo.raw", "FIFO"), ("socket.raw", "socket")):
        with pytest.raises(DiskUnsuitable, match=said):
            source.inspect({"path": name})
    with pytest.raises(DiskUnsuitable, match="it is a folder"):
        source.inspect({"disks": ["tree"]})
    (folder / "null.raw").symlink_to("/dev/null")
    with pytest.raises(LocatorInvalid):
        source.inspect({"path": "null.raw"})


def test_an_unreadable_file(folder: Path, tmp_path: Path) -> None:
    disk_at(folder / "web.raw").chmod(0)
    said = as_nobody(tmp_path, {"path": "web.raw"})
    assert said.startswith("DiskUnreadable")
    assert "permission denied to uid" in said


def test_an_unreadable_folder(folder: Path, tmp_path: Path) -> None:
    disk_at(folder / "web.raw")
    folder.chmod(0o711)
    said = as_nobody(tmp_path, {"name": "web"})
    folder.chmod(0o755)
    assert said.startswith("SourceUnavailable")
    assert "let it list the folder" in said


def as_nobody(base: Path, locator: Locator) -> str:
    """What `inspect` raises to a user without any right: root, whom no mode stops, becomes one in a process of its own."""
    for path in (base, *base.parents):
        if path.stat().st_uid == os.geteuid() and not path.stat().st_mode & 0o001:
            path.chmod(path.stat().st_mode | 0o011)
    program = (
        "import os, sys\nfrom pathlib import Path\nfrom rehost.sources import *\n"
        "if os.geteuid() == 0: os.setgid(65534); os.setuid(65534)\n"
        f"try: ImagesSource({{'path': {ROOT!r}}}, base=Path({str(base)!r})).inspect({dict(locator)!r})\n"
        "except SourceError as error: print(type(error).__name__, error)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


# Configuration


@pytest.mark.parametrize("config", [{}, {"path": ""}, {"path": 1}], ids=str)
def test_a_wrong_configuration(tmp_path: Path, config: dict[str, object]) -> None:
    with pytest.raises(SourceConfigInvalid, match="needs `path`"):
        open_source({"type": "images"} | config, base=tmp_path)


def test_an_unknown_type(tmp_path: Path) -> None:
    with pytest.raises(SourceConfigInvalid, match="no source type 'imags'; did you mean images"):
        open_source({"type": "imags"}, base=tmp_path)


def test_a_folder_that_is_not_there_and_one_that_is_a_file(tmp_path: Path) -> None:
    source = open_source({"type": "images", "path": "none"}, base=tmp_path)
    with pytest.raises(SourceUnavailable, match="does not exist; correct the source's `path`") as refused:
        list(source.discover())
    assert refused.value.retryable
    (tmp_path / "none").touch()
    with pytest.raises(SourceUnavailable, match="it is a file"):
        list(source.discover())


def test_discovery_says_what_is_wrong_with_a_server(folder: Path, source: ImagesSource) -> None:
    disk_at(folder / "good.raw")
    (folder / "odd.raw").write_bytes(b"x")
    (folder / ".hidden.raw").write_bytes(b"x")
    (folder / "out.raw").symlink_to("/etc/passwd")
    found = {server.name: server for server in source.discover()}
    assert sorted(found) == ["good", "odd", "out"]
    assert not found["good"].facts
    assert "not a multiple of 512" in found["odd"].facts["problem"]
    assert "leads out of" in found["out"].facts["problem"]


# Points in time


def test_holes_are_not_read(folder: Path, source: ImagesSource) -> None:
    path = folder / "web.raw"
    with path.open("wb") as file:
        file.truncate(64 * MIB)
        for at in (MIB, 40 * MIB):
            file.seek(at)
            file.write(b"data" * 1024)
    frozen = source.freeze({"name": "web"}, quiesce=Quiesce.NONE, run="run-1")
    extents = list(frozen.disks[0].extents(None))
    frozen.release()
    if path.stat().st_blocks * 512 >= 64 * MIB:
        pytest.skip("this file system keeps no holes")
    assert extents == [Extent(MIB, 4096), Extent(40 * MIB, 4096)]


def test_nothing_but_a_hole(folder: Path, source: ImagesSource) -> None:
    os.truncate(path := disk_at(folder / "web.raw"), 0)
    os.truncate(path, MIB)
    frozen = source.freeze({"name": "web"}, quiesce=Quiesce.NONE, run="run-1")
    assert list(frozen.disks[0].extents(None)) == []
    frozen.release()


def test_a_file_written_to_without_pause_is_refused(folder: Path, tmp_path: Path) -> None:
    path = disk_at(folder / "web.raw")
    source = ImagesSource({"path": ROOT}, base=tmp_path, clone=no_clone, settle_timeout=0.2)
    stop, started = threading.Event(), threading.Event()

    def keep_writing() -> None:
        with path.open("r+b", buffering=0) as file:
            while not stop.is_set():
                os.pwrite(file.fileno(), b"x", 0)
                started.set()

    writer = threading.Thread(target=keep_writing)
    writer.start()
    try:
        assert started.wait(30)
        with pytest.raises(SourceChanged, match="stop what writes to it") as refused:
            source.freeze({"name": "web"}, quiesce=Quiesce.NONE, run="run-1")
        assert refused.value.path == str(path)
    finally:
        stop.set()
        writer.join(30)


@pytest.mark.parametrize("change", ["write", "same bytes", "truncate", "mtime set back", "unlinked", "renamed over"])
def test_a_file_that_changes_while_it_is_read(folder: Path, source: ImagesSource, change: str) -> None:
    path = disk_at(folder / "web.raw")
    frozen = source.freeze({"name": "web"}, quiesce=Quiesce.NONE, run="run-1")
    frozen.disks[0].read_into(0, memoryview(bytearray(4096)))
    frozen.check()
    stat = path.stat()
    if change == "truncate":
        os.truncate(path, MIB // 2)
    elif change == "unlinked":
        path.unlink()
    elif change == "renamed over":
        disk_at(folder / "new.raw").rename(path)
    else:
        with path.open("r+b") as file:
            file.write(path.read_bytes()[:1] if change == "same bytes" else b"other")
        if change == "mtime set back":
            os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    with pytest.raises(SourceChanged):
        frozen.check()
    frozen.release()


def test_a_file_that_became_shorter_is_no_end_of_disk(folder: Path, source: ImagesSource) -> None:
    path = disk_at(folder / "web.raw")
    frozen = source.freeze({"name": "web"}, quiesce=Quiesce.NONE, run="run-1")
    os.truncate(path, 4096)
    with pytest.raises(SourceChanged, match="it became shorter"):
        whole(frozen.disks[0])
    frozen.release()


def test_reading_what_is_closed(folder: Path, source: ImagesSource) -> None:
    disk_at(folder / "web.raw")
    frozen = source.freeze({"name": "web"}, quiesce=Quiesce.NONE, run="run-1")
    frozen.close()
    for call in (frozen.check, lambda: whole(frozen.disks[0]), lambda: list(frozen.disks[0].extents(None))):
        with pytest.raises(ValueError, match="reopen its point in time first"):
            call()


def test_real_reflinks(folder: Path, tmp_path: Path) -> None:
    if not reflinks(folder):
        pytest.skip("the file system of pytest's temporary folder has no reflinks, which XFS and Btrfs have")
    path = disk_at(folder / "web.raw")
    source = open_source({"type": "images", "path": ROOT}, base=tmp_path)
    frozen = source.freeze({"name": "web"}, quiesce=Quiesce.NONE, run="run-1")
    before = path.read_bytes()
    path.write_bytes(b"later" * 1024)
    assert whole(frozen.disks[0]) == before
    frozen.check()
    frozen.release()
    assert [found.name for found in folder.iterdir()] == ["web.raw"]


def test_a_folder_that_may_not_be_written_to_gets_no_clones(folder: Path, tmp_path: Path) -> None:
    disk_at(folder / "web.raw")

    def full(_source: int, _target: int) -> None:
        raise OSError(28, "No space left on device")

    source = ImagesSource({"path": ROOT}, base=tmp_path, clone=full)
    frozen = source.freeze({"name": "web"}, quiesce=Quiesce.NONE, run="run-1")
    assert [found.name for found in folder.iterdir()] == ["web.raw"]
    frozen.release()
    assert (folder / "web.raw").exists()


def test_what_a_killed_freeze_left_is_replaced(tmp_path: Path) -> None:
    """Killed between its first clone and its state file: nothing but the name of the run leads to that clone."""
    site = ClonesHarness(tmp_path)
    calls = []

    def dies(source: int, target: int) -> None:
        copy(source, target)
        calls.append(target)
        if len(calls) == 2:
            raise KeyboardInterrupt

    source = ImagesSource({"path": ROOT}, base=tmp_path, clone=dies)
    with pytest.raises(KeyboardInterrupt):
        source.freeze(site.locator, quiesce=Quiesce.NONE, run="run-1")
    assert site.made()
    site.write(0, 0, b"later")
    frozen = site.source.freeze(site.locator, quiesce=Quiesce.NONE, run="run-1")
    assert whole(frozen.disks[0])[:5] == b"later"
    frozen.release()
    assert site.made() == []


def test_a_clone_that_was_written_to_is_no_point_in_time(tmp_path: Path) -> None:
    site = ClonesHarness(tmp_path)
    frozen = site.source.freeze(site.locator, quiesce=Quiesce.NONE, run="run-1")
    [clone, *_] = site.server.glob(".*.clone")
    clone.chmod(0o600)
    with clone.open("r+b") as file:
        file.write(b"tampered")
    with pytest.raises(SourceChanged):
        frozen.check()
    frozen.close()
    with pytest.raises(FreezeLost):
        site.source.reopen(frozen.token)
    assert site.made() == []


def test_a_token_removes_nothing_that_is_not_its_own(tmp_path: Path) -> None:
    """A token comes back from a database that others can write to."""
    site = ClonesHarness(tmp_path)
    outside = disk_at(tmp_path / ".rehost-outside.clone")
    frozen = site.source.freeze(site.locator, quiesce=Quiesce.NONE, run="run-1")
    frozen.close()
    clone = str(next(site.server.glob(".*.clone")))
    for victim in (str(outside), str(site.paths[1]), f"{site.server}/../../{outside.name}", str(tmp_path / ROOT)):
        forged = frozen.token.replace(clone, victim)
        assert forged != frozen.token
        with pytest.raises(FreezeLost):
            site.source.reopen(forged)
    assert outside.exists()
    assert [path.read_bytes() for path in site.paths] == list(INITIAL)
    site.source.reopen(frozen.token).release()


def test_names_of_runs_become_names_of_files_safely(tmp_path: Path) -> None:
    site = ClonesHarness(tmp_path)
    for run in ("../../run", "a/b", "x" * 300, "läuft", ".", "..", ""):
        frozen = site.source.freeze(site.locator, quiesce=Quiesce.NONE, run=run)
        assert len(site.made()) == 3, run
        assert all(Path(made).parent == site.server for made in site.made()), run
        frozen.release()
        assert site.made() == []


def test_clones_are_no_servers(tmp_path: Path) -> None:
    site = ClonesHarness(tmp_path)
    before = list(site.source.discover())
    frozen = site.source.freeze(site.locator, quiesce=Quiesce.NONE, run="run-1")
    assert list(site.source.discover()) == before
    frozen.release()
