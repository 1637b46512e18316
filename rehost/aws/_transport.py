"""How requests for blocks travel: connections of our own straight to the endpoint, or botocore's session through a proxy."""

from __future__ import annotations

import ssl
import threading
import time
from collections.abc import Mapping
from typing import Any, Protocol
from urllib.parse import urlsplit

import botocore.exceptions as boto

from rehost.aws._errors import reason_of
from rehost.aws._wire import Answer, Connection

#: Seconds an idle connection is trusted: load balancers close them after 60 (ELB user guide, "Idle timeout").
IDLE_SECONDS = 20.0


class Transport(Protocol):
    """Thread-safe. Raises OSError where no answer came; its text is the reason in a line."""

    def exchange(
        self,
        method: str,
        target: str,
        headers: Mapping[str, str],
        body: memoryview | None = None,
        into: memoryview | None = None,
    ) -> Answer:
        """`target` is the path with its query; `into` takes the answer's body where that is just as long."""

    def close(self) -> None: ...


def open_transport(endpoint: str, *, verify: str | bool, proxies: Mapping[str, str]) -> Transport:
    """`verify`: a bundle of certificates, True for the SDK's own. `proxies`: by scheme, as botocore finds them."""
    if urlsplit(endpoint).scheme in proxies:
        return Proxied(endpoint, verify, proxies)
    return Direct(endpoint, verify)


class Direct:
    """A pool of connections; as many are open as there were requests at once."""

    def __init__(self, endpoint: str, verify: str | bool) -> None:
        parts = urlsplit(endpoint)
        self._host = parts.hostname or ""
        self._port = parts.port or (443 if parts.scheme == "https" else 80)
        self._context = _context(verify) if parts.scheme == "https" else None
        self._idle: list[tuple[float, Connection]] = []  # the one used last is taken first: it is the likeliest alive
        self._lock = threading.Lock()
        self._closed = False

    def exchange(
        self,
        method: str,
        target: str,
        headers: Mapping[str, str],
        body: memoryview | None = None,
        into: memoryview | None = None,
    ) -> Answer:
        lines = "".join([f"{name}: {value}\r\n" for name, value in headers.items()])
        head = f"{method} {target} HTTP/1.1\r\n{lines}\r\n".encode("latin-1")
        kept = self._take()
        if kept is not None:
            try:
                return self._on(kept, head, body, into)
            except TimeoutError:
                raise
            except OSError:
                pass  # the other side had closed it meanwhile: nothing is known about the endpoint yet
        return self._on(Connection(self._host, self._port, self._context), head, body, into)

    def close(self) -> None:
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, []
        for _, connection in idle:
            connection.close()

    def __del__(self) -> None:
        # Whoever forgets to close it (a client of boto has no close either) leaves no open connection behind.
        for _, connection in self.__dict__.get("_idle", ()):
            connection.close()

    def _on(self, connection: Connection, head: bytes, body: memoryview | None, into: memoryview | None) -> Answer:
        try:
            answer = connection.exchange(head, body, into)
        except BaseException:
            connection.close()
            raise
        with self._lock:
            if connection.reusable and not self._closed:
                self._idle.append((time.monotonic(), connection))
                return answer
        connection.close()
        return answer

    def _take(self) -> Connection | None:
        with self._lock:
            if not self._idle:
                return None
            used, connection = self._idle.pop()
            if time.monotonic() - used < IDLE_SECONDS:
                return connection
            stale, self._idle = [connection, *(each for _, each in self._idle)], []
        for each in stale:
            each.close()
        return None


def _context(verify: str | bool) -> ssl.SSLContext:
    from botocore.httpsession import get_cert_path

    return ssl.create_default_context(cafile=get_cert_path(verify))


class Proxied:
    """botocore's own HTTP session: tunnels, proxies that ask for credentials, TLS to the proxy."""

    def __init__(self, endpoint: str, verify: str | bool, proxies: Mapping[str, str]) -> None:
        from botocore.httpsession import URLLib3Session

        self._endpoint = endpoint.rstrip("/")
        self._http = URLLib3Session(verify=verify, proxies=dict(proxies), timeout=(10, 60), max_pool_connections=64)

    def exchange(
        self,
        method: str,
        target: str,
        headers: Mapping[str, str],
        body: memoryview | None = None,
        into: memoryview | None = None,
    ) -> Answer:
        from botocore.awsrequest import AWSPreparedRequest, HeadersDict

        base = urlsplit(self._endpoint)
        url = f"{base.scheme}://{base.netloc}{target}"
        request = AWSPreparedRequest(method, url, HeadersDict(headers), body, stream_output=False)
        try:
            answer: Any = self._http.send(request)
        except (boto.HTTPClientError, boto.ConnectionError) as error:
            raise OSError(reason_of(error)) from None
        content: bytes | memoryview = answer.content
        if into is not None and len(content) == len(into):
            into[:] = content
            content = into
        return Answer(answer.status_code, {name.lower(): value for name, value in answer.headers.items()}, content)

    def close(self) -> None:
        self._http.close()
