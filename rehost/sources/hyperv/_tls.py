"""TLS to a host's WinRM: verified against a CA, or pinned to one certificate."""

from __future__ import annotations

import hashlib
import socket
import ssl
from typing import Any

import requests
from requests.adapters import HTTPAdapter

from rehost.sources._certificates import differs, pairs
from rehost.sources._errors import CertificateRefused
from rehost.sources.hyperv._config import Endpoint, HyperVConfig

_LOOK_TIMEOUT = 10.0  # seconds
_ADVICE = (
    "set `tls: {caFile: ...}` to the authority that issued it (or to itself, where it is self-signed and has the host's "
    "name), or `tls: {thumbprint: ...}` to this very certificate"
)


class Adapter(HTTPAdapter):
    """Knows the answer that is being read, so that its connection can be closed when a login ends in the middle.

    With a thumbprint the certificate itself is compared before a request goes out, and neither its issuer nor its name matters.
    """

    def __init__(self, thumbprint: str | None = None) -> None:
        self._thumbprint = thumbprint
        self._last: requests.Response | None = None
        super().__init__()

    def init_poolmanager(self, *args: Any, **options: Any) -> None:
        super().init_poolmanager(*args, assert_fingerprint=self._thumbprint, **options)

    def send(self, *args: Any, **options: Any) -> requests.Response:
        self._last = super().send(*args, **options)
        return self._last

    def close(self) -> None:
        if self._last is not None:
            self._last.close()
        super().close()


def trust(config: HyperVConfig, session: requests.Session) -> None:
    """Make a session of requests trust what the spec says, and nothing else."""
    session.max_redirects = 0  # WinRM has none, and a login goes nowhere but where the spec says
    if not config.https:
        return  # `_sealed` sees to it that nothing goes in clear
    session.mount("https://", Adapter(config.thumbprint))
    if config.thumbprint:
        session.verify = False
        return
    # requests would ask its own list of authorities; the system's is what administrators add theirs to.
    found = ssl.get_default_verify_paths().cafile
    session.verify = str(config.ca_file) if config.ca_file else found or True


def refused(config: HyperVConfig, endpoint: Endpoint, error: Exception) -> CertificateRefused:
    shown = _thumbprint(endpoint)
    place = str(endpoint)
    if config.thumbprint:
        return CertificateRefused(place=place, reason=differs(shown, config.thumbprint))
    detail = getattr(innermost(error), "verify_message", "") or "it cannot be verified"
    return CertificateRefused(place=place, reason=f"{detail} (its SHA-256 is {shown}); {_ADVICE}")


def innermost(error: BaseException) -> BaseException:
    """Errors of requests have those of urllib3 as their argument, and those have a reason: ssl's error, or the socket's."""
    for inner in (getattr(error, "reason", None), *error.args):
        if isinstance(inner, BaseException):
            return innermost(inner)
    return error


def _thumbprint(endpoint: Endpoint) -> str:
    """Of what the host shows; nothing is sent to it."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    try:
        with (
            socket.create_connection((endpoint.host, endpoint.port), timeout=_LOOK_TIMEOUT) as plain,
            context.wrap_socket(plain, server_hostname=endpoint.host) as wrapped,
        ):
            return pairs(hashlib.sha256(wrapped.getpeercert(binary_form=True) or b"").hexdigest())
    except OSError:
        return "unknown"
