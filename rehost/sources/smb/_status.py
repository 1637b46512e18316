"""What an SMB server says no with: NTSTATUS codes, by name, and what to do. MS-ERREF 2.3.1."""

from __future__ import annotations

from rehost.sources._errors import CredentialsRefused, DiskMissing, DiskUnreadable, SourceError, SourceUnavailable

SUCCESS = 0x00000000
PENDING = 0x00000103
END_OF_FILE = 0xC0000011

_NAMES = {
    0xC0000001: "STATUS_UNSUCCESSFUL",
    0xC000000D: "STATUS_INVALID_PARAMETER",
    0xC000000F: "STATUS_NO_SUCH_FILE",
    0xC0000022: "STATUS_ACCESS_DENIED",
    0xC0000033: "STATUS_OBJECT_NAME_INVALID",
    0xC0000034: "STATUS_OBJECT_NAME_NOT_FOUND",
    0xC000003A: "STATUS_OBJECT_PATH_NOT_FOUND",
    0xC000003B: "STATUS_OBJECT_PATH_SYNTAX_BAD",
    0xC0000043: "STATUS_SHARING_VIOLATION",
    0xC0000054: "STATUS_FILE_LOCK_CONFLICT",
    0xC0000056: "STATUS_DELETE_PENDING",
    0xC000005E: "STATUS_NO_LOGON_SERVERS",
    0xC0000064: "STATUS_NO_SUCH_USER",
    0xC000006A: "STATUS_WRONG_PASSWORD",
    0xC000006D: "STATUS_LOGON_FAILURE",
    0xC000006E: "STATUS_ACCOUNT_RESTRICTION",
    0xC000006F: "STATUS_INVALID_LOGON_HOURS",
    0xC0000070: "STATUS_INVALID_WORKSTATION",
    0xC0000071: "STATUS_PASSWORD_EXPIRED",
    0xC0000072: "STATUS_ACCOUNT_DISABLED",
    0xC000007F: "STATUS_DISK_FULL",
    0xC000009A: "STATUS_INSUFFICIENT_RESOURCES",
    0xC000009C: "STATUS_DEVICE_DATA_ERROR",
    0xC00000B5: "STATUS_IO_TIMEOUT",
    0xC00000BA: "STATUS_FILE_IS_A_DIRECTORY",
    0xC00000BB: "STATUS_NOT_SUPPORTED",
    0xC00000C9: "STATUS_NETWORK_NAME_DELETED",
    0xC00000CC: "STATUS_BAD_NETWORK_NAME",
    0xC00000D0: "STATUS_REQUEST_NOT_ACCEPTED",
    0xC0000103: "STATUS_NOT_A_DIRECTORY",
    0xC000010A: "STATUS_PROCESS_IS_TERMINATING",
    0xC000011F: "STATUS_TOO_MANY_OPENED_FILES",
    0xC0000120: "STATUS_CANCELLED",
    0xC0000128: "STATUS_FILE_CLOSED",
    0xC0000133: "STATUS_TIME_DIFFERENCE_AT_DC",
    0xC000015B: "STATUS_LOGON_TYPE_NOT_GRANTED",
    0xC0000184: "STATUS_INVALID_DEVICE_STATE",
    0xC0000185: "STATUS_IO_DEVICE_ERROR",
    0xC0000193: "STATUS_ACCOUNT_EXPIRED",
    0xC0000203: "STATUS_USER_SESSION_DELETED",
    0xC0000205: "STATUS_INSUFF_SERVER_RESOURCES",
    0xC000020C: "STATUS_CONNECTION_DISCONNECTED",
    0xC000020D: "STATUS_CONNECTION_RESET",
    0xC0000224: "STATUS_PASSWORD_MUST_CHANGE",
    0xC0000234: "STATUS_ACCOUNT_LOCKED_OUT",
    0xC0000257: "STATUS_PATH_NOT_COVERED",
    0xC000026E: "STATUS_VOLUME_DISMOUNTED",
    0xC000035C: "STATUS_NETWORK_SESSION_EXPIRED",
    0xC0000388: "STATUS_DOWNGRADE_DETECTED",
    0xC0000413: "STATUS_AUTHENTICATION_FIREWALL_FAILED",
    0xC0000418: "STATUS_NTLM_BLOCKED",
    0xC0000466: "STATUS_SERVER_UNAVAILABLE",
    0xC0000467: "STATUS_FILE_NOT_AVAILABLE",
    0x8000002D: "STATUS_STOPPED_ON_SYMLINK",
}

