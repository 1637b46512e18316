"""The hyperv source over HTTP: each message encrypted by NTLM or Kerberos, what crosses the wire, and what is refused."""

from __future__ import annotations

import base64
import contextlib
import socket
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import pytest

from rehost.sources import CredentialsRefused, Power, Quiesce, SourceUnavailable
from rehost.sources.hyperv import _frozen, _pool, _power
from rehost.sources.hyperv._errors import NotEncrypted
from tests.sources.harness import whole
from tests.sources.hyperv import HyperVHarness, Rack, opened, racked
from tests.sources.test_hyperv_faults import realm


@pytest.fixture(scope="module")
def rack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rack]:
    with racked(tmp_path_factory.mktemp("rack")) as made:
        del made.config["tls"]
        made.config |= {"transport": "http", "endpoint": made.host.http_endpoint}
        yield made


@pytest.fixture
def site(tmp_path: Path, rack: Rack, monkeypatch: pytest.MonkeyPatch) -> Iterator[HyperVHarness]:
    monkeypatch.setattr(_frozen, "_REMOVE_DELAYS", (0.01, 0.01))
    monkeypatch.setattr(_power, "_POLL", 0.01)
    harness = HyperVHarness(tmp_path, rack)
    yield harness
    harness.close()
    _pool.close_idle()


def goes_through(site: HyperVHarness, config: dict[str, Any], run: str) -> None:
    """A run as a replication makes it, and the changes of the next."""
    source = opened(config)
    assert source.inspect(site.locator).name == site.name
    first = source.freeze(site.locator, quiesce=Quiesce.REQUIRE, run=run)
    assert [whole(disk) for disk in first.disks] == [site.content(0), site.content(1)]
    first.check()
    first.release()
    site.write(0, 1 << 20, b"changed" * 100)
    second = source.freeze(site.locator, quiesce=Quiesce.NONE, run=f"{run}-next")
    changed = list(second.disks[0].extents(first.disks[0].position))
    assert 0 < sum(extent.length for extent in changed) < second.disks[0].size
    assert whole(second.disks[0]) == site.content(0)
    second.release()
    source.close()
    assert site.made() == []


class Relay(socketserver.ThreadingTCPServer):
    """Stands between the two, and keeps what it hears, in both directions."""

    daemon_threads = False

    def __init__(self, port: int) -> None:
        super().__init__(("127.0.0.1", 0), _Relayed)
        self.target = ("127.0.0.1", port)
        self.heard = bytearray()
        self.lock = threading.Lock()
        self.open: set[socket.socket] = set()
        self.port = int(self.server_address[1])


