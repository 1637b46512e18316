"""The login: smbprotocol negotiates, authenticates and connects to the share; then its socket and keys are taken over.

smbprotocol's own waits have no end in a login, so a watchman shuts the socket down when the time is over.
"""

from __future__ import annotations

import contextlib
import logging
import socket
import struct
import threading
import uuid
from collections.abc import Iterator
from typing import Any

from cryptography.hazmat.primitives.ciphers.aead import AESCCM, AESGCM
from smbprotocol import Dialects
from smbprotocol.connection import Ciphers, Connection
from smbprotocol.exceptions import SMBAuthenticationError, SMBConnectionClosed, SMBException, SMBResponseException
from smbprotocol.session import Session
from smbprotocol.tree import TreeConnect

from rehost.sources._errors import CredentialsRefused, SourceError, SourceUnavailable
from rehost.sources.smb._channel import Channel
from rehost.sources.smb._credentials import SmbCredentials
from rehost.sources.smb._errors import NotEncrypted
from rehost.sources.smb._frames import Frames
from rehost.sources.smb._status import StatusError, login_error

#: What the server chooses from. GCM first: CCM takes five times the processor time.
_CIPHERS = [Ciphers.AES_128_GCM, Ciphers.AES_256_GCM, Ciphers.AES_128_CCM, Ciphers.AES_256_CCM]
_SMALL_READ = 64 << 10  # bytes, of a server without multi-credit requests
_CREDITS = 256  # asked for at once: 16 MiB of answers

# It says on standard error, with a traceback, what the errors here say already.
logging.getLogger("smbprotocol").addHandler(logging.NullHandler())


def log_in(
    host: str, port: int, share: str, credentials: SmbCredentials, *, timeout: float, read_size: int, place: str
) -> Channel:
    """A connection to `share`, each of whose waits ends after `timeout` seconds, reading `read_size` bytes a request at most.

    Raises SourceUnavailable, CredentialsRefused and NotEncrypted about `place`, and StatusError where the share is refused.
    """
    if credentials.auth != "kerberos" and not (credentials.username and credentials.password):
        raise CredentialsRefused(place=place, reason="it takes nobody without a user name and a password; give both")
    connection = Connection(uuid.uuid4(), host, port, require_signing=True)
    with _bounded(connection, timeout) as late:
        try:
            session, tree = _negotiate(connection, share, credentials, timeout, place)
            return _take_over(connection, session, tree, timeout, read_size)
        except BaseException as error:
            connection.disconnect(close=False)
            if late.is_set() and not isinstance(error, KeyboardInterrupt):
                reason = f"{host}:{port} did not answer within {timeout:g} s; is that an SMB server, and does it run?"
                raise SourceUnavailable(place=place, reason=reason) from error
            if isinstance(error, (SMBException, ValueError)):
                raise SourceUnavailable(place=place, reason=f"the login failed: {error}") from error
            raise


@contextlib.contextmanager
def _bounded(connection: Any, timeout: float) -> Iterator[threading.Event]:
    """End every wait on the connection's socket after so many seconds, and say so by the event."""
    done, late = threading.Event(), threading.Event()

    def watch() -> None:
        if not done.wait(timeout):
            late.set()
            while True:
                if (held := getattr(connection.transport, "_sock", None)) is not None:
                    with contextlib.suppress(OSError):
                        held.shutdown(socket.SHUT_RDWR)
                if done.wait(0.1):
                    return

    watchman = threading.Thread(target=watch, name="smb-login", daemon=True)
    watchman.start()
    try:
        yield late
    finally:
        done.set()
        watchman.join()


