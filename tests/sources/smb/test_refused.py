"""Who is not let in, what is not read, and what a person is told."""

from __future__ import annotations

import pickle

import pytest

from rehost.sources import CredentialsRefused, DiskMissing, DiskUnreadable, SourceError, SourceUnavailable
from rehost.sources.smb import NotEncrypted, SmbAuth, SmbCredentials
from rehost.sources.smb._login import _kerberos_error
from rehost.sources.smb._status import file_error, login_error
from tests.sources.smb.servers import Servers, account, unc


@pytest.mark.parametrize("username", ["rehost", r"WORK\rehost", "REHOST", "rehost@work.example.com"])
@pytest.mark.parametrize("auth", [SmbAuth.NEGOTIATE, SmbAuth.NTLM])
def test_a_user_name_may_have_its_domain(servers: Servers, username: str, auth: SmbAuth) -> None:
    servers.file("a.vhdx", b"x")
    # A domain controller knows both names of a user; smbd alone takes what stands before the sign for a part of the name.
    samba = servers.samba(user=username if "@" in username else "rehost")
    credentials = SmbCredentials(username, samba.password, auth)
    assert servers.files(samba, credentials=credentials).open(unc("a.vhdx")).size == 1


@pytest.mark.parametrize(
    ("username", "password", "said"),
    [
        ("rehost", "wrong-secret", r"hv1 refuses: the user name or password is wrong \(STATUS_LOGON_FAILURE\)"),
        ("nobody-here", "sandbox-secret", "STATUS_LOGON_FAILURE"),
        ("", "", "without a user name and a password"),
        ("rehost", "", "without a user name and a password"),
        (None, None, "without a user name and a password"),
    ],
)
def test_who_is_not_known_is_refused_once(
    servers: Servers, username: str | None, password: str | None, said: str
) -> None:
    servers.file("a.vhdx", b"x")
    samba = servers.samba(options={"log level": "1 auth_audit:2"})
    files = servers.files(samba, credentials=SmbCredentials(username, password))
    for _ in range(3):
        with pytest.raises(CredentialsRefused, match=said) as refused:
            files.open(unc("a.vhdx"))
        assert not refused.value.retryable
        assert "wrong-secret" not in str(refused.value)
    log = samba.log()
    assert log.count("NT_STATUS_WRONG_PASSWORD") + log.count("NT_STATUS_NO_SUCH_USER") == (1 if password else 0)


def test_a_guest_is_nobody(servers: Servers) -> None:
    servers.file("a.vhdx", b"x")
    options = {"map to guest": "Bad User", "guest account": account(), "server smb encrypt": "default"}
    samba = servers.samba(options=options, share_options={"guest ok": "yes"})
    files = servers.files(samba, credentials=SmbCredentials("nobody-here", "secret"))
    with pytest.raises(CredentialsRefused, match="as a guest"):
        files.open(unc("a.vhdx"))


