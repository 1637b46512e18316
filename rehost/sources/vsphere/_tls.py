"""TLS to a vCenter: verified against a CA, or pinned to one certificate."""

from __future__ import annotations

import hashlib
import hmac
import http.client
import ssl

from rehost.sources._certificates import differs, pairs
from rehost.sources._errors import CertificateRefused, SourceConfigInvalid
from rehost.sources.vsphere._config import VSphereConfig

CONNECT_TIMEOUT = 30.0  # seconds
_ADVICE = (
    "set `tls: {caFile: ...}` to the vCenter's CA (its page https://HOST/certs/download.zip has it), or "
    "`tls: {thumbprint: ...}` to this very certificate"
)


def context(config: VSphereConfig) -> ssl.SSLContext:
    """With a thumbprint the certificate itself is compared (`check_pin`), and neither its issuer nor its name matters."""
    if config.thumbprint:
        pinned = ssl.create_default_context()
        pinned.check_hostname = False
        pinned.verify_mode = ssl.CERT_NONE
        return pinned
    try:
        return ssl.create_default_context(cafile=str(config.ca_file) if config.ca_file else None)
    except (OSError, ssl.SSLError) as error:
        raise SourceConfigInvalid(detail=f"`tls.caFile` {config.ca_file} cannot be used: {error}") from error


def check_pin(config: VSphereConfig, certificate: bytes | None) -> None:
    """Raise CertificateRefused unless the peer's certificate (DER) is the pinned one. Call it before anything is sent."""
    if config.thumbprint is None:
        return
    found = hashlib.sha256(certificate or b"").hexdigest()
    if not hmac.compare_digest(found, config.thumbprint):
        raise CertificateRefused(place=config.place, reason=differs(pairs(found), config.thumbprint))


def refused(config: VSphereConfig, error: ssl.SSLError) -> CertificateRefused:
    detail = getattr(error, "verify_message", "") or str(error)
    return CertificateRefused(place=config.place, reason=f"{detail}; {_ADVICE}")


class PinnedConnection(http.client.HTTPSConnection):
    """An HTTPS connection that compares the certificate before a request goes out."""

    def __init__(self, config: VSphereConfig, host: str, port: int, *, context: ssl.SSLContext, timeout: float) -> None:
        super().__init__(host, port, context=context, timeout=timeout)
        self._config = config

    def connect(self) -> None:
        super().connect()
        try:
            check_pin(self._config, self.sock.getpeercert(binary_form=True))
        except BaseException:
            self.close()
            raise