def _negotiate(connection: Any, share: str, credentials: SmbCredentials, timeout: float, place: str) -> tuple[Any, Any]:
    try:
        connection.connect(timeout=timeout, preferred_encryption_algos=_CIPHERS)
    except ValueError as error:  # smbprotocol's word for whatever a socket cannot be connected for
        raise SourceUnavailable(place=place, reason=str(error.__cause__ or error)) from error
    if connection.dialect < Dialects.SMB_3_0_0 or not connection.supports_encryption:
        reason = (
            "its SMB server cannot encrypt; it needs SMB 3.0 (Windows Server 2012) or newer with encryption left on"
        )
        raise NotEncrypted(place=place, reason=reason)
    session = Session(
        connection, credentials.username, credentials.password, require_encryption=True, auth_protocol=credentials.auth
    )
    try:
        session.connect()
    except SMBResponseException as error:
        raise login_error(error.status, place) from error
    except SMBAuthenticationError as error:
        raise _kerberos_error(str(error), place) from error
    except SMBException as error:
        if "as a guest" not in str(error):
            raise
        reason = "it lets the account in as a guest, without encryption: there is no such user; correct the name"
        raise CredentialsRefused(place=place, reason=reason) from error
    except ImportError as error:
        reason = "Kerberos needs Python's gssapi and krb5, which are not there: pip install 'pyspnego[kerberos]', or use ntlm"
        raise CredentialsRefused(place=place, reason=reason) from error
    except Exception as error:  # of the Kerberos libraries, which have no common root
        if not connection.transport.connected:
            raise SMBConnectionClosed(str(error)) from error
        raise _kerberos_error(str(error), place) from error
    tree = TreeConnect(session, rf"\\{connection.server_name}\{share}")
    try:
        tree.connect()
    except SMBResponseException as error:
        raise StatusError(error.status) from error
    return session, tree


#: What MIT's Kerberos says, and what helps.
_KERBEROS = {
    "clock skew": "set this machine's clock by NTP, as the domain controller's is",
    "integrity check failed": "the password is wrong",
    "preauthentication failed": "the password is wrong",
    "client not found": "check the user's name and its realm",
    "not found in kerberos database": "name the host as the domain knows it, in full and not by its address",
}


def _kerberos_error(said: str, place: str) -> SourceError:
    if "cannot contact any kdc" in said.lower():
        return SourceUnavailable(
            place=place, reason=f"{said}; no domain controller of that realm answers (krb5.conf, DNS)"
        )
    found = (advice for words, advice in _KERBEROS.items() if words in said.lower())
    default = "for Kerberos, check the ticket (klist), the realm and the host's full name, or use ntlm"
    return CredentialsRefused(place=place, reason=f"{said}; {next(found, default)}")


class _Handover:
    """Stands in for the transport of a connection until its thread, which waits in the old one, has noticed and left."""

    def __init__(self, transport: Any) -> None:
        self._transport = transport
        self.send = transport.send
        self.close = transport.close
        self._sock = transport._sock

    @property
    def connected(self) -> bool:
        return bool(self._transport.connected)

    def recv(self, timeout: float) -> bytes:
        return b""  # the end, to smbprotocol


def _take_over(connection: Any, session: Any, tree: Any, timeout: float, read_size: int) -> Channel:
    connection.transport = _Handover(connection.transport)
    connection.echo(sid=session.session_id, credit_request=_CREDITS, timeout=timeout)
    connection._t_worker.join(timeout)
    if connection._t_worker.is_alive():
        message = "smbprotocol did not let go of the connection"
        raise SMBException(message)
    held = connection.transport._sock
    held.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    # The kernel's own timeouts, because MSG_WAITALL does not wait on a socket that Python has a timeout on: socket(7).
    limit = struct.pack("@ll", int(timeout), int(timeout % 1 * 1_000_000))
    held.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, limit)
    held.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, limit)
    cipher = connection.cipher_id if connection.dialect >= Dialects.SMB_3_1_1 else Ciphers.AES_128_CCM
    counter = cipher in {Ciphers.AES_128_GCM, Ciphers.AES_256_GCM}
    make: Any = AESGCM if counter else AESCCM
    largest = connection.max_read_size if connection.supports_multi_credit else _SMALL_READ
    read_size = min(read_size, largest)
    window = connection.sequence_window
    frames = Frames(
        held,
        sealing=make(session.encryption_key),
        opening=make(session.decryption_key),
        nonce_size=12 if counter else 11,
        session=session.session_id,
        tree=tree.tree_connect_id,
        message=window["low"],
        granted=window["high"] - window["low"],
        room=read_size + Channel.OVERHEAD,
    )
    return Channel(frames, read_size=read_size, timeout=timeout)
