"""WinRM over HTTP: each message encrypted by the login of its connection ([MS-WSMV] 2.2.9.1), and nothing taken that came in clear.

pypsrp encrypts. What it leaves open is seen to here: it takes an answer in clear for an answer, and it goes on with the keys of a
login whose connection is gone, which no host can read. HTTP.sys closes connections that are idle for two minutes.
"""

from __future__ import annotations

import struct
from typing import Any

import requests
from pypsrp.encryption import WinRMEncryption
from pypsrp.exceptions import WinRMError, WinRMTransportError
from spnego.exceptions import SpnegoError

from rehost.sources.hyperv._tls import Adapter

_SEALED = "multipart/encrypted;"
_BOUNDARY = 'boundary="'


class AnsweredInClear(WinRMError):
    """The host did not encrypt."""


class Unreadable(WinRMError):
    """An answer that is not encrypted by the keys of the login: it was changed on its way, or is not from the host."""


class _LoginLost(WinRMError):
    """The connection is another one, and the host does not know it; it has not looked at the message."""


class _SealedAdapter(Adapter):
    def send(self, request: requests.PreparedRequest, *args: Any, **options: Any) -> requests.Response:
        answer = super().send(request, *args, **options)
        kind = answer.headers.get("Content-Type", "")
        if not str(request.headers.get("Content-Type", "")).startswith(_SEALED):
            # Logging in. A host that asks nobody who they are has no keys.
            if answer.status_code < 400 and "Authorization" not in request.headers:
                message = "it asks for no login, without which nothing can be encrypted"
                raise AnsweredInClear(message)
            return answer
        if kind.startswith(_SEALED) and _BOUNDARY in kind:
            return answer
        answer.content  # noqa: B018 - read to its end, so that the connection can be used again
        if answer.status_code == requests.codes.unauthorized:
            raise _LoginLost
        if answer.status_code == requests.codes.ok or "xml" in kind:
            message = (
                "it answered an encrypted message in clear: find out what listens there, or use `transport: https`"
            )
            raise AnsweredInClear(message)
        raise WinRMTransportError("http", answer.status_code, "")


class _Encryption(WinRMEncryption):
    def unwrap_message(self, message: bytes, boundary: str) -> bytes:
        try:
            return super().unwrap_message(message, boundary)
        except (SpnegoError, WinRMError, ValueError, IndexError, struct.error) as error:
            told = "its answer cannot be decrypted by the keys of the login"
            raise Unreadable(told) from error


class _Sender:
    """In the place of a transport's `send`: logs in when there is no login, and once more when it is lost."""

    def __init__(self, transport: Any) -> None:
        self._transport = transport
        self._send = transport.send

    def __call__(self, message: bytes, **options: Any) -> bytes:
        if self._transport.encryption is None:
            self._login()
        try:
            return bytes(self._send(message, **options))
        except _LoginLost:
            self._login()
        return bytes(self._send(message, **options))

    def _login(self) -> None:
        transport = self._transport
        transport.encryption = None
        transport._send_request(transport.session.prepare_request(requests.Request("POST", transport.endpoint)))
        (context,) = transport.session.auth.contexts.values()
        if not context.complete:
            message = "it did not show who it is, and without that there are no keys"
            raise AnsweredInClear(message)
        kerberos = context.response_auth_header == "kerberos"
        transport.encryption = _Encryption(context, _Encryption.KERBEROS if kerberos else _Encryption.SPNEGO)


def seal(transport: Any) -> None:
    """Make a transport of pypsrp, whose session is there, send nothing and take nothing that is not encrypted."""
    transport.session.mount("http://", _SealedAdapter())
    transport.send = _Sender(transport)
