"""Who a connection belongs to: HTTP Negotiate (NTLM, Kerberos) and client certificates, as WinRM authenticates them.

WinRM authenticates a connection, not a request; Basic is off by default ("Installation and configuration for Windows Remote
Management", learn.microsoft.com/windows/win32/winrm/installation-and-configuration-for-windows-remote-management).
"""

from __future__ import annotations

import base64
import binascii
import os
import threading
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import spnego
import spnego.channel_bindings
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from spnego.exceptions import SpnegoError

from sandbox.hyperv._certificates import user_of
from sandbox.hyperv._sealing import Context, KerberosContext

MUTUAL = "http://schemas.dmtf.org/wbem/wsman/1/wsman/secprofile/https/mutual"
OFFERED = ("Negotiate", "Kerberos")
_KERBEROS = bytes.fromhex("06092a864886f712010202")  # its object identifier, which begins a token of its own

# pyspnego reads the store of NTLM's users from a variable of the environment, which belongs to the process.
_ENVIRONMENT = threading.Lock()


@dataclass
class Accounts:
    """The users of a host: `users` in the form DOMAIN:USER:PASSWORD a line, and who may log in with a certificate."""

    file: Path
    mapped: Collection[str] = ()  # user principal names that a certificate is mapped to
    environment: Mapping[str, str] = field(
        default_factory=dict
    )  # of Kerberos (KRB5_CONFIG, KRB5_KTNAME), where there is a realm


@dataclass
class Login:
    """Of one connection. `step` takes the Authorization header of a request that is not authenticated yet."""

    accounts: Accounts
    server_certificate: bytes  # DER, or nothing where there is no TLS
    client_certificate: bytes  # DER, or nothing
    user: str = ""
    scheme: str = ""  # that the user logged in with
    sealing: Context | None = None  # encrypts, when the login is done
    _context: spnego.ContextProxy | None = None

    def step(self, authorization: str) -> tuple[str, str]:
        """What the answer's WWW-Authenticate says next, if anything, and the user, where the login is done."""
        scheme, _, token = authorization.partition(" ")
        if authorization == MUTUAL:
            name = user_of(self.client_certificate) if self.client_certificate else ""
            self.user = name if name in self.accounts.mapped else ""
            return "", self.user
        if scheme not in OFFERED or not token:
            return "", ""
        try:
            said = self._negotiate(scheme, base64.b64decode(token, validate=True))
        except binascii.Error:
            return "", ""
        self.scheme = scheme
        return said or "", self.user

    def _negotiate(self, scheme: str, token: bytes) -> str | None:
        with _ENVIRONMENT:
            before = dict(os.environ)
            os.environ["NTLM_USER_FILE"] = str(self.accounts.file)
            os.environ.update(self.accounts.environment)
            try:
                if self.accounts.environment and _KERBEROS in token[:32]:
                    return self._kerberos(scheme, token)
                if self._context is None:
                    self._context = self._begin(scheme, token)
                answer = self._context.step(token)
                complete = self._context.complete
            except (SpnegoError, ValueError, AttributeError):
                # An AttributeError is pyspnego's, which asks a context for its flags that never came about.
                self._context = None
                return None
            finally:
                for name in set(os.environ) - set(before):
                    del os.environ[name]
                os.environ.update(before)
        if complete:
            self.user, self.sealing, self._context = self._context.client_principal or "", self._context, None
        return f"{scheme} {base64.b64encode(answer).decode()}" if answer else ""

    def _begin(self, scheme: str, token: bytes) -> spnego.ContextProxy:
        protocol, options = "negotiate", spnego.NegotiateOptions.use_negotiate
        if token.startswith(b"NTLMSSP\0"):
            protocol, options = "ntlm", spnego.NegotiateOptions.use_ntlm
        elif self.accounts.environment:
            options = spnego.NegotiateOptions.none
        return spnego.server(channel_bindings=_bindings(self.server_certificate), protocol=protocol, options=options)

    def _kerberos(self, scheme: str, token: bytes) -> str | None:
        """Kerberos's own token, which Windows takes in the place of SPNEGO's. pyspnego would lose the token that says what
        is wrong with a login, such as a clock that is off."""
        import gssapi
        from gssapi.raw import ChannelBindings, GSSError

        expected = _bindings(self.server_certificate)
        bindings = ChannelBindings(application_data=expected.application_data) if expected is not None else None
        context = gssapi.SecurityContext(usage="accept", channel_bindings=bindings)
        try:
            answer = context.step(token)
            if context.complete:
                self.user, self.sealing = str(context.initiator_name), KerberosContext(context)
        except GSSError as error:
            answer = error.token
        return f"{scheme} {base64.b64encode(answer).decode()}" if answer else ""


def _bindings(certificate: bytes) -> spnego.channel_bindings.GssChannelBindings | None:
    """RFC 5929's tls-server-end-point; our certificates are signed with SHA-256. Without TLS there is nothing to bind to."""
    if not certificate:
        return None
    digest = x509.load_der_x509_certificate(certificate).fingerprint(hashes.SHA256())
    return spnego.channel_bindings.GssChannelBindings(application_data=b"tls-server-end-point:" + digest)
