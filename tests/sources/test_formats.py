"""Images in other formats than raw, packages of them, and images that mean harm."""

from __future__ import annotations

import json
import os
import struct
import subprocess
import sys
import time
from pathlib import Path

import pytest

from rehost.processes import is_running
from rehost.sources import DiskUnsuitable, ImagesSource, Quiesce, SourceChanged, SourceError
from rehost.sources._image_layers import layers_of
from tests.sources.contract import SourceContract
from tests.sources.formats import FORMATS, OVF, Qcow2Harness, make, make_ova, qemu_img
from tests.sources.harness import INITIAL, KIB, MIB, Harness, freeze, restored, whole
from tests.sources.images import ROOT, open_images, sparse

CONTENT = INITIAL[0][: 3 * MIB]  # some formats round a size up to their own unit


class TestQcow2(SourceContract):
    harness_type = Qcow2Harness

    def test_the_times_of_any_file_count(self, site: Harness) -> None:
        frozen = freeze(site)
        path = site.folder / ROOT / "web-01" / "0-root.qcow2"
        os.utime(path)
        with pytest.raises(SourceChanged):
            frozen.check()
        frozen.release()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / ROOT
    made.mkdir()
    return made


@pytest.fixture
def source(tmp_path: Path) -> ImagesSource:
    return open_images(str(tmp_path), copying=False)


def contents(source: ImagesSource, locator: dict[str, object]) -> list[bytes]:
    frozen = source.freeze(locator, quiesce=Quiesce.NONE, run="run-1")
    try:
        for disk in frozen.disks:
            assert restored(list(disk.extents(None)), disk, b"") == whole(disk)
        return [whole(disk) for disk in frozen.disks]
    finally:
        frozen.release()


@pytest.mark.parametrize("kind", FORMATS)
def test_each_format_reads_as_the_disk_it_is(folder: Path, source: ImagesSource, kind: str) -> None:
    path = make(folder, "web-01", kind, CONTENT)
    [found] = source.discover()
    assert (found.name, found.facts) == ("web-01", {})
    assert [disk.size for disk in found.disks] == [len(CONTENT)]
    assert found.disks[0].format == kind.partition("-")[0]
    assert contents(source, {"path": path.name}) == contents(source, {"name": "web-01"}) == [CONTENT]


def test_without_the_programs_the_package_is_named(
    folder: Path, source: ImagesSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(folder, "web-01", "qcow2", CONTENT)
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(
        DiskUnsuitable, match="it is in qcow2 format, and qemu-img is not installed; Debian package qemu-utils"
    ):
        source.inspect({"name": "web-01"})


def test_a_chain_of_backing_files_is_read_flattened(folder: Path, source: ImagesSource) -> None:
    sparse(folder / "base.img", CONTENT)
    qemu_img("create", "-f", "qcow2", "-b", "base.img", "-F", "raw", folder / "middle.qcow2")
    (folder / "sub").mkdir()
    qemu_img("create", "-f", "qcow2", "-b", "../middle.qcow2", "-F", "qcow2", folder / "sub" / "top.qcow2")
    write(folder / "middle.qcow2", 64 * KIB, 1)
    write(folder / "sub" / "top.qcow2", 2 * MIB, 2)
    expected = bytearray(CONTENT)
    expected[64 * KIB : 128 * KIB] = b"\1" * 64 * KIB
    expected[2 * MIB : 2 * MIB + 64 * KIB] = b"\2" * 64 * KIB
    assert contents(source, {"name": "sub"}) == [bytes(expected)]
    assert [server.name for server in source.discover()] == ["middle", "sub"], "a backing file is no server of its own"


def test_a_write_to_any_layer_is_found_out(folder: Path, source: ImagesSource) -> None:
    base = make(folder, "base", "qcow2", CONTENT)
    qemu_img("create", "-f", "qcow2", "-b", "base.qcow2", "-F", "qcow2", folder / "top.qcow2")
    frozen = source.freeze({"name": "top"}, quiesce=Quiesce.NONE, run="run-1")
    with base.open("r+b") as file:
        file.seek(0, os.SEEK_END)
        file.write(bytes(512))
    with pytest.raises(SourceChanged, match=r"base\.qcow2 changed"):
        frozen.check()
    frozen.release()


def write(image: Path, offset: int, pattern: int) -> None:
    command = ["qemu-io", "-f", "qcow2", "-c", f"write -P {pattern} {offset} 64k", str(image)]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL, capture_output=True)


def test_the_files_of_a_split_disk_are_one_disk(folder: Path, source: ImagesSource) -> None:
    (folder / "web-01").mkdir()
    make(folder / "web-01", "disk", "vmdk-split", CONTENT)
    for name in ("web-01.vmx", "web-01.nvram", "vmware.log"):
        (folder / "web-01" / name).write_text("not a disk")
    assert [disk.key for disk in source.inspect({"name": "web-01"}).disks] == ["disk.vmdk"]
    assert contents(source, {"name": "web-01"}) == [CONTENT]


# Packages


