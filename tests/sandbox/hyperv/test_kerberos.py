"""Kerberos to the stand-in, with MIT's KDC: a ticket, a wrong password, a clock that is off."""

from __future__ import annotations

import gc
import importlib.util
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pypsrp.powershell import RunspacePool
from spnego.exceptions import SpnegoError

from sandbox.hyperv import REALM, HyperVHost, Kdc, KdcMissing, kdc_program
from tests.sandbox.hyperv.test_winrm import ask, connected

USERS = {"rehost": "secret"}
SERVICES = ["host/localhost", "HTTP/localhost", "WSMAN/localhost"]


def _lacks() -> str:
    for program in ("krb5kdc", "kdb5_util", "kadmin.local", "faketime"):
        try:
            kdc_program(program)
        except KdcMissing as missing:
            return str(missing)
    if importlib.util.find_spec("gssapi") is None or importlib.util.find_spec("krb5") is None:
        return "gssapi and krb5 are not in the environment: apt-get install libkrb5-dev gcc, then make setup"
    return ""


pytestmark = pytest.mark.skipif(bool(_lacks()), reason=_lacks())


@pytest.fixture
def realm(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, host: HyperVHost
) -> Iterator[Kdc]:
    with Kdc(tmp_path / "kdc", users=USERS, services=SERVICES, ahead=getattr(request, "param", 0)) as kdc:
        for name, value in kdc.environment.items():
            monkeypatch.setenv(name, value)
        host.join(kdc.environment)
        yield kdc


def login(password: str = "secret", auth: str = "kerberos") -> dict[str, Any]:
    return {"auth": auth, "username": f"rehost@{REALM}", "password": password, "server": "localhost"}


@pytest.mark.parametrize("auth", ["kerberos", "negotiate"])
def test_a_ticket_opens_a_shell(host: HyperVHost, realm: Kdc, auth: str) -> None:
    with connected(host, **login(auth=auth)) as wsman, RunspacePool(wsman) as opened:
        assert ask(opened, "1 + 1").output == [2]
        shell = host.winrm.shells.get(host.state()["shells"][0], f"rehost@{REALM}")
        assert shell.user == f"rehost@{REALM}"


def test_a_wrong_password_is_refused_by_the_kdc(host: HyperVHost, realm: Kdc) -> None:
    with connected(host, **login("wrong")) as wsman, pytest.raises(Exception, match="Preauthentication failed"):
        RunspacePool(wsman).open()


@pytest.mark.filterwarnings("ignore:Exception ignored in. <ssl:pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize(
    ("realm", "said"),
    [(1200, "ticket not yet valid"), (-1200, "clock skew too great")],
    indirect=["realm"],
    ids=["ahead", "behind"],
)
def test_clocks_that_differ_are_refused(host: HyperVHost, realm: Kdc, said: str) -> None:
    with connected(host, **login()) as wsman, pytest.raises(SpnegoError) as raised:
        RunspacePool(wsman).open()
    assert said in str(raised.value).lower()
    # pypsrp leaves the answer that it stopped at unread, and its connection open: they go here, and nowhere else.
    del raised, wsman
    gc.collect()


def test_ntlm_goes_on_beside_it(host: HyperVHost, realm: Kdc) -> None:
    with connected(host) as wsman, RunspacePool(wsman) as opened:
        assert ask(opened, "1").output == [1]
