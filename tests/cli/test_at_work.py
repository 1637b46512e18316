"""The command on a control plane with a server in it: tables, JSON, runs, verification."""

from __future__ import annotations

import re
import signal

from tests.connector.conftest import MIB, Site

from .conftest import Command

At = tuple[Site, Command]


def test_status_run_and_verify(replicated: At) -> None:
    site, rehost = replicated
    image = site.control.jobs.list()[0].latest_image_id

    assert image
    table = rehost("status")
    assert (table.code, table.err) == (0, "")
    header, row, connector = table.out.splitlines()
    assert header.split("  ")[0] == "server"
    assert row.startswith("web-01")
    assert image in row
    assert re.match(r"connector \S+: pid \d+ on ", connector)

    found = rehost("status", "web-01", "--json").json
    parts = {"applications", "jobs", "validations", "post_launch_actions", "connectors", "notifications"}
    assert found.keys() == parts | {"now", "log"}
    (job,) = found["jobs"]
    assert (job["server"], job["state"], job["stack"]) == ("web-01", "COMPLETED", site.stack)
    (run,) = job["runs"]
    assert run["state"] == "COMPLETED"
    (disk,) = run["disks"]
    assert (disk["bytes"], disk["sent_blocks"], disk["allocated_bytes"]) == (256 * MIB, 4, 640 * 1024)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", run["completed_at"])
    assert [each["image_id"] for each in job["images"]] == [image]

    site.write(range(1), seed=2)
    said = rehost("run", "web-01")
    assert said.code == 0
    assert re.fullmatch(
        r"web-01: image ami-\w+  sent 1 blocks, 512 KiB of 640 KiB allocated \(80\.0%\), in [\d.]+ s\n", said.out
    )
    assert all(line.startswith("web-01: ") for line in said.err.splitlines())
    (ended,) = rehost("run", "web-01", "--json").json["runs"]
    assert (ended["server"], ended["state"]) == ("web-01", "COMPLETED")

    said = rehost("verify", "--source")
    assert said.code == 0
    assert re.search(r"^web-01 +web-01\.raw +snap-\w+ .* same +same", said.out, re.MULTILINE)
    (server,) = rehost("verify", "web-01", "--json").json["servers"]
    assert server["ok"]
    assert [disk["verified"] for disk in server["disks"]] == [True]

    for manifest in (site.folder / "state" / "manifests").iterdir():
        manifest.unlink()
    said = rehost("verify", "web-01")
    assert said.code == 3
    assert "DIFFERS" in said.out


def test_an_unknown_server_is_answered_with_the_nearest(replicated: At) -> None:
    _, rehost = replicated
    for arguments in (["run", "web-1"], ["status", "web-1"], ["verify", "web-1"]):
        said = rehost(*arguments)
        assert (said.code, said.out) == (2, "")
        assert said.err == "error: there is no replication job for 'web-1'; did you mean web-01?\n"
    assert "known servers: web-01" in rehost("run", "mainframe").err


def test_a_failed_run_ends_with_1_and_its_reason(replicated: At) -> None:
    site, rehost = replicated
    site.disk.unlink()
    said = rehost("run", "web-01")
    assert (said.code, said.out) == (1, "")
    assert re.search(r"^web-01: FAILED .*web-01\.raw does not exist", said.err, re.MULTILINE)
    failed = rehost("status")
    assert "does not exist; correct the server's locator or put the file there" in failed.out, "nothing is cut off"


def test_ctrl_c_ends_the_watching_with_130_and_not_the_run(replicated: At) -> None:
    site, rehost = replicated
    site.write(range(4), seed=3)
    site.sandbox.fault(action="latency", service="ebs", operation="PutSnapshotBlock", seconds=10)
    watching = rehost.start("run", "web-01")
    assert watching.stderr is not None
    assert watching.stdout is not None
    for line in watching.stderr:
        if "copy" in line:
            break
    watching.send_signal(signal.SIGINT)
    _, err = watching.communicate(timeout=60)
    assert watching.returncode == 130
    assert err.splitlines()[-1].startswith("no longer watched")
    site.sandbox.clear_faults()
    job = site.control.jobs.list()[0]
    site.wait(lambda: site.run(job).state.is_terminal)
    assert site.run(job).state.value == "COMPLETED"
