"""The bytes of page blobs over HTTPS, in ranges, straight into the caller's buffer.

A URL of a SAS is a secret by itself: none stands in an error or a log here. (urllib3 logs the URLs that it asks for, and the client of
azure-storage-blob copies what it reads twice: docs/decisions.md has the figures.)
"""

from __future__ import annotations

import http.client
import ssl
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from urllib.parse import SplitResult, urlsplit
from urllib.request import getproxies, proxy_bypass

import structlog

from rehost.sources import _http_ranges
from rehost.sources._errors import CertificateRefused, ReadFailed, SourceConfigInvalid
from rehost.sources.azure import _pages
from rehost.sources.azure._config import AzureConfig

log = structlog.get_logger("rehost.sources.azure")

READ_TIMEOUT = 60.0  # seconds without a byte
_MAX_RANGE = 8 << 20  # bytes a request
_VERSION = "2021-12-02"  # of the Blob service's API; lists of ranges have pages since 2020-10-02
_BUSY = frozenset({408, 429, 500, 502, 503, 504})
_PAUSES = (0.2, 1.0, 3.0)  # seconds between attempts, where the service is busy
_LOCAL = frozenset({"127.0.0.1", "localhost", "::1"})


class AccessEnded(Exception):
    """The SAS is no longer taken: it has expired, or was revoked. `code` and `detail` are the service's."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(code, detail)
        self.code, self.detail = code, detail


class BlobRefused(Exception):
    """Any other refusal."""

    def __init__(self, status: int, code: str, detail: str) -> None:
        super().__init__(status, code, detail)
        self.status, self.code, self.detail = status, code, detail

    def __str__(self) -> str:
        return f"the service answered {self.status} {self.code}: {self.detail}".rstrip(": ")


class Blobs:
    """Reads over at most `config.connections` connections at once. Thread-safe."""

    def __init__(self, config: AzureConfig) -> None:
        self._config = config
        try:
            self._tls = ssl.create_default_context(cafile=str(config.ca_file) if config.ca_file else None)
        except (OSError, ssl.SSLError) as error:
            raise SourceConfigInvalid(detail=f"`tls.caFile` {config.ca_file} cannot be used: {error}") from error
        self._idle: dict[str, list[http.client.HTTPConnection]] = {}
        self._room = threading.BoundedSemaphore(config.connections)
        self._lock = threading.Lock()

    def size(self, url: str, disk: str) -> int:
        """Bytes of the blob. Raises ReadFailed, AccessEnded, BlobRefused; so do the others."""
        with self._answer("HEAD", url, {}, disk, 0) as answer:
            answer.read()
            return int(answer.headers.get("Content-Length") or 0)

    def read_into(self, url: str, disk: str, offset: int, buffer: memoryview) -> int:
        """Fill the start of `buffer` from `offset`; at least one byte."""
        wanted = min(len(buffer), _MAX_RANGE)
        with self._answer("GET", url, _http_ranges.header(offset, wanted), disk, offset) as answer:
            return _http_ranges.read_into(answer, buffer[:wanted], disk=disk, offset=offset, whose="the service")

    def ranges(self, url: str, disk: str, marker: str, previous: str | None = None) -> bytes:
        """A page of the list of page ranges; with `previous`, another snapshot's URL, of what differs from that one."""
        listing = f"{url}&comp=pagelist" + (f"&marker={marker}" if marker else "")
        headers = {"x-ms-previous-snapshot-url": previous} if previous else {}
        with self._answer("GET", listing, headers, disk, 0) as answer:
            return answer.read()

    def close(self) -> None:
        with self._lock:
            idle = [each for kept in self._idle.values() for each in kept]
            self._idle.clear()
        for connection in idle:
            connection.close()

    @contextmanager
    def _answer(
        self, method: str, url: str, headers: Mapping[str, str], disk: str, offset: int
    ) -> Iterator[http.client.HTTPResponse]:
        """The answer to a request, on a connection that is kept if the answer was read to its end."""
        parts = urlsplit(url)
        with self._room:
            try:
                connection, answer = self._patiently(method, parts, headers)
                try:
                    _judge(answer)
                    yield answer
                finally:
                    if answer.isclosed():
                        self._keep(parts, connection)
                    else:
                        connection.close()
            except ssl.SSLCertVerificationError as error:
                reason = (
                    f"{error.verify_message or 'it cannot be verified'}; set `tls: {{caFile: ...}}` to its authority"
                )
                raise CertificateRefused(place=str(parts.hostname), reason=reason) from None
            except (OSError, http.client.HTTPException) as error:
                raise ReadFailed(disk=disk, offset=offset, detail=_plain(error)) from None

    def _patiently(
        self, method: str, parts: SplitResult, headers: Mapping[str, str]
    ) -> tuple[http.client.HTTPConnection, http.client.HTTPResponse]:
        for pause in (*_PAUSES, None):
            connection, answer = self._ask(method, parts, headers)
            if answer.status not in _BUSY or pause is None:
                break
            connection.close()
            log.info("the blob service is busy", status=answer.status, seconds=pause)
            time.sleep(pause)
        return connection, answer

    def _ask(
        self, method: str, parts: SplitResult, headers: Mapping[str, str]
    ) -> tuple[http.client.HTTPConnection, http.client.HTTPResponse]:
        """Send a request; anew where a connection that was kept turns out to be dead."""
        while True:
            connection, used = self._connection(parts)
            try:
                connection.request(method, f"{parts.path}?{parts.query}", headers={**headers, "x-ms-version": _VERSION})
                return connection, connection.getresponse()
            except BaseException as error:
                connection.close()
                if not (used and isinstance(error, (OSError, http.client.HTTPException))):
                    raise
                self.close()  # the others are dead as well, most likely

    def _connection(self, parts: SplitResult) -> tuple[http.client.HTTPConnection, bool]:
        """A connection, and whether it has been used before."""
        with self._lock:
            kept = self._idle.get(parts.netloc)
            if kept:
                return kept.pop(), True
        return self._new(parts), False

    def _new(self, parts: SplitResult) -> http.client.HTTPConnection:
        host = parts.hostname or ""
        if parts.scheme != "https":
            if host not in _LOCAL:
                raise OSError("Azure gave a URL that is not https")
            return http.client.HTTPConnection(host, parts.port, timeout=READ_TIMEOUT)
        proxy = None if proxy_bypass(host) else urlsplit(getproxies().get("https", "")).netloc.rpartition("@")[2]
        if proxy:
            through, _, port = proxy.partition(":")
            connection = http.client.HTTPSConnection(
                through, int(port or 3128), context=self._tls, timeout=READ_TIMEOUT
            )
            connection.set_tunnel(host, parts.port or 443)
            return connection
        return http.client.HTTPSConnection(host, parts.port, context=self._tls, timeout=READ_TIMEOUT)

    def _keep(self, parts: SplitResult, connection: http.client.HTTPConnection) -> None:
        with self._lock:
            self._idle.setdefault(parts.netloc, []).append(connection)


def _judge(answer: http.client.HTTPResponse) -> None:
    if answer.status < http.client.BAD_REQUEST:
        return
    code, detail = _pages.code_of(answer.read(65536))
    code = answer.headers.get("x-ms-error-code") or code
    if answer.status in (http.client.UNAUTHORIZED, http.client.FORBIDDEN):
        raise AccessEnded(code, detail)
    raise BlobRefused(answer.status, code, detail)


def _plain(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return f"no answer within {READ_TIMEOUT:.0f} s"
    if isinstance(error, http.client.HTTPException):
        return f"the connection ended ({type(error).__name__})"
    return getattr(error, "strerror", None) or type(error).__name__
