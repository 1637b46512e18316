"""The report over HTTP: who is answered, with what, and what it costs."""

from __future__ import annotations

import gzip
import http.client
import json
import os
import signal
import socket
import sqlite3
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from rehost.control import ControlPlane, DatabaseUnreachable
from rehost.errors import RehostError
from rehost.report import CannotListen, Live, Past, Report, ReportServer, look, past_of
from rehost.text import size
from tests.cli.conftest import Command
from tests.cli.conftest import replicated as replicated
from tests.connector.conftest import Site
from tests.connector.conftest import site as site
from tests.control.conftest import spec
from tests.report.conftest import NOW
from tests.report.estate import Made


class Clock:
    """Monotonic seconds that pass when a test says so."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def _pasts(control: ControlPlane) -> Callable[[Report, str], Past]:
    def of(report: Report, server: str) -> Past:
        return past_of(control, [each for each in report.servers if each.name == server], limit=5)[server]

    return of


@contextmanager
def serving(live: Live, host: str = "127.0.0.1", **options: list[str]) -> Iterator[ReportServer]:
    with ReportServer(live, host, 0, **options) as server:
        thread = server.in_background()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def server(control: ControlPlane) -> Iterator[ReportServer]:
    live = Live(lambda: look(control, None), _pasts(control), every=2.0, elapsed=Clock())
    with serving(live, names=["report.example.com"]) as running:
        yield running


class Answer:
    def __init__(self, response: http.client.HTTPResponse) -> None:
        self.status, self.headers, self.body = response.status, response.headers, response.read()
        self.text = self.body.decode("utf-8", "replace")


def ask(server: ReportServer, path: str = "/", method: str = "GET", **headers: str) -> Answer:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
    try:
        connection.request(method, path, headers={name.replace("_", "-"): value for name, value in headers.items()})
        return Answer(connection.getresponse())
    finally:
        connection.close()


def test_the_page_and_its_parts(server: ReportServer, made: Made) -> None:
    page = ask(server)
    assert page.status == 200
    assert page.text.startswith("<!doctype html>")
    assert "data-live" in page.text
    news = json.loads(ask(server, "/now").body)
    assert news["message"] is None
    for name, digest in news["sections"].items():
        assert f'id="{name}" data-hash="{digest}"' in page.text, "nothing is asked for twice"
        part = ask(server, f"/section?name={name}")
        assert part.status == 200
        assert part.text in page.text
    history = ask(server, f"/history?server={made.servers[1]}")
    assert f"Runs of {made.servers[1]}" in history.text
    assert history.text.count("<tr>") > 5


@pytest.mark.parametrize(
    "path", ["/nothing", "/section?name=none", "/section", "/history?server=none", "/history", "/../now"]
)
def test_what_is_not_there_is_not_found(server: ReportServer, path: str) -> None:
    assert ask(server, path).status == 404


def test_a_query_without_end_is_refused(server: ReportServer) -> None:
    assert ask(server, "/section?" + "&".join(f"a{n}=1" for n in range(99))).status == 400


def test_every_answer_is_guarded(server: ReportServer) -> None:
    for path in ("/", "/now", "/nothing"):
        headers = ask(server, path).headers
        policy = str(headers["Content-Security-Policy"])
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
        assert headers["Referrer-Policy"] == "no-referrer"
        assert headers["Cache-Control"] == "no-store"
        assert "Access-Control-Allow-Origin" not in headers
        assert "Python" not in str(headers["Server"])


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:{port}",
        "127.0.0.1.evil.example:{port}",
        "127.0.0.1:1",
        "localhost",
        "10.1.2.3:{port}",
        "",
        "[::1",
        "a b",
        "x" * 3000,
        "localhost:{port}@evil",
    ],
)
def test_a_host_that_is_not_ours_is_refused(server: ReportServer, host: str) -> None:
    for path in ("/", "/now", "/history?server=web-0000"):
        answer = ask(server, path, Host=host.format(port=server.port))
        assert answer.status == 421
        assert "web-0000" not in answer.text


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1:{port}",
        "localhost:{port}",
        "LOCALHOST.:{port}",
        "[::1]:{port}",
        "report.example.com",
        "report.example.com:443",
    ],
)
def test_a_host_that_is_ours_is_served(server: ReportServer, host: str) -> None:
    assert ask(server, "/now", Host=host.format(port=server.port)).status == 200


def test_a_request_has_one_host(server: ReportServer) -> None:
    for lines in ("", f"Host: 127.0.0.1:{server.port}\r\nHost: evil.example\r\n"):
        with socket.create_connection(("127.0.0.1", server.port), timeout=30) as connection:
            connection.sendall(f"GET /now HTTP/1.1\r\n{lines}\r\n".encode())
            assert b" 400 " in connection.makefile("rb").readline()


def test_another_site_s_page_gets_nothing(server: ReportServer) -> None:
    for origin in ("cross-site", "same-site"):
        assert ask(server, "/now", Sec_Fetch_Site=origin, Sec_Fetch_Mode="no-cors").status == 403
    assert ask(server, "/", Sec_Fetch_Site="cross-site", Sec_Fetch_Mode="navigate").status == 200, "a link to it works"


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "BREW"])
def test_it_only_reads(server: ReportServer, method: str) -> None:
    answer = ask(server, "/", method)
    assert answer.status == 405
    assert answer.headers["Allow"] == "GET, HEAD"


def test_a_head_has_no_body(server: ReportServer) -> None:
    answer = ask(server, "/", "HEAD")
    assert (answer.status, answer.body) == (200, b"")
    assert int(str(answer.headers["Content-Length"])) > 10_000


def test_what_is_large_travels_compressed(server: ReportServer) -> None:
    plain, packed = ask(server), ask(server, Accept_Encoding="gzip, br")
    assert packed.headers["Content-Encoding"] == "gzip"
    assert gzip.decompress(packed.body) == plain.body
    assert len(packed.body) < len(plain.body) / 4


def test_nobody_is_kept_waiting_by_somebody_who_says_nothing(server: ReportServer) -> None:
    silent = [socket.create_connection(("127.0.0.1", server.port), timeout=30) for _ in range(20)]
    try:
        assert ask(server, "/now").status == 200
    finally:
        for each in silent:
            each.close()


def test_it_follows_the_control_plane_and_asks_it_no_more_than_it_says(empty: ControlPlane) -> None:
    clock, looks = Clock(), []

    def seen() -> Report:
        looks.append(clock.now)
        return look(empty, None)

    live = Live(seen, _pasts(empty), every=2.0, elapsed=clock)
    job = empty.jobs.put(spec())
    with serving(live) as server:
        before = json.loads(ask(server, "/now").body)["sections"]
        empty.jobs.pause(job.id)
        assert json.loads(ask(server, "/now").body)["sections"] == before
        assert len(looks) == 1, "within its two seconds"
        clock.now += 60
        after = json.loads(ask(server, "/now").body)["sections"]
        assert after["servers"] != before["servers"]
        assert after["waves"] == before["waves"], "what did not change is not sent again"
        assert "paused" in ask(server, "/section?name=servers").text


def test_a_database_that_is_away_leaves_the_last_look(empty: ControlPlane) -> None:
    clock = Clock()
    away: list[RehostError] = []

    def seen() -> Report:
        if away:
            raise away[0]
        return look(empty, None)

    live = Live(seen, _pasts(empty), every=2.0, elapsed=clock)
    away.append(DatabaseUnreachable(database="postgresql://rehost:***@db/rehost", reason="refused"))
    with serving(live) as server:
        first = ask(server)
        assert first.status == 503
        assert "refused" in first.text
        away.clear()
        assert ask(server).status == 200
        away.append(DatabaseUnreachable(database="the database", reason="gone"))
        clock.now += 60
        news = json.loads(ask(server, "/now").body)
        assert "gone" in news["message"]
        assert ask(server).status == 200
        away.clear()
        clock.now += 60
        assert json.loads(ask(server, "/now").body)["message"] is None


def test_one_looks_while_the_others_get_what_there_is(empty: ControlPlane) -> None:
    clock = Clock()
    entered, go = threading.Event(), threading.Event()
    slow: list[bool] = []

    def seen() -> Report:
        if slow:
            entered.set()
            assert go.wait(60)
        return look(empty, None)

    live = Live(seen, _pasts(empty), every=2.0, elapsed=clock)
    live.shown()
    slow.append(True)
    clock.now += 60
    looking = threading.Thread(target=live.shown)
    looking.start()
    try:
        assert entered.wait(60)
        assert live.shown().message is None, "it did not wait"
    finally:
        go.set()
        looking.join()


def test_a_port_that_is_taken_is_said(empty: ControlPlane) -> None:
    live = Live(lambda: look(empty, None), _pasts(empty), every=2.0)
    with serving(live) as server, pytest.raises(CannotListen, match="--port"):
        ReportServer(live, "127.0.0.1", server.port)
    with pytest.raises(CannotListen):
        ReportServer(live, "no.such.host.invalid", 0)


# The commands, as a user runs them.


@pytest.fixture
def running(made: Made) -> Iterator[Callable[..., tuple[subprocess.Popen[str], str]]]:
    started: list[subprocess.Popen[str]] = []

    def start(*options: str, **variables: str) -> tuple[subprocess.Popen[str], str]:
        process = Command(made.folder, **variables).start("serve", "--port", "0", *options)
        started.append(process)
        assert process.stdout is not None
        return process, process.stdout.readline().strip()

    yield start
    for process in started:
        if process.poll() is None:
            process.kill()
        process.communicate()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it(running: Callable[..., tuple[subprocess.Popen[str], str]], number: signal.Signals) -> None:
    process, url = running()
    port = int(url.rstrip("/").rpartition(":")[2])
    assert url == f"http://127.0.0.1:{port}/"
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    connection.request("GET", "/now")
    assert connection.getresponse().status == 200
    connection.close()
    lingering = socket.create_connection(("127.0.0.1", port), timeout=30)
    process.send_signal(number)
    _, said = process.communicate(timeout=60)
    lingering.close()
    assert process.returncode == 0
    assert said == ""


def test_more_than_loopback_is_said(running: Callable[..., tuple[subprocess.Popen[str], str]]) -> None:
    process, url = running("--host", "0.0.0.0")
    port = int(url.rstrip("/").rpartition(":")[2])
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    connection.request("GET", "/now", headers={"Host": "evil.example"})
    assert connection.getresponse().status == 421
    connection.close()
    process.terminate()
    _, said = process.communicate(timeout=60)
    assert "has no sign-in" in said


def test_it_only_ever_reads(made: Made, running: Callable[..., tuple[subprocess.Popen[str], str]]) -> None:
    """The rows of the database are the same before and after."""

    def rows() -> list[str]:
        with sqlite3.connect(made.url.removeprefix("sqlite:///")) as database:
            return list(database.iterdump())

    before = rows()
    process, url = running()
    port = int(url.rstrip("/").rpartition(":")[2])
    for path in ("/", "/now", f"/history?server={made.servers[0]}"):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        connection.request("GET", path)
        assert connection.getresponse().status == 200
        connection.close()
    process.terminate()
    process.communicate(timeout=60)
    assert rows() == before


def test_the_report_is_a_file_or_standard_output(made: Made, tmp_path: Path) -> None:
    command = Command(made.folder)
    said = command("report", "--output", str(tmp_path / "report.html"))
    assert (said.code, said.out) == (0, "")
    assert "60 servers" in said.err
    written = (tmp_path / "report.html").read_text("utf-8")
    printed = command("report", "--history", "0")
    assert printed.code == 0
    assert printed.err == ""
    assert printed.out.startswith("<!doctype html>")
    assert len(printed.out) < len(written)
    assert os.listdir(tmp_path) == ["report.html"]  # noqa: PTH208
    said = command("report", "--output", str(tmp_path / "none" / "report.html"))
    assert said.code == 1
    assert "cannot be written" in said.err


def test_what_a_command_line_gets_wrong(made: Made, tmp_path: Path) -> None:
    secret = "postgresql://rehost:hunter2@127.0.0.1:1/rehost"
    said = Command(tmp_path)("serve", "--database", secret, "--port", "0")
    assert said.code == 2
    assert "REHOST_DATABASE" in said.err
    assert "hunter2" not in said.err
    said = Command(tmp_path, REHOST_DATABASE=secret)("report")
    assert said.code == 1
    assert "hunter2" not in said.out + said.err
    control = ControlPlane.open(f"sqlite:///{tmp_path / 'two.db'}", clock=lambda: NOW)
    control.jobs.put(spec(stack="dev"))
    control.jobs.put(spec(stack="prod"))
    control.close()
    for name in ("report", "serve"):
        said = Command(tmp_path, REHOST_DATABASE=f"sqlite:///{tmp_path / 'two.db'}")(name)
        assert said.code == 2
        assert "--stack" in said.err
    assert Command(made.folder)("report", "--days", "0").code == 2


def test_a_spec_that_is_wrong_or_not_there_does_not_hide_the_state(made: Made, tmp_path: Path) -> None:
    command = Command(tmp_path, REHOST_DATABASE=made.url)
    said = command("report")
    assert said.code == 0
    assert "migration_specs is not here" in said.out
    (tmp_path / "migration_specs").mkdir()
    (tmp_path / "migration_specs" / "a.yaml").write_text("servers: {web-01: {sauce: dc1}}\n")
    said = command("report")
    assert said.code == 0
    assert "a.yaml:1:" in said.out
    assert "web-0000" in said.out
    assert str(tmp_path) not in said.out


def test_before_pulumi_up_there_is_a_report_as_well(tmp_path: Path, made: Made) -> None:
    (tmp_path / "Pulumi.yaml").write_text("name: x\nruntime: python\n")
    (tmp_path / "migration_specs").symlink_to(made.folder / "migration_specs")
    said = Command(tmp_path)("report")
    assert said.code == 0, said.err
    assert "0 of 60" in said.out
    assert not (tmp_path / ".rehost").exists(), "looking makes nothing"


def test_what_a_connector_really_did(replicated: tuple[Site, Command]) -> None:
    here, command = replicated
    (job,) = here.control.jobs.list()
    run = here.run(job)
    assert run.sent_bytes
    said = command("report")
    assert said.code == 0, said.err
    assert f"<code>{job.latest_image_id}</code>" in said.out
    assert f"<td>{size(run.sent_bytes)}</td>" in said.out
    assert "1 of 1" in said.out
    assert "No run failed" in said.out