def test_kerberos_without_a_ticket(servers: Servers, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KRB5CCNAME", "FILE:/nonexistent/rehost")
    monkeypatch.setenv("KRB5_CONFIG", "/dev/null")
    servers.file("a.vhdx", b"x")
    files = servers.files(servers.samba(), credentials=SmbCredentials(None, None, SmbAuth.KERBEROS))
    with pytest.raises(CredentialsRefused, match=r"hv1 refuses: .*(klist|pyspnego\[kerberos\])"):
        files.open(unc("a.vhdx"))


@pytest.mark.parametrize(
    "options",
    [
        {"server smb encrypt": "off"},
        {"server min protocol": "SMB2_02", "server max protocol": "SMB2_10", "server smb encrypt": "default"},
    ],
    ids=["switched off", "SMB 2"],
)
def test_a_server_that_does_not_encrypt(servers: Servers, options: dict[str, str]) -> None:
    servers.file("a.vhdx", b"x")
    samba = servers.samba(options=options | {"log level": "1 auth_audit:3"})
    with pytest.raises(NotEncrypted, match=r"hv1 is not read: .*SMB 3\.0") as refused:
        servers.files(samba).open(unc("a.vhdx"))
    assert not refused.value.retryable
    assert "Auth:" not in samba.log()  # it was not even told who asks
    again = pickle.loads(pickle.dumps(refused.value))
    assert (type(again), str(again)) == (NotEncrypted, str(refused.value))


def test_encryption_is_ours_to_require(servers: Servers) -> None:
    """A server that leaves the choice to its clients, as Windows does unless it is told otherwise."""
    servers.file("a.vhdx", b"x" * 100)
    samba = servers.samba(options={"server smb encrypt": "default"})
    file = servers.files(samba).open(unc("a.vhdx"))
    buffer = bytearray(100)
    assert file.read_into(0, memoryview(buffer)) == 100
    assert buffer == b"x" * 100


@pytest.mark.parametrize(
    ("path", "error", "said"),
    [
        (unc("missing.vhdx"), DiskMissing, "does not exist"),
        (unc(r"missing\a.vhdx"), DiskMissing, "does not exist"),
        (unc("folder"), DiskUnreadable, "it is a folder .STATUS_FILE_IS_A_DIRECTORY"),
        (unc(r"a.vhdx\b.vhdx"), SourceError, "a.vhdx"),
        (r"\\hv1\D$\a.vhdx", DiskUnreadable, "no such share.*STATUS_BAD_NETWORK_NAME"),
    ],
)
def test_what_is_not_there(servers: Servers, path: str, error: type[SourceError], said: str) -> None:
    servers.file("a.vhdx", b"x")
    servers.file("folder/b.vhdx", b"x")
    files = servers.files(servers.samba())
    with pytest.raises(error, match=said):
        files.open(path)
    assert files.open(unc("a.vhdx")).size == 1


def test_what_the_account_may_not_read(servers: Servers) -> None:
    path = servers.file("a.vhdx", b"x")
    options = {}
    if account() == "root":
        options = {"invalid users": "root"}  # no mode of a file keeps root from reading it
    else:
        path.chmod(0)
    files = servers.files(servers.samba(share_options=options))
    with pytest.raises(DiskUnreadable, match=r"no right to read it.*STATUS_ACCESS_DENIED"):
        files.open(unc("a.vhdx"))


@pytest.mark.parametrize(
    ("status", "error", "said"),
    [
        (0xC0000234, CredentialsRefused, "locked.*STATUS_ACCOUNT_LOCKED_OUT"),
        (0xC0000071, CredentialsRefused, "expired.*STATUS_PASSWORD_EXPIRED"),
        (0xC0000133, CredentialsRefused, "clocks.*STATUS_TIME_DIFFERENCE_AT_DC"),
        (0xC000005E, SourceUnavailable, "STATUS_NO_LOGON_SERVERS"),
        (0xC0ABCDEF, SourceUnavailable, "NTSTATUS 0xC0ABCDEF"),
    ],
)
def test_a_login_that_no_samba_refuses_like_this(status: int, error: type[SourceError], said: str) -> None:
    made = login_error(status, "hv1")
    assert type(made) is error
    with pytest.raises(error, match=said):
        raise made


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (0xC000007F, "make room.*STATUS_DISK_FULL"),
        (0xC0000257, "DFS link.*STATUS_PATH_NOT_COVERED"),
        (0xC0000054, "holds a lock.*STATUS_FILE_LOCK_CONFLICT"),
        (0x8000002D, "symbolic link.*STATUS_STOPPED_ON_SYMLINK"),
        (0xC0ABCDEF, "NTSTATUS 0xC0ABCDEF"),
    ],
)
def test_a_file_that_no_samba_refuses_like_this(status: int, said: str) -> None:
    with pytest.raises(DiskUnreadable, match=said):
        raise file_error(status, r"\\hv1\VMs\a.vhdx")


def test_a_password_is_in_no_text() -> None:
    assert "secret" not in repr(SmbCredentials("rehost", "secret"))


@pytest.mark.parametrize(
    ("said", "advice"),
    [
        ("Decrypt integrity check failed -1765328353", "the password is wrong"),
        ("Minor (2529639053): Clock skew too great", "by NTP"),
        ("Server cifs/10.0.0.7@WORK.EXAMPLE.COM not found in Kerberos database", "in full and not by its address"),
        ("No Kerberos credentials available", "klist"),
        ("Cannot contact any KDC for realm 'WORK.EXAMPLE.COM'", "no domain controller"),
    ],
)
def test_what_helps_with_kerberos(said: str, advice: str) -> None:
    """Its words, as MIT's library said them against a KDC of Debian's."""
    error = _kerberos_error(said, "hv1")
    assert type(error) is (SourceUnavailable if "Cannot contact" in said else CredentialsRefused)
    assert said in str(error)
    assert advice in str(error)
