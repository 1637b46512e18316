"""Who reads, and how it is proved."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum


class SmbAuth(StrEnum):
    """How the login is done; the names are pyspnego's."""

    NEGOTIATE = "negotiate"  # Kerberos where there are tickets for it, else NTLM
    NTLM = "ntlm"
    KERBEROS = "kerberos"


@dataclass(frozen=True)
class SmbCredentials:
    """`username` is a local account, `DOMAIN\\user` or `user@domain`. Without one, Kerberos takes the ticket of this process."""

    username: str | None = None
    password: str | None = field(default=None, repr=False)
    auth: SmbAuth = SmbAuth.NEGOTIATE