#: The login is refused, and a second attempt may lock the account.
_REFUSED = {
    0xC0000022: "the account may not log in there; look at the host's event log",
    0xC0000064: "there is no such user; check the name, and write a domain's as DOMAIN\\user",
    0xC000006A: "the password is wrong",
    0xC000006D: "the user name or password is wrong",
    0xC000006E: "the account may not log in: Windows refuses empty passwords and some policies over the network",
    0xC000006F: "the account may not log in at this hour",
    0xC0000070: "the account may not log in from this machine",
    0xC0000071: "the password has expired; set a new one",
    0xC0000072: "the account is disabled; enable it or use another",
    0xC00000BB: "it does not take this kind of login; where NTLM is switched off, use kerberos",
    0xC0000133: "the clocks of this machine and of the domain controller differ by more than Kerberos takes; set this machine's by NTP",
    0xC000015B: "the account has no right to log in over the network (Access this computer from the network)",
    0xC0000193: "the account has expired",
    0xC0000224: "the password has to be changed first",
    0xC0000234: "the account is locked; unlock it, and check the password before the next attempt",
    0xC0000413: "the account is not allowed to authenticate to this machine",
    0xC0000418: "NTLM is blocked there; use kerberos",
}

MISSING = {0xC000000F, 0xC0000034, 0xC000003A}

#: What a file cannot be read for, and what helps.
_UNREADABLE = {
    0xC0000022: "the account has no right to read it; give it read permission on the share and the file",
    0xC0000033: "the server takes this for no file name",
    0xC000003B: "the server takes this for no path",
    0xC0000043: "another program has it open for itself alone: a running machine's newest file can be read only below a checkpoint",
    0xC0000054: "another program holds a lock on this part of it",
    0xC0000056: "it is being deleted",
    0xC000007F: "the server's disk is full; make room there",
    0xC000009C: "the server's disk has a bad sector there; check that volume (chkdsk)",
    0xC00000BA: "it is a folder",
    0xC00000CC: "the server has no such share; share that folder, or correct the path",
    0xC0000103: "a part of its path is no folder",
    0xC000011F: "the server has too many files open",
    0xC0000185: "the server's disk fails; look at that host's event log",
    0xC0000257: "it is a DFS link; name the server and share that the link leads to",
    0x8000002D: "its path leads over a symbolic link; name the file itself",
    0xC0000467: "the file is kept elsewhere (tiered or cloud storage) and is not there now",
}

#: The session, the tree or the handle is gone, or the server has no room for the moment: a new connection may do.
LOST = {
    0xC000009A, 0xC00000B5, 0xC00000C9, 0xC00000D0, 0xC000010A, 0xC0000120, 0xC0000128, 0xC0000203, 0xC0000205, 0xC000020C,
    0xC000020D, 0xC000026E, 0xC000035C, 0xC0000466,
}  # fmt: skip


def name_of(status: int) -> str:
    return _NAMES.get(status, f"NTSTATUS 0x{status:08X}")


class ChannelLost(Exception):
    """A connection is of no use any more; another one may be. Translated before it leaves the package."""


class StatusError(Exception):
    """The server's answer to one request; translated before it leaves the package."""

    def __init__(self, status: int) -> None:
        super().__init__(name_of(status))
        self.status = status


def login_error(status: int, place: str) -> SourceError:
    if status in _REFUSED:
        return CredentialsRefused(place=place, reason=f"{_REFUSED[status]} ({name_of(status)})")
    return SourceUnavailable(place=place, reason=f"it ended the login with {name_of(status)}")


def file_error(status: int, path: str) -> SourceError:
    if status in MISSING:
        return DiskMissing(path=path)
    reason = _UNREADABLE.get(status, "the server refuses")
    return DiskUnreadable(path=path, reason=f"{reason} ({name_of(status)})")
