"""The report over HTTP: it only reads, and only for whoever asks it by a name of its own.

Against a page of somebody else's in the same browser: a Host that is not this server's is refused (its name was made to point here: DNS
rebinding), no answer may be read across origins, and nothing can be changed by any request.
"""

from __future__ import annotations

import gzip
import ipaddress
import json
import re
import socket
import sys
import threading
from collections.abc import Collection
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from rehost.errors import RehostError
from rehost.report._errors import CannotListen
from rehost.report._live import Live
from rehost.report._page import content_policy, frame

_SECONDS = 10.0  # that a request may take to arrive, and an answer to be taken
_AT_ONCE = 32
_SMALL = 1024  # bytes below which nothing is compressed


class ReportServer(ThreadingHTTPServer):
    """`host` and `port` to listen on, port 0 for a free one; `names`: further names that it is asked by, behind a proxy.

    Raises `CannotListen`.
    """

    daemon_threads = True
    block_on_close = False
    request_queue_size = 64

    def __init__(self, live: Live, host: str, port: int, *, names: Collection[str] = ()) -> None:
        self.live = live
        self._names = {name.lower() for name in names}
        self._slots = threading.BoundedSemaphore(_AT_ONCE)
        try:
            family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
            self.address_family = family
            super().__init__(address[:2], _Handler)  # type: ignore[arg-type]
        except (OSError, OverflowError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise CannotListen(host=host, port=port, reason=reason) from None
        self.host = host
        self.is_loopback = _is_loopback(str(self.server_address[0]))

    @property
    def port(self) -> int:
        return int(self.server_address[1])

    @property
    def url(self) -> str:
        host = str(self.server_address[0])
        return f"http://{f'[{host}]' if ':' in host else host}:{self.port}/"

    def in_background(self) -> threading.Thread:
        """Serve until `shutdown`, in a thread to join after it."""
        thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.1}, name="report", daemon=True)
        thread.start()
        return thread

    def server_bind(self) -> None:
        """Without the name look-up of the base class: it may take long, and nobody needs it."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])

    def is_own(self, host: str) -> bool:
        """Whether a Host header names this server. An address is no name that somebody could have made to point here."""
        found = re.fullmatch(r"(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]+)(?::([0-9]{1,5}))?", host.strip())
        if found is None:
            return False
        name = found[1].strip("[]").rstrip(".").lower()
        if name in self._names:
            return True
        if int(found[2] or 80) != self.port:
            return False
        if name in ("localhost", self.host.lower()):
            return True
        try:
            address = ipaddress.ip_address(name)
        except ValueError:
            return False
        return address.is_loopback or not self.is_loopback

    def process_request(self, request: Any, client_address: Any) -> None:
        """A thread a connection, and a limit to them: one that finds no place is closed."""
        if not self._slots.acquire(blocking=False):
            self.shutdown_request(request)
            return
        super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._slots.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        error = sys.exception()
        if not isinstance(error, OSError):  # somebody went away
            print(f"a request failed: {type(error).__name__}: {error}", file=sys.stderr, flush=True)


class _Handler(BaseHTTPRequestHandler):
    server: ReportServer
    timeout = _SECONDS
    server_version = "rehost"
    sys_version = ""

    def do_GET(self) -> None:
        hosts = self.headers.get_all("Host") or []
        if len(hosts) != 1:
            return self._tell(HTTPStatus.BAD_REQUEST, "a request needs one Host header")
        if not self.server.is_own(hosts[0]):
            return self._tell(
                HTTPStatus.MISDIRECTED_REQUEST,
                "this host name is not one of this server; open it by its address, or name it with --allow-host",
            )
        if self.headers.get("Sec-Fetch-Site") in ("cross-site", "same-site") and (
            self.headers.get("Sec-Fetch-Mode") != "navigate"
        ):
            return self._tell(HTTPStatus.FORBIDDEN, "another site's page asks for it")
        split = urlsplit(self.path)
        try:
            return self._answer(split.path, parse_qs(split.query, max_num_fields=4))
        except RehostError as error:
            return self._tell(HTTPStatus.SERVICE_UNAVAILABLE, f"nothing can be shown now: {error}")
        except ValueError:
            return self._tell(HTTPStatus.BAD_REQUEST, "the query cannot be read")

    do_HEAD = do_GET  # noqa: N815

    def _refuse(self) -> None:
        self._tell(HTTPStatus.METHOD_NOT_ALLOWED, "this server only reads", Allow="GET, HEAD")

    def __getattr__(self, name: str) -> Any:
        """Every other method there is, or that somebody makes up."""
        if name.startswith("do_"):
            return self._refuse
        raise AttributeError(name)

    def _answer(self, path: str, query: dict[str, list[str]]) -> None:
        live = self.server.live
        if path == "/":
            shown = live.shown()
            return self._send("text/html", frame(shown.report, shown.sections, live=True))
        if path == "/now":
            shown = live.shown()
            news = {"sections": shown.digests, "at": shown.moment, "every": shown.every, "message": shown.message}
            return self._send("application/json", json.dumps(news))
        if path == "/section":
            part = live.shown().sections.get(query.get("name", [""])[0])
            if part is not None:
                return self._send("text/html", part)
        if path == "/history":
            past = live.history(query.get("server", [""])[0])
            if past is not None:
                return self._send("text/html", past)
        return self._tell(HTTPStatus.NOT_FOUND, "there is nothing here; the report is at /")

    def _tell(self, status: HTTPStatus, message: str, **headers: str) -> None:
        self._send("text/plain", f"{message}\n", status, **headers)

    def _send(self, kind: str, text: str, status: HTTPStatus = HTTPStatus.OK, **headers: str) -> None:
        body = text.encode("utf-8", "replace")
        if len(body) > _SMALL and "gzip" in self.headers.get("Accept-Encoding", ""):
            body = gzip.compress(body, 1)
            headers["Content-Encoding"] = "gzip"
        self.send_response(status)
        for name, value in {
            "Content-Type": f"{kind}; charset=utf-8",
            "Content-Length": str(len(body)),
            "Content-Security-Policy": content_policy(live=True),
            "X-Content-Type-Options": "nosniff",
            "Referrer-Policy": "no-referrer",
            "Cross-Origin-Resource-Policy": "same-origin",
            "Cross-Origin-Opener-Policy": "same-origin",
            "Cache-Control": "no-store",
            "Vary": "Accept-Encoding",
            "Connection": "close",
            **headers,
        }.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class names it so
        """Nothing: a page that asks every two seconds would fill any log."""


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
