"""WinRM's listeners on loopback, for HTTPS and for HTTP: connections that stay open and are authenticated once.

Over HTTP each message is encrypted by the login. A request in clear after it is answered with 500 and nothing more, as Windows
does (github.com/diyan/pywinrm/issues/129). Which status a message has that cannot be decrypted is not documented; it is 400 here.
"""

from __future__ import annotations

import contextlib
import socket
import socketserver
import ssl
import threading
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any, cast

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from sandbox.hyperv._certificates import KeyFiles
from sandbox.hyperv._faults import Dropped, Faults
from sandbox.hyperv._login import OFFERED, Accounts, Login
from sandbox.hyperv._sealing import NotSealed, seal, unseal
from sandbox.hyperv._winrm import WinRm

_HANDSHAKE_SECONDS = 10.0
_LARGEST_BODY = 16 << 20
_SOAP = "application/soap+xml;charset=UTF-8"


class Listener:
    """Serves on a port of loopback that stays the same through `stop` and `start`."""

    def __init__(self, accounts: Accounts, winrm: WinRm, faults: Faults, clients: Path | None) -> None:
        """`clients`: the authority that signs certificates of clients; None is HTTP."""
        self.offered = OFFERED
        self.accounts = accounts
        self.winrm = winrm
        self.faults = faults
        self.port = 0
        self.certificate = b""
        self.secure = clients is not None
        if clients is not None:
            self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self._context.verify_mode = ssl.CERT_OPTIONAL
            self._context.load_verify_locations(clients)
        self._server: _Server | None = None
        self._thread: threading.Thread | None = None

    def present(self, files: KeyFiles) -> None:
        """The certificate of the server, from the next connection on."""
        self._context.load_cert_chain(files.certificate, files.key)
        self.certificate = x509.load_pem_x509_certificate(files.certificate.read_bytes()).public_bytes(Encoding.DER)

    def start(self) -> None:
        self._server = _Server(self, self.port)
        self.port = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), name="winrm")
        self._thread.start()

    def stop(self) -> None:
        """All connections drop, scripts are stopped, the port is free."""
        server, thread = self._server, self._thread
        if server is None or thread is None:
            return
        self._server = self._thread = None
        server.shutdown()
        thread.join()
        server.drop_connections()
        self.winrm.shells.clear()
        server.server_close()

    def drop_connections(self) -> None:
        if self._server is not None:
            self._server.drop_connections()

    def wrap(self, connection: socket.socket) -> ssl.SSLSocket:
        return self._context.wrap_socket(connection, server_side=True, do_handshake_on_connect=False)


class _Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = False
    block_on_close = True
    request_queue_size = 64

    def __init__(self, listener: Listener, port: int) -> None:
        self.listener = listener
        self._lock = threading.Lock()
        self._connections: set[socket.socket] = set()
        super().__init__(("127.0.0.1", port), _Handler)

    def opened(self, connection: socket.socket) -> None:
        with self._lock:
            self._connections.add(connection)

    def closed(self, connection: socket.socket) -> None:
        with self._lock:
            self._connections.discard(connection)

    def drop_connections(self) -> None:
        with self._lock:
            for connection in self._connections:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away, or never spoke TLS to us, is none of our errors."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version = "Microsoft-HTTPAPI/2.0"
    sys_version = ""
    disable_nagle_algorithm = True

    def setup(self) -> None:
        self.listener = cast(_Server, self.server).listener
        self._plain = self.request
        cast(_Server, self.server).opened(self._plain)
        peer = self._secured() if self.listener.secure else b""
        self.login = Login(self.listener.accounts, self.listener.certificate, peer)
        super().setup()

    def _secured(self) -> bytes:
        """Begin TLS; the certificate of the client, or nothing."""
        try:
            self.request.settimeout(_HANDSHAKE_SECONDS)
            plain = self._plain
            self.request = self._plain = self.listener.wrap(plain)
            # Wrapping has detached the plain one: only this one can be dropped.
            cast(_Server, self.server).closed(plain)
            cast(_Server, self.server).opened(self._plain)
            self.request.do_handshake()
            self.request.settimeout(None)
        except OSError:
            self.request.close()
            cast(_Server, self.server).closed(self._plain)
            raise
        return self.request.getpeercert(binary_form=True) or b""

    def handle(self) -> None:
        with contextlib.suppress(OSError):
            super().handle()

    def finish(self) -> None:
        with contextlib.suppress(OSError):
            super().finish()
        cast(_Server, self.server).closed(self._plain)
        self.request.close()

    def do_POST(self) -> None:
        try:
            self._answer()
        except Dropped:
            self.close_connection = True

    def _answer(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        if length > _LARGEST_BODY:
            self._send(413, b"")
            return
        body = self.rfile.read(length)
        if self.path.rstrip("/") != "/wsman":
            self._send(404, b"")
            return
        fault = self.listener.faults.take("http", "POST")
        if fault is not None and fault.settings.get("drop"):
            raise Dropped
        if fault is not None and "status" in fault.settings:
            self._send(int(fault.settings["status"]), b"", location=str(fault.settings.get("location", "")))
            return
        said, user = "", self.login.user
        if not user:
            said, user = self.login.step(self.headers.get("Authorization", ""))
        if not user:
            self._send(401, b"", [said] if said else list(self.listener.offered))
        elif self.listener.secure:
            status, envelope = self.listener.winrm.handle(body, user)
            self._send(status, envelope, [said] if said else [])
        else:
            self._answer_sealed(body, user, [said] if said else [])

    def _answer_sealed(self, body: bytes, user: str, said: list[str]) -> None:
        """`http`, `answer` is a fault of this: `plain=True` answers in clear, `spoil=True` spoils what is encrypted, `piece=N`
        encrypts so many bytes at a time."""
        kind, context, scheme = self.headers.get("Content-Type", ""), self.login.sealing, self.login.scheme
        if not body:
            self._send(200, b"", said)  # the request that only logs in
            return
        if context is None or not kind.startswith("multipart/encrypted"):
            self._send(500, b"", said)
            return
        try:
            message = unseal(kind, body, context, scheme)
        except NotSealed:
            self._send(400, b"")
            self.close_connection = True
            return
        status, envelope = self.listener.winrm.handle(message, user)
        fault = self.listener.faults.take("http", "answer")
        settings = fault.settings if fault is not None else {}
        if settings.get("plain"):
            self._send(status, envelope)
            return
        kind, sealed = seal(envelope, context, scheme, int(settings.get("piece", 0)))
        if settings.get("spoil"):
            middle = len(sealed) - len(sealed) // 4
            sealed = sealed[:middle] + bytes([sealed[middle] ^ 1]) + sealed[middle + 1 :]
        self._send(status, sealed, said, kind)

    def _send(
        self, status: int, body: bytes, authenticate: list[str] | None = None, kind: str = _SOAP, location: str = ""
    ) -> None:
        self.send_response(status)
        if location:
            self.send_header("Location", location)
        for line in authenticate or []:
            self.send_header("WWW-Authenticate", line)
        if body:
            self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name in http.server
        """Nothing is logged: tests look at state()."""
