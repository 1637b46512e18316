"""The stand-in's WinRM over HTTP, spoken to by pypsrp as it is: each message encrypted by NTLM."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import requests
from pypsrp.exceptions import AuthenticationError, WinRMTransportError
from pypsrp.powershell import RunspacePool
from pypsrp.wsman import WSMan

from sandbox.hyperv import HyperVHost
from tests.sandbox.hyperv.test_winrm import ask


@contextmanager
def connected(host: HyperVHost, **options: Any) -> Iterator[WSMan]:
    given: dict[str, Any] = {"auth": "ntlm", "username": host.user, "password": host.password} | options
    with WSMan(given.pop("server", "127.0.0.1"), port=host.plain.port, ssl=False, no_proxy=True, **given) as wsman:
        yield wsman


@pytest.mark.parametrize("auth", ["ntlm", "negotiate"])
def test_encrypted_messages_open_a_shell(host: HyperVHost, auth: str) -> None:
    with connected(host, auth=auth) as wsman, RunspacePool(wsman) as opened:
        assert ask(opened, "param($Name) $Name; 1 + 1", Name="é").output == ["é", 2]
        text = "é" * 400_000
        assert ask(opened, "param($Text) $Text", Text=text).output == [text]


def test_an_answer_in_pieces(host: HyperVHost) -> None:
    with connected(host) as wsman, RunspacePool(wsman) as opened:
        host.faults.add("http", "answer", count=100, piece=1000)
        assert ask(opened, "'x' * 100000").output == ["x" * 100_000]
        host.faults.clear()


def test_who_cannot_log_in_gets_a_401(host: HyperVHost) -> None:
    with connected(host, password="wrong") as wsman, pytest.raises(AuthenticationError):
        RunspacePool(wsman).open()
    answer = requests.post(f"http://{host.http_endpoint}/wsman", data=b"<s:Envelope/>", timeout=10)
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"] == "Negotiate, Kerberos"
    assert answer.content == b""


def test_a_message_in_clear_is_refused(host: HyperVHost) -> None:
    with connected(host, encryption="never") as wsman, pytest.raises(WinRMTransportError) as raised:
        RunspacePool(wsman).open()
    assert (raised.value.code, raised.value.response_text) == (500, "")
    assert host.state()["shells"] == []


def test_what_another_login_encrypted_is_refused(host: HyperVHost) -> None:
    with connected(host) as wsman, RunspacePool(wsman) as opened:
        host.plain.drop_connections()
        with pytest.raises((WinRMTransportError, requests.exceptions.ConnectionError)):
            ask(opened, "1")
        opened.state = 3  # nothing more can be said over it