class _Relayed(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        relay = cast(Relay, self.server)
        with socket.create_connection(relay.target) as behind:
            relay.open |= {self.request, behind}
            back = threading.Thread(target=self._copy, args=(relay, behind, self.request))
            back.start()
            self._copy(relay, self.request, behind)
            back.join()
            relay.open -= {self.request, behind}

    @staticmethod
    def _copy(relay: Relay, source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while piece := source.recv(1 << 16):
                with relay.lock:
                    relay.heard += piece
                target.sendall(piece)
        with contextlib.suppress(OSError):
            target.shutdown(socket.SHUT_WR)


@contextmanager
def relayed(port: int) -> Iterator[Relay]:
    with Relay(port) as relay:
        thread = threading.Thread(target=relay.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield relay
        finally:
            _pool.close_idle()
            relay.shutdown()
            thread.join()
            for each in list(relay.open):  # of a test that failed
                with contextlib.suppress(OSError):
                    each.shutdown(socket.SHUT_RDWR)


@pytest.mark.parametrize("auth", ["ntlm", "negotiate"])
def test_a_run_with_nothing_to_read_on_the_wire(site: HyperVHarness, auth: str) -> None:
    with relayed(site.host.plain.port) as relay:
        goes_through(site, {**site.config, "auth": auth, "endpoint": f"127.0.0.1:{relay.port}"}, f"run-{auth}")
    unreadable(bytes(relay.heard), site)


def unreadable(heard: bytes, site: HyperVHarness) -> None:
    assert heard.count(b"HTTP-SPNEGO-session-encrypted") > 100
    assert len(heard) > 100_000
    words = [
        "s:Envelope",
        "Get-VMHardDiskDrive",
        "CreateSnapshot",
        "GuestIntrinsicExchangeItems",
        "Microsoft.PowerShell",
    ]
    for word in (*words, site.name, site.machine.id, site.host.password):
        found = [each for told in (word, word.lower()) for each in spellings(told)]
        assert [each for each in found if each in heard] == []
        # The search itself: envelopes have fragments of remoting in base64.
        assert any(each in base64.b64encode(b"<S>" + word.encode() + b"</S>") for each in found)


def spellings(word: str) -> Iterator[bytes]:
    """Plain, and in base64 at each of its three places without what depends on the neighbours."""
    for data in (word.encode(), word.encode("utf-16-le")):
        yield data
        for shift in range(3):
            kept = data[(3 - shift) % 3 :]
            yield base64.b64encode(kept[: len(kept) // 3 * 3])


@pytest.mark.parametrize("offered", [("Negotiate", "Kerberos"), ("Kerberos",)], ids=["negotiate", "kerberos"])
def test_a_run_with_a_ticket_of_kerberos(
    site: HyperVHarness, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, offered: tuple[str, ...]
) -> None:
    monkeypatch.setattr(site.host.plain, "offered", offered)
    with realm(site, tmp_path, monkeypatch, 0) as config, relayed(site.host.plain.port) as relay:
        source = opened({**config, "endpoint": f"localhost:{relay.port}"})
        assert source.inspect(site.locator).name == site.name
        assert source.power(site.locator) is Power.ON
        source.close()
        wrong = opened({**config, "endpoint": f"localhost:{site.host.plain.port}", "checkpointTimeout": 91})
        monkeypatch.setenv("TEST_DOMAIN_PASSWORD", "not the password")
        with pytest.raises(CredentialsRefused, match="kerberos cannot log"):
            wrong.power(site.locator)
        wrong.close()
    protocol = b"HTTP-SPNEGO-session-encrypted" if len(offered) > 1 else b"HTTP-Kerberos-session-encrypted"
    assert relay.heard.count(protocol) > 10
    assert b"Envelope" not in relay.heard


def test_a_wrong_password_is_said_and_not_tried_again(site: HyperVHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTHER", "not the password")
    wrong = opened({**site.config, "credentials": {**site.config["credentials"], "password": {"env": "OTHER"}}})
    before = site.host.state()["calls"].get("http.POST", 0)
    with pytest.raises(CredentialsRefused, match=r"its password is wrong.*correct what `credentials` refers to"):
        wrong.inspect(site.locator)
    assert site.host.state()["calls"].get("http.POST", 0) - before <= 3  # the messages of one NTLM login
    wrong.close()


def test_an_account_that_may_not_use_remoting(site: HyperVHarness) -> None:
    site.host.winrm.refused.add(site.host.user)
    try:
        with pytest.raises(CredentialsRefused, match=r"may not use PowerShell remoting.*docs/sources/hyperv.md"):
            site.hyperv.inspect(site.locator)
    finally:
        site.host.winrm.refused.clear()


def test_an_answer_of_many_pieces(site: HyperVHarness) -> None:
    site.machine.facts["OSName"] = "x" * 200_000
    site.host.faults.add("http", "answer", count=1000, piece=16 * 1024)
    assert site.hyperv.inspect(site.locator).name == site.name


def test_a_lost_connection_is_logged_in_again(site: HyperVHarness) -> None:
    """HTTP.sys closes what is idle for two minutes; the keys of the login go with it, the shell stays."""
    frozen = site.hyperv.freeze(site.locator, quiesce=Quiesce.TRY, run="run-l")
    shells = site.host.state()["shells"]
    site.host.plain.drop_connections()
    frozen.release()  # not a script that may be sent twice
    assert site.made() == []
    assert site.host.state()["shells"] == shells


@pytest.mark.parametrize("skip", [0, 1, 4])
def test_an_answer_in_clear_is_not_taken(site: HyperVHarness, skip: int) -> None:
    site.host.faults.add("http", "answer", skip=skip, plain=True)
    with pytest.raises(NotEncrypted, match=r"is not talked to: .* in clear.*`transport: https`") as told:
        site.hyperv.inspect(site.locator)
    assert not told.value.retryable
    assert site.hyperv.inspect(site.locator).name == site.name


def test_a_fault_in_clear_is_not_taken(site: HyperVHarness) -> None:
    site.host.faults.add("http", "answer", plain=True)
    site.host.winrm.refused.add(site.host.user)
    try:
        with pytest.raises(NotEncrypted):
            site.hyperv.inspect(site.locator)
    finally:
        site.host.winrm.refused.clear()


@pytest.mark.parametrize("skip", [0, 1, 2, 3])
def test_a_host_that_sends_us_elsewhere(site: HyperVHarness, skip: int) -> None:
    for location in (f"http://{site.host.http_endpoint}/wsman", f"https://{site.host.endpoint}/wsman"):
        site.host.faults.add("http", "POST", skip=skip, status=307, location=location)
        before = site.host.state()["calls"].get("http.POST", 0)
        with pytest.raises((NotEncrypted, SourceUnavailable)):
            site.hyperv.inspect(site.locator)
        assert site.host.state()["calls"]["http.POST"] - before == skip + 1


@pytest.mark.parametrize("status", [200, 204, 302])
def test_a_host_that_asks_for_no_login(site: HyperVHarness, status: int) -> None:
    site.host.faults.add("http", "POST", status=status)
    with pytest.raises(NotEncrypted, match="asks for no login"):
        site.hyperv.inspect(site.locator)


def test_a_login_that_is_waved_through(site: HyperVHarness, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody in between who has no keys says that all is well; the host has to show who it is as well."""
    site.host.faults.add("http", "POST", skip=1, status=200)
    source = opened({**site.config, "auth": "negotiate"})
    with pytest.raises(NotEncrypted, match="did not show who it is"):
        source.inspect(site.locator)
    source.close()
    with realm(site, tmp_path, monkeypatch, 0) as config:
        source = opened({**config, "endpoint": f"localhost:{site.host.plain.port}"})
        site.host.faults.add("http", "POST", skip=1, status=200)
        with pytest.raises(NotEncrypted, match="did not show who it is"):
            source.inspect(site.locator)
        source.close()


@pytest.mark.parametrize("skip", [0, 3])
def test_an_answer_that_was_changed_on_its_way(site: HyperVHarness, skip: int) -> None:
    site.host.faults.add("http", "answer", skip=skip, spoil=True)
    with pytest.raises(SourceUnavailable, match="cannot be decrypted"):
        site.hyperv.inspect(site.locator)
    assert site.hyperv.inspect(site.locator).name == site.name


def test_https_spoken_to_the_port_of_http(site: HyperVHarness) -> None:
    other = opened({**site.config, "endpoint": site.host.endpoint})
    with pytest.raises(SourceUnavailable):
        other.inspect(site.locator)
    other.close()
