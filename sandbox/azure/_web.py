"""What the services of the stand-in take and give, below them cheroot."""

from __future__ import annotations

import json
import traceback as traceback_module
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

from cheroot import wsgi
from cheroot.ssl.builtin import BuiltinSSLAdapter

THREADS = 24


@dataclass
class Request:
    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]  # by name in lower case
    body: bytes
    base: str  # the server's own URL, without a path

    @classmethod
    def of(cls, environ: Mapping[str, Any]) -> Request:
        names = {key[5:].replace("_", "-").lower(): value for key, value in environ.items() if key.startswith("HTTP_")}
        if "CONTENT_TYPE" in environ:
            names["content-type"] = environ["CONTENT_TYPE"]
        return cls(
            environ["REQUEST_METHOD"],
            environ["PATH_INFO"],
            # cheroot has decoded nothing of it; a plus is a blank there.
            dict(parse_qsl(environ.get("QUERY_STRING", ""), keep_blank_values=True)),
            names,
            environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0)),
            f"{environ['wsgi.url_scheme']}://{environ.get('HTTP_HOST', '')}",
        )

    def json(self) -> Any:
        return json.loads(self.body or b"{}")


@dataclass
class Answer:
    status: int
    body: bytes | Iterable[bytes] = b""
    headers: dict[str, str] = field(default_factory=dict)
    length: int | None = None  # of a body that comes in pieces

    @classmethod
    def of(cls, status: int, value: Any, headers: Mapping[str, str] | None = None) -> Answer:
        kind = {"Content-Type": "application/json; charset=utf-8"}
        return cls(status, json.dumps(value).encode(), {**kind, **(headers or {})})


Handler = Callable[[Request], Answer]


class WebServer:
    """A handler on a port of loopback that the system chooses."""

    def __init__(self, handler: Handler, tls: tuple[Path, Path] | None = None, threads: int = THREADS) -> None:
        self._handler = handler
        self._server = wsgi.Server(
            ("127.0.0.1", 0), self._serve_one, numthreads=threads, request_queue_size=128, timeout=120
        )
        self._server.max_request_body_size = 0
        self._server.expiration_interval = 0.1  # else its end takes half a second
        setattr(self._server, "error_log", _quiet)  # noqa: B010 - cheroot documents it as an attribute to set
        if tls:
            self._server.ssl_adapter = BuiltinSSLAdapter(str(tls[0]), str(tls[1]))
        self._server.prepare()
        self.endpoint = f"{'https' if tls else 'http'}://127.0.0.1:{self._server.bind_addr[1]}"

    def serve(self) -> None:
        self._server.serve()

    def stop(self) -> None:
        self._server.stop()

    def _serve_one(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        try:
            answer = self._handler(Request.of(environ))
        except Exception:  # whatever of ours fails: the client gets an answer, and the log says what it was
            traceback_module.print_exc()
            answer = Answer(500, b"the stand-in failed; its log says how", {"Content-Type": "text/plain"})
        length = len(answer.body) if isinstance(answer.body, bytes) else answer.length
        headers = dict(answer.headers)
        if length is not None:
            headers.setdefault("Content-Length", str(length))
        start_response(f"{answer.status} .", list(headers.items()))
        return [answer.body] if isinstance(answer.body, bytes) else answer.body


def _quiet(message: str = "", level: int = 20, traceback: bool = False) -> None:
    if traceback:
        print(message, flush=True)
        traceback_module.print_exc()