def test_an_ovf_says_which_files_are_disks_and_in_which_order(folder: Path, source: ImagesSource) -> None:
    server = folder / "web-01"
    server.mkdir()
    root, data = make(server, "b", "vmdk-stream", CONTENT), make(server, "a", "vmdk-stream", INITIAL[1])
    (server / "web-01.ovf").write_text(OVF.format(root=root.name, data=data.name))
    (server / "tools.iso").write_bytes(bytes(2048))
    for locator in ({"name": "web-01"}, {"path": "web-01/web-01.ovf"}):
        assert [disk.key for disk in source.inspect(locator).disks] == ["b.vmdk", "a.vmdk"]
    assert contents(source, {"name": "web-01"}) == [CONTENT, INITIAL[1]]


@pytest.fixture
def ova(folder: Path) -> Path:
    disks = {name: make(folder, name, "vmdk-stream", data) for name, data in (("root", CONTENT), ("data", INITIAL[1]))}
    members = {"web.ovf": OVF.format(root="root.vmdk", data="data.vmdk").encode()}
    members |= {path.name: path.read_bytes() for path in disks.values()}
    for path in disks.values():
        path.unlink()
    return make_ova(folder / "web-01.ova", members)


def test_an_ova_is_read_without_unpacking_it(ova: Path, source: ImagesSource) -> None:
    [found] = source.discover()
    assert [(disk.key, disk.format) for disk in found.disks] == [("root.vmdk", "vmdk"), ("data.vmdk", "vmdk")]
    assert contents(source, {"path": ova.name}) == [CONTENT, INITIAL[1]]


def test_the_disks_of_an_ova_reopen(ova: Path, source: ImagesSource) -> None:
    frozen = source.freeze({"name": "web-01"}, quiesce=Quiesce.NONE, run="run-1")
    frozen.close()
    again = source.reopen(frozen.token)
    assert [whole(disk) for disk in again.disks] == [CONTENT, INITIAL[1]]
    again.check()
    again.release()


@pytest.mark.parametrize(
    ("members", "said"),
    [
        ({"a.vmdk": b"x"}, "0 OVF descriptors"),
        ({"a.ovf": b"<Envelope/>", "b.ovf": b"<Envelope/>"}, "2 OVF descriptors"),
        ({"a.ovf": b"<Envelope"}, "no XML"),
        ({"a.ovf": b"<Envelope/>"}, "no disks"),
        ({"a.ovf": b'<!DOCTYPE x [<!ENTITY a "aaaa">]><Envelope/>'}, "document type"),
        ({"a.ovf": OVF.format(root="root.vmdk", data="../../etc/passwd").encode(), "root.vmdk": b"x"}, "not in it"),
        ({"a.ovf": OVF.replace('ovf:href="{root}"', 'ovf:href="r" ovf:compression="gzip"').encode()}, "compressed"),
        ({f"{number}": b"" for number in range(1100)}, "more than 1000 members"),
    ],
    ids=["none", "two", "no XML", "empty", "entities", "away", "compressed", "many"],
)
def test_packages_that_are_none(folder: Path, source: ImagesSource, members: dict[str, bytes], said: str) -> None:
    make_ova(folder / "web-01.ova", members)
    with pytest.raises(DiskUnsuitable, match=said):
        source.inspect({"name": "web-01"})


def test_an_ovf_that_leads_away(folder: Path, source: ImagesSource) -> None:
    (folder / "web-01").mkdir()
    (folder / "web-01" / "x.ovf").write_text(OVF.format(root="../../secret", data="../../secret"))
    (folder.parent / "secret").write_bytes(bytes(512))
    with pytest.raises(SourceError, match="leads out of the source's folder"):
        source.inspect({"name": "web-01"})


# Images that mean harm


def rebased(folder: Path, name: str) -> Path:
    """A qcow2 whose header names `name` as its backing file, whatever that is."""
    path = make(folder, "evil", "qcow2", CONTENT)
    qemu_img("rebase", "-u", "-b", name, "-F", "raw", path)
    return path


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("/etc/hostname", "leads out of the source's folder"),
        ("../secret", "leads out of the source's folder"),
        ("json:{}", "which is no file beside it"),
        ("nbd:localhost:1", "which is no file beside it"),
        ("https://127.0.0.1/x", "which is no file beside it"),
        ("fat:rw:/etc", "which is no file beside it"),
        ("nothing.raw", "does not exist"),
        ("evil.qcow2", "in a circle"),
        ("link", "leads out of the source's folder"),
    ],
)
def test_a_backing_file_elsewhere_is_refused(folder: Path, source: ImagesSource, name: str, said: str) -> None:
    (folder.parent / "secret").write_bytes(b"secret".ljust(512))
    (folder / "link").symlink_to(folder.parent / "secret")
    rebased(folder, name)
    with pytest.raises(SourceError, match=said):
        source.inspect({"path": "evil.qcow2"})
    with pytest.raises(SourceError, match=said):
        source.freeze({"path": "evil.qcow2"}, quiesce=Quiesce.NONE, run="run-1")


