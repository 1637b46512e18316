"""The stand-in's WinRM, spoken to by pypsrp as it is.

Faults: [MS-WSMV] 3.1.4 and the codes of wsmerror.h; quotas: learn.microsoft.com/windows/win32/winrm/
installation-and-configuration-for-windows-remote-management and .../winrm/quotas.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import requests
from pypsrp.exceptions import AuthenticationError, WSManFaultError
from pypsrp.powershell import PowerShell, RunspacePool
from pypsrp.wsman import WSMan

from sandbox.hyperv import HyperVHost, Quotas


@contextmanager
def connected(host: HyperVHost, **options: Any) -> Iterator[WSMan]:
    given: dict[str, Any] = {"auth": "ntlm", "username": host.user, "password": host.password} | options
    given |= {"port": host.port, "cert_validation": str(host.ca), "no_proxy": True}
    with WSMan(given.pop("server", "127.0.0.1"), **given) as wsman:
        yield wsman


@contextmanager
def pool(host: HyperVHost, **options: Any) -> Iterator[RunspacePool]:
    with connected(host, **options) as wsman, RunspacePool(wsman) as opened:
        yield opened


def ask(opened: RunspacePool, script: str, **parameters: Any) -> PowerShell:
    shell = PowerShell(opened)
    shell.add_script(script)
    if parameters:
        shell.add_parameters(parameters)
    shell.invoke()
    return shell


@pytest.mark.parametrize("auth", ["ntlm", "negotiate"])
def test_a_password_opens_a_shell(host: HyperVHost, auth: str) -> None:
    with pool(host, auth=auth) as opened:
        shell = ask(
            opened,
            "param($Name, [int[]]$Numbers, [bool]$Yes) $Name; $Numbers; $Yes; $null -eq $Other",
            Name="é",
            Numbers=[1, 2],
            Yes=True,
        )
        assert shell.output == ["é", 1, 2, True, True]
        assert not shell.had_errors
        assert len(host.state()["shells"]) == 1
    assert host.state()["shells"] == []


def test_a_certificate_that_is_mapped_opens_a_shell(host: HyperVHost) -> None:
    files = host.client_certificate()
    with pool(
        host, auth="certificate", certificate_pem=str(files.certificate), certificate_key_pem=str(files.key)
    ) as opened:
        assert ask(opened, "1 + 1").output == [2]


@pytest.mark.parametrize(
    "options",
    [{"password": "wrong"}, {"username": "HV1\\nobody"}, {"auth": "basic"}],
    ids=["password", "user", "basic"],
)
def test_who_cannot_log_in_gets_a_401(host: HyperVHost, options: dict[str, str]) -> None:
    with connected(host, **options) as wsman, pytest.raises(AuthenticationError):
        RunspacePool(wsman).open()


def test_a_certificate_that_nobody_mapped_gets_a_401(host: HyperVHost) -> None:
    files = host.client_certificate("somebody@else")
    certificate = {"certificate_pem": str(files.certificate), "certificate_key_pem": str(files.key)}
    with connected(host, auth="certificate", **certificate) as wsman, pytest.raises(AuthenticationError):
        RunspacePool(wsman).open()


def test_who_is_no_administrator_is_denied(host: HyperVHost) -> None:
    host.winrm.refused.add(host.user)
    with connected(host) as wsman, pytest.raises(WSManFaultError) as raised:
        RunspacePool(wsman).open()
    assert raised.value.code == 5


def test_a_certificate_of_somebody_else_is_noticed_by_the_client(host: HyperVHost) -> None:
    host.impersonate()
    with connected(host) as wsman, pytest.raises(requests.exceptions.SSLError):
        RunspacePool(wsman).open()


def test_more_than_an_envelope_goes_either_way(host: HyperVHost) -> None:
    text = "é" * 700_000
    with pool(host) as opened:
        assert ask(opened, "param($Text) $Text; $Text.Length", Text=text).output == [text, len(text)]
        assert len(ask(opened, "1..3000 | ForEach-Object { 'x' * 1000 }").output) == 3000


def test_errors_arrive_as_records(host: HyperVHost) -> None:
    with pool(host) as opened:
        thrown = ask(opened, "'before'; throw 'no such thing'; 'after'")
        assert (thrown.output, thrown.had_errors) == (["before"], True)
        assert thrown.streams.error[0].fq_error == "no such thing"
        assert str(thrown.streams.error[0]) == "no such thing"
        assert thrown.streams.error[0].category == 14  # OperationStopped
        written = ask(opened, "Write-Error 'careful'; Write-Warning 'mind'; 'after'")
        assert (written.output, written.had_errors) == (["after"], False)
        assert str(written.streams.error[0]) == "careful"
        assert [each.message for each in written.streams.warning] == ["mind"]


def test_what_the_stand_in_does_not_know_is_an_error_that_names_it(host: HyperVHost) -> None:
    with pool(host) as opened:
        shell = ask(opened, "try { Get-Weather -City Turku } catch { 'caught' }")
        assert (shell.output, shell.had_errors) == ([], True)
        assert "the command Get-Weather" in str(shell.streams.error[0])
    assert host.unsupported == ["the stand-in's PowerShell does not know the command Get-Weather"]
    host.unsupported.clear()


def test_a_receive_without_news_ends_with_a_timeout(host: HyperVHost) -> None:
    with pool(host) as opened:
        shell = PowerShell(opened)
        shell.add_script("Start-Sleep -Seconds 60")
        shell.begin_invoke()
        shell.poll_invoke()  # it runs
        with pytest.raises(WSManFaultError) as raised:
            opened.shell.receive("stdout", command_id=shell.id, timeout=1)
        assert raised.value.code == 2150858793
        shell.stop()
        state, _, streams = opened.shell.receive("stdout", command_id=shell.id)
        assert state.endswith("/Done")
        assert b"PipelineStopped" in streams["stdout"]
        assert ask(opened, "1").output == [1]


def test_shells_are_gone_after_a_restart(host: HyperVHost) -> None:
    port = host.port
    with connected(host) as wsman:
        opened = RunspacePool(wsman)
        opened.open()
        host.restart()
        assert host.port == port
        with pytest.raises((WSManFaultError, requests.exceptions.ConnectionError)):
            ask(opened, "1")
        with pytest.raises(WSManFaultError) as raised:
            ask(opened, "1")
        assert raised.value.code == 2150858843
    with pool(host) as again:
        assert ask(again, "1").output == [1]


def test_the_service_says_what_it_takes_and_whether_a_shell_lives(host: HyperVHost) -> None:
    with pool(host) as opened:
        opened.connection.update_max_payload_size()
        assert opened.connection.max_envelope_size == 500 * 1024
        assert opened.is_alive()
        host.winrm.shells.remove(host.state()["shells"][0])
        assert not opened.is_alive()
        opened.state = 3  # closed: its shell is gone


def test_answers_may_be_slow(host: HyperVHost) -> None:
    with pool(host) as opened:
        host.faults.add("wsman", "Command", delay=0.3)
        began = time.monotonic()
        assert ask(opened, "1").output == [1]
        assert time.monotonic() - began >= 0.3


def test_a_host_that_is_down_refuses_connections(host: HyperVHost) -> None:
    host.stop()
    with connected(host) as wsman, pytest.raises(requests.exceptions.ConnectionError):
        RunspacePool(wsman).open()
    host.start()
    with pool(host) as opened:
        assert ask(opened, "1").output == [1]


def test_quotas(tmp_path: Path) -> None:
    quotas = Quotas(shells_per_user=1, operations_per_user=1, envelope_bytes=64 * 1024)
    with HyperVHost(tmp_path, quotas=quotas) as host, pool(host, max_envelope_size=64 * 1024) as opened:
        with connected(host) as wsman, pytest.raises(WSManFaultError) as raised:
            RunspacePool(wsman).open()
        assert raised.value.code == 2150859173
        first = PowerShell(opened)
        first.add_script("Start-Sleep -Seconds 60")
        first.begin_invoke()
        with pytest.raises(WSManFaultError) as raised:
            ask(opened, "1")
        assert raised.value.code == 2150859174
        first.stop()
        with connected(host) as wsman, pytest.raises(WSManFaultError) as raised:
            wsman.send("http://schemas.microsoft.com/powershell/Microsoft.PowerShell", _large(wsman))
        assert raised.value.code == 2150858825


def _large(wsman: WSMan) -> Any:
    import xml.etree.ElementTree as ET

    element = ET.Element("{http://schemas.microsoft.com/wbem/wsman/1/windows/shell}Send")
    element.text = "x" * 100_000
    return element


def test_connections_drop_on_demand(host: HyperVHost) -> None:
    with pool(host) as opened:
        host.faults.add("wsman", "Command", drop=True)
        with pytest.raises(requests.exceptions.ConnectionError):
            ask(opened, "1")
        assert ask(opened, "2").output == [2]
        host.faults.add("http", "POST", status=503)
        with pytest.raises(Exception, match="503"):
            ask(opened, "1")
