"""Kerberos against MIT's KDC and smbd, which has a keytab as a member of a domain has."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from pathlib import Path

import pytest

from rehost.sources import CredentialsRefused, SourceUnavailable
from rehost.sources.smb import SmbAuth, SmbCredentials, SmbFiles
from sandbox.hyperv import REALM, Kdc, KdcMissing, kdc_program
from tests.sources.smb.servers import Servers, account, unc

PASSWORD = "domain-secret"


@pytest.fixture
def realm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Iterator[Kdc]:
    if importlib.util.find_spec("gssapi") is None or importlib.util.find_spec("krb5") is None:
        pytest.skip("Python's gssapi and krb5 are not installed: apt-get install libkrb5-dev gcc, then make setup")
    for program in ("krb5kdc", "kdb5_util", "kadmin.local", "faketime"):
        try:
            kdc_program(program)
        except KdcMissing as missing:
            pytest.skip(str(missing))
    ahead = getattr(request, "param", 0)
    kdc = Kdc(tmp_path / "kdc", users={account(): PASSWORD}, services=["cifs/localhost"], ahead=ahead)
    # A ticket says in its PAC which domain it is from, and a server that is in no domain wants none of that.
    config = kdc.folder / "kdc.conf"
    config.write_text(config.read_text().replace("  acl_file", "  disable_pac = true\n  acl_file"))
    for name, value in kdc.environment.items():
        monkeypatch.setenv(name, value)
    with kdc:
        yield kdc


def _files(servers: Servers, kdc: Kdc, password: str = PASSWORD, auth: SmbAuth = SmbAuth.KERBEROS) -> SmbFiles:
    servers.file("a.vhdx", b"x" * 5000)
    keys = {"kerberos method": "dedicated keytab", "dedicated keytab file": str(kdc.keytab), "realm": REALM}
    samba = servers.samba(options=keys)
    samba.host = "localhost"  # what the ticket is for
    return servers.files(samba, credentials=SmbCredentials(f"{account()}@{REALM}", password, auth))


@pytest.mark.parametrize("auth", [SmbAuth.KERBEROS, SmbAuth.NEGOTIATE])
def test_a_ticket_opens_a_file(servers: Servers, realm: Kdc, auth: SmbAuth) -> None:
    file = _files(servers, realm, auth=auth).open(unc("a.vhdx"))
    buffer = bytearray(5000)
    assert file.read_into(0, memoryview(buffer)) == 5000
    assert buffer == b"x" * 5000


def test_a_password_that_the_domain_does_not_take(servers: Servers, realm: Kdc) -> None:
    with pytest.raises(CredentialsRefused, match="the password is wrong"):
        _files(servers, realm, "another").open(unc("a.vhdx"))


@pytest.mark.parametrize("realm", [7200, -7200], indirect=True)
def test_a_clock_that_is_two_hours_off(servers: Servers, realm: Kdc) -> None:
    with pytest.raises(CredentialsRefused, match=r"hv1 refuses: .*set this machine's clock by NTP"):
        _files(servers, realm).open(unc("a.vhdx"))


def test_a_domain_controller_that_is_away(servers: Servers, realm: Kdc) -> None:
    realm.stop()
    with pytest.raises(SourceUnavailable, match="no domain controller of that realm answers"):
        _files(servers, realm).open(unc("a.vhdx"))
