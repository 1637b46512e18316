"""Checks over the network: TCP and HTTP, from where `pulumi` runs."""

from __future__ import annotations

import http.client
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from rehost import __version__
from rehost.validation._check import Check, Target, Tried

#: A single try takes no longer, however much time its check has left.
TRY_SECONDS = 30.0
BODY_BYTES = 64 * 1024


def tcp(check: Check, target: Target, seconds: float) -> Tried:
    """Whether a connection is accepted."""
    host = address_of(check, target)
    if host is None:
        return _no_address(check, target)
    port = int(check.settings["port"])
    try:
        socket.create_connection((host, port), timeout=min(seconds, TRY_SECONDS)).close()
    except OSError as error:
        return Tried(False, f"{_shown(host)}:{port} takes no connection: {_reason(error)}")
    return Tried(True, f"{_shown(host)}:{port} takes connections")


def http_get(check: Check, target: Target, seconds: float) -> Tried:
    """Whether a GET answers with a right status, and a body that holds what it should."""
    host = address_of(check, target)
    if host is None:
        return _no_address(check, target)
    wanted = check.settings
    scheme = wanted.get("scheme", "http")
    port = int(wanted.get("port") or (443 if scheme == "https" else 80))
    path = wanted.get("path", "/")
    name = wanted.get("serverName") or host
    url = f"{scheme}://{_shown(host)}:{port}{path}"
    limit = min(seconds, TRY_SECONDS)
    connection = http.client.HTTPConnection(host, port, timeout=limit)
    held: list[socket.socket] = []
    try:
        with _ended_after(limit, held) as ended:
            connection.connect()
            held.append(connection.sock)
            if scheme == "https":
                context = _context(verify=wanted.get("verify", True))
                connection.sock = context.wrap_socket(connection.sock, server_hostname=name)
                held.append(connection.sock)
            headers = {"Host": name if wanted.get("serverName") else f"{_shown(host)}:{port}"}
            connection.request("GET", path, headers={**headers, "User-Agent": f"rehost/{__version__}"})
            answer = connection.getresponse()
            body = answer.read(BODY_BYTES).decode("utf-8", "replace")
            if ended.is_set():
                raise TimeoutError
    except (OSError, http.client.HTTPException) as error:
        return Tried(False, f"GET {url} had no answer: {_reason(error)}")
    finally:
        connection.close()
    right = set(wanted.get("status", range(200, 300)))
    if answer.status not in right:
        return Tried(False, f"GET {url} answered {answer.status} {answer.reason}".rstrip(), body)
    text = wanted.get("body")
    if text is not None and text not in body:
        return Tried(False, f"GET {url} answered {answer.status}, and its body lacks {text!r}", body)
    return Tried(True, f"GET {url} answered {answer.status}", body)


def address_of(check: Check, target: Target) -> str | None:
    """Whom to ask; None where the instance has no such address."""
    if check.settings.get("host"):
        return str(check.settings["host"])
    public = check.settings.get("address") == "public"
    return target.public_address if public else target.private_address


def _no_address(check: Check, target: Target) -> Tried:
    kind = check.settings.get("address", "private")
    return Tried(
        False, f"instance {target.instance_id} has no {kind} address; name a host, or another address", final=True
    )


@contextmanager
def _ended_after(seconds: float, held: list[socket.socket]) -> Iterator[threading.Event]:
    """A server that sends a byte now and then keeps every single read within its timeout: the whole try ends here.

    `held` gets the sockets: the connection itself forgets its own once an answer has begun.
    """

    ended = threading.Event()

    def end() -> None:
        ended.set()
        for sock in held:
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)

    timer = threading.Timer(seconds, end)
    timer.daemon = True
    timer.start()
    try:
        yield ended
    finally:
        timer.cancel()


def _context(*, verify: bool) -> ssl.SSLContext:
    context = ssl.create_default_context()
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _shown(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _reason(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "timed out"
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not good: {error.verify_message}"
    if isinstance(error, http.client.HTTPException):
        return f"{type(error).__name__} {error}".strip()
    return str(getattr(error, "strerror", None) or error or type(error).__name__)
