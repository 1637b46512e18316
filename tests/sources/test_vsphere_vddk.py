"""VDDK's command line and life, with a stand-in for the plugin: a program that takes nbdkit's arguments, checks the password that
comes through the pipe, and lets the real nbdkit serve the frozen file."""

from __future__ import annotations

import json
import os
import shutil
import stat
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from rehost.processes import is_running
from rehost.sources import DiskUnreadable, Quiesce
from rehost.sources.vsphere._vddk import command
from sandbox import VSphere
from sandbox._vsphere import PASSWORD, USER
from tests.sources.contract import SourceContract
from tests.sources.harness import INITIAL, Harness, whole
from tests.sources.vcenter import VCenterHarness, built, entry, opened

_STAND_IN = """\
#!{python} -I
import json, os, sys, urllib.request
arguments = sys.argv[1:]
values = dict(each.split("=", 1) for each in arguments if "=" in each)
with open({record!r}, "a") as file:
    file.write(json.dumps(dict(pid=os.getpid(), arguments=arguments, environment=sorted(os.environ.values()))) + "\\n")
with open(int(values["password"].removeprefix("+"))) as pipe:
    if pipe.readline() != {password!r} + "\\n":
        sys.exit("nbdkit: error: VixDiskLib_ConnectEx: Incorrect user name or password")
with urllib.request.urlopen({control!r} + "/state") as answer:
    files = json.load(answer)["frozenFiles"][values["snapshot"]]
name = values["file"].split("] ")[1].replace(".vmdk", "-flat.vmdk")
path = next(path for flat, path in files.items() if flat.endswith(name))
kept = [each for each in arguments if each.startswith("--")]
os.execvp("nbdkit", ["nbdkit", *kept, "file", path, "minblock=512", "maxdata=2M"])
"""


@pytest.fixture(scope="module")
def vcenter(tmp_path_factory: pytest.TempPathFactory) -> Iterator[VSphere]:
    with VSphere(tmp_path_factory.mktemp("vcenter"), built()) as simulated:
        yield simulated


@pytest.fixture
def record(tmp_path: Path) -> Path:
    return tmp_path / "calls"


@pytest.fixture
def stand_in(tmp_path: Path, vcenter: VSphere, record: Path) -> Path:
    if shutil.which("nbdkit") is None:
        pytest.skip("needs nbdkit: Debian package nbdkit")
    program = tmp_path / "nbdkit-stand-in"
    values = {"python": sys.executable, "record": str(record), "password": PASSWORD, "control": vcenter.control}
    program.write_text(_STAND_IN.format(**values))
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    return program


def options(stand_in: Path) -> dict[str, object]:
    return {"transport": "vddk", "vddk": {"libdir": "/opt/vddk", "nbdkit": str(stand_in)}}


class TestVddk(SourceContract):
    harness_type = VCenterHarness

    @pytest.fixture
    def site(self, tmp_path: Path, vcenter: VSphere, stand_in: Path) -> Iterator[Harness]:
        kind = type("VddkHarness", (VCenterHarness,), {"options": options(stand_in)})
        made = kind(tmp_path, vcenter)
        yield made
        made.close()


@pytest.fixture
def site(tmp_path: Path, vcenter: VSphere) -> Iterator[VCenterHarness]:
    made = VCenterHarness(tmp_path, vcenter)
    yield made
    made.close()


def test_the_command_line(site: VCenterHarness, stand_in: Path, record: Path) -> None:
    source = opened(entry(site.vcenter, **options(stand_in)))
    frozen = source.freeze(site.locator, quiesce=Quiesce.NONE, run="run-1")
    assert [whole(disk) for disk in frozen.disks] == list(INITIAL)
    calls = [json.loads(line) for line in record.read_text().splitlines()]
    assert len(calls) == 2
    for call in calls:
        assert is_running(call["pid"])
        arguments = Path(f"/proc/{call['pid']}/cmdline").read_text()
        assert PASSWORD not in arguments + str(call["arguments"])
    frozen.release()
    source.close()
    assert not any(is_running(call["pid"]) for call in calls)
    [snapshot] = {json.loads(frozen.token)["snapshot"]}
    expected = command(
        nbdkit=str(stand_in),
        libdir="/opt/vddk",
        host="127.0.0.1",
        port=int(site.vcenter.endpoint.rpartition(":")[2]),
        user=USER,
        thumbprint="*",
        moref=site.machine.moref,
        snapshot=snapshot,
        file=json.loads(frozen.token)["disks"][0]["file"],
    )[1:]
    for wanted, given in zip(expected, calls[0]["arguments"], strict=True):
        name, _, value = wanted.partition("=")
        assert given.startswith(name)
        if name == "thumbprint":
            assert len(given.removeprefix("thumbprint=").replace(":", "")) == 40
        elif "{" not in value:
            assert given == wanted


def test_nbdkit_that_dies_is_started_again(site: VCenterHarness, stand_in: Path, record: Path) -> None:
    source = opened(entry(site.vcenter, **options(stand_in)))
    frozen = source.freeze(site.locator, quiesce=Quiesce.NONE, run="run-1")
    assert whole(frozen.disks[1]) == INITIAL[1]
    pid = json.loads(record.read_text())["pid"]
    os.kill(pid, 9)
    reader = source._readers[-1]
    site.wait(lambda: not reader._servers["scsi0-1"].alive)  # type: ignore[attr-defined]
    assert whole(frozen.disks[1]) == INITIAL[1]
    frozen.release()
    source.close()


def test_what_nbdkit_says_is_in_the_error(
    site: VCenterHarness, stand_in: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = opened(entry(site.vcenter, **options(stand_in)))
    frozen = source.freeze(site.locator, quiesce=Quiesce.NONE, run="run-1")
    monkeypatch.setenv("TEST_VC_PASSWORD", "hunter2")
    with pytest.raises(DiskUnreadable, match="Incorrect user name or password") as refused:
        whole(frozen.disks[0])
    assert "hunter2" not in str(refused.value)
    frozen.release()
    source.close()


def test_nbdkit_that_is_not_there(site: VCenterHarness, tmp_path: Path) -> None:
    source = opened(entry(site.vcenter, **options(tmp_path / "no-nbdkit")))
    frozen = source.freeze(site.locator, quiesce=Quiesce.NONE, run="run-1")
    with pytest.raises(DiskUnreadable, match="no-nbdkit"):
        whole(frozen.disks[0])
    frozen.release()
    source.close()


def test_auto_takes_vddk_before_an_export(site: VCenterHarness, stand_in: Path) -> None:
    source = opened(entry(site.vcenter, **(options(stand_in) | {"transport": "auto"})))
    site.vcenter.http_fault(path="disk0-flat", status=404)
    frozen = source.freeze(site.locator, quiesce=Quiesce.NONE, run="run-1")
    assert '"transport": "vddk"' in frozen.token
    assert whole(frozen.disks[0]) == INITIAL[0]
    frozen.release()
    source.close()