def test_qemu_gets_no_name_to_follow(folder: Path) -> None:
    """The chain is spelled out with its formats: a raw base that looks like a qcow2 stays raw, and ends the chain."""
    inner = rebased(folder, "base.raw").rename(folder / "inner")
    base = folder / "base.raw"
    sparse(base, CONTENT)
    layers = layers_of(inner, folder)
    assert layers.files == (inner, base)
    assert layers.node["backing"] == {"driver": "raw", "file": {"driver": "file", "filename": str(base)}}
    whole_one = make(folder, "whole", "qcow2", CONTENT)
    assert json.loads(layers_of(whole_one, folder).filename.removeprefix("json:"))["backing"] is None


def test_data_in_another_file_is_refused(folder: Path, source: ImagesSource) -> None:
    sparse(folder.parent / "secret", CONTENT)
    qemu_img(
        "create",
        "-f",
        "qcow2",
        "-o",
        f"data_file={folder.parent / 'secret'},data_file_raw=on",
        folder / "x.qcow2",
        "3M",
    )
    with pytest.raises(DiskUnsuitable, match="its data lies in another file"):
        source.inspect({"name": "x"})


def vmdk(extent: str, *, parent: str = "") -> str:
    return f"# Disk DescriptorFile\nversion=1\nCID=fffffffe\nparentCID={'12345678' if parent else 'ffffffff'}\n{parent}\n{extent}\n"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (vmdk('RW 1 FLAT "/etc/hostname" 0'), "leads out of the source's folder"),
        (vmdk('RW 1 FLAT "../secret" 0'), "leads out of the source's folder"),
        (vmdk('RW 1 FLAT "nbd://127.0.0.1/x" 0'), "no file beside it"),
        (vmdk('RW 1 VMFSRDM "x-rdm.vmdk"'), "type VMFSRDM"),
        (vmdk('RW 1 FLAT "gone-flat.vmdk" 0'), "does not exist"),
        (vmdk('RW 1 FLAT "web.vmdk" 0', parent='parentFileNameHint="/etc/hostname"'), "leads out of"),
        (vmdk('RW 1 FLAT "web.vmdk" 0', parent="x=1"), "does not say of which"),
        (vmdk('RW 1 FLAT "web.vmdk" 0\n' * 5000), "extents"),
        (vmdk("x" * (2 << 20)), "too long"),
    ],
)
def test_a_vmdk_descriptor_that_leads_away(folder: Path, source: ImagesSource, text: str, said: str) -> None:
    (folder.parent / "secret").write_bytes(bytes(512))
    (folder / "web.vmdk").write_text(text)
    with pytest.raises(SourceError, match=said):
        source.inspect({"name": "web"})


def test_a_descriptor_within_a_sparse_vmdk_is_looked_at_too(folder: Path, source: ImagesSource) -> None:
    """With a capacity of 0, QEMU takes the embedded descriptor for the whole disk, and follows it."""
    header = struct.pack("<4sIIQQQQ", b"KDMV", 1, 3, 0, 128, 1, 2).ljust(512, b"\0")
    text = vmdk('RW 1 FLAT "/etc/hostname" 0\nRW 1 FLAT "/etc/hostname" 0').encode().ljust(1024, b"\0")
    (folder / "web.vmdk").write_bytes(header + text)
    with pytest.raises(SourceError, match="leads out of"):
        source.inspect({"name": "web"})


def test_a_differencing_vhd_is_refused(folder: Path, source: ImagesSource) -> None:
    path = make(folder, "web", "vhd-dynamic", CONTENT)
    with path.open("r+b") as file:
        file.seek(60)
        file.write(struct.pack(">I", 4))
    with pytest.raises(DiskUnsuitable, match="differencing disk"):
        source.inspect({"name": "web"})


def test_a_server_that_ends_in_the_middle_is_started_again(folder: Path, source: ImagesSource) -> None:
    make(folder, "web", "qcow2", CONTENT)
    frozen = source.freeze({"name": "web"}, quiesce=Quiesce.NONE, run="run-1")
    disk = frozen.disks[0]
    assert whole(disk) == CONTENT
    process = disk._server._process  # type: ignore[union-attr]
    assert process is not None
    process.kill()
    process.wait()
    with pytest.raises(SourceError) as failed:
        whole(disk)
    assert failed.value.retryable
    assert whole(disk) == CONTENT
    frozen.release()
    assert process.poll() is not None


def test_qemu_nbd_ends_with_whoever_started_it(folder: Path, tmp_path: Path) -> None:
    make(folder, "web", "qcow2", CONTENT)
    code = (
        "import os, signal, sys; from pathlib import Path\n"
        "from rehost.sources import Quiesce, open_source\n"
        "source = open_source({'type': 'images', 'path': sys.argv[1]}, base=Path('.'))\n"
        "disk = source.freeze({'name': 'web'}, quiesce=Quiesce.NONE, run='r').disks[0]\n"
        "disk.read_into(0, memoryview(bytearray(512)))\n"
        "print(disk._server._process.pid, flush=True); os.kill(os.getpid(), signal.SIGKILL)"
    )
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", code, str(folder)], stdout=subprocess.PIPE, text=True, env=environment, check=False
    )
    pid = int(done.stdout)
    deadline = time.monotonic() + 20
    while is_running(pid):
        assert time.monotonic() < deadline
        time.sleep(0.02)
