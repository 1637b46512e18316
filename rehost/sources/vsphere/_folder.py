"""The bytes of a flat file over HTTPS: `/folder/NAME-flat.vmdk?dcPath=...&dsName=...`, in ranges.

Way and pitfalls after virt-v2v, which read disks like this for years: both names are quoted twice; a first HEAD with the
password gives a cookie, which ends after 30 minutes whatever is done with it.
"""

from __future__ import annotations

import base64
import http.client
import re
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import quote

import structlog

from rehost.sources import _http_ranges
from rehost.sources._errors import (
    CredentialsRefused,
    DiskUnreadable,
    ReadFailed,
    SourceUnavailable,
)
from rehost.sources.vsphere import _tls
from rehost.sources.vsphere._client import Client
from rehost.sources.vsphere._config import VSphereConfig
from rehost.sources.vsphere._errors import FlatFileMissing

log = structlog.get_logger("rehost.sources.vsphere")

COOKIE_AGE = 25 * 60.0  # seconds; vCenter ends it after 30 minutes
READ_TIMEOUT = 60.0  # seconds without a byte
_MAX_RANGE = 8 << 20  # bytes a request
_REFUSED = (http.client.UNAUTHORIZED, http.client.FORBIDDEN)


class FolderReader:
    """Reads the flat files of one vCenter, over at most `config.connections` connections. Thread-safe."""

    def __init__(self, client: Client, datacenter: str) -> None:
        self._client = client
        self._config: VSphereConfig = client.config
        self._datacenter = datacenter
        self._tls = _tls.context(self._config)
        self._idle: list[_tls.PinnedConnection] = []
        self._room = threading.BoundedSemaphore(self._config.connections)
        self._lock = threading.Lock()
        self._login = threading.Lock()
        self._cookie = ""
        self._cookie_born = -COOKIE_AGE

    def size(self, file: str) -> int:
        """Bytes of the flat file behind `[datastore] folder/name.vmdk`. Raises FlatFileMissing."""
        with self._answer("HEAD", file, {}, offset=0) as answer:
            answer.read()
            return int(answer.headers.get("Content-Length", "0"))

    def read_into(self, file: str, disk: str, offset: int, buffer: memoryview) -> int:
        """Fill the start of `buffer` from `offset`; at least one byte. Raises ReadFailed (retryable), FlatFileMissing."""
        wanted = min(len(buffer), _MAX_RANGE)
        headers = _http_ranges.header(offset, wanted)
        with self._answer("GET", file, headers, offset=offset, disk=disk) as answer:
            return _http_ranges.read_into(answer, buffer[:wanted], disk=disk, offset=offset, whose="the server")

    def close(self) -> None:
        with self._lock:
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()

    @contextmanager
    def _answer(
        self, method: str, file: str, headers: dict[str, str], *, offset: int, disk: str = ""
    ) -> Iterator[http.client.HTTPResponse]:
        """The answer to a request, on a connection that is kept if the answer was read to its end."""
        with self._room:
            try:
                connection, answer = self._ask(method, folder_path(file, self._datacenter), headers)
                try:
                    self._judge(answer, file, disk, offset)
                    yield answer
                finally:
                    if answer.isclosed():
                        self._keep(connection)
                    else:
                        connection.close()
            except ssl.SSLCertVerificationError as error:
                raise _tls.refused(self._config, error) from None
            except (OSError, http.client.HTTPException) as error:
                raise ReadFailed(disk=disk or file, offset=offset, detail=_plain(error)) from error

    def _ask(
        self, method: str, path: str, headers: dict[str, str]
    ) -> tuple[_tls.PinnedConnection, http.client.HTTPResponse]:
        """Send a request; again with another cookie where this one has expired, and anew where an idle connection was dead."""
        renewed = False
        while True:
            cookie = self._session()
            connection, used = self._connection()
            try:
                connection.request(method, path, headers={**headers, "Cookie": cookie})
                answer = connection.getresponse()
            except BaseException as error:
                connection.close()
                if used and isinstance(error, (OSError, http.client.HTTPException)):
                    self.close()  # the server has closed the others as well, most likely
                    continue
                raise
            if renewed or answer.status not in _REFUSED:
                return connection, answer
            log.info("the session of /folder has expired; taking another", place=self._config.place)
            connection.close()
            self._forget(cookie)
            renewed = True

    def _judge(self, answer: http.client.HTTPResponse, file: str, disk: str, offset: int) -> None:
        if answer.status == http.client.NOT_FOUND:
            reason = "the datastore does not serve it over HTTPS (vSAN and vVols do not), or it has moved"
            raise FlatFileMissing(path=file, reason=reason)
        if answer.status in _REFUSED:
            raise CredentialsRefused(place=self._config.place, reason=f"reading {file}: {_PRIVILEGES}")
        if answer.status >= http.client.BAD_REQUEST:
            raise ReadFailed(
                disk=disk or file, offset=offset, detail=f"the server answered {answer.status} {answer.reason}"
            )

    def _session(self) -> str:
        """A cookie that will last for the next request."""
        with self._login:
            if time.monotonic() - self._cookie_born >= COOKIE_AGE:
                self._cookie = self._log_in()
                self._cookie_born = time.monotonic()
            return self._cookie

    def _forget(self, cookie: str) -> None:
        with self._login:
            if self._cookie == cookie:
                self._cookie_born = -COOKIE_AGE

    def _log_in(self) -> str:
        user, password = self._client.credentials()
        token = base64.b64encode(f"{user}:{password}".encode()).decode()
        connection = self._new()
        place = self._config.place
        try:
            # The list of datacenters needs a session and nothing else.
            connection.request("HEAD", "/folder/", headers={"Authorization": f"Basic {token}"})
            answer = connection.getresponse()
            answer.read()
        except ssl.SSLCertVerificationError as error:
            raise _tls.refused(self._config, error) from None
        except (OSError, http.client.HTTPException) as error:
            raise SourceUnavailable(place=place, reason=f"logging in to /folder: {_plain(error)}") from error
        finally:
            connection.close()
        if answer.status in _REFUSED:
            reason = f"user {user!r} or its password is wrong, or it lacks privileges: {_PRIVILEGES}"
            raise CredentialsRefused(place=place, reason=reason)
        cookies = [value.partition(";")[0] for value in answer.headers.get_all("Set-Cookie") or ()]
        found = next((each for each in cookies if each.startswith("vmware_soap_session=")), None)
        if found is None:
            raise SourceUnavailable(place=place, reason=f"/folder answered {answer.status} and gave no session")
        return found

    def _connection(self) -> tuple[_tls.PinnedConnection, bool]:
        """A connection, and whether it has been used before."""
        with self._lock:
            if self._idle:
                return self._idle.pop(), True
        return self._new(), False

    def _new(self) -> _tls.PinnedConnection:
        config = self._config
        return _tls.PinnedConnection(config, config.host, config.port, context=self._tls, timeout=READ_TIMEOUT)

    def _keep(self, connection: _tls.PinnedConnection) -> None:
        with self._lock:
            self._idle.append(connection)


_PRIVILEGES = "Datastore.Browse and Datastore.FileManagement are needed; docs/sources/vsphere.md has the role"


def folder_path(file: str, datacenter: str) -> str:
    """`[store 1] web/web.vmdk` in `DC0` -> `/folder/web/web-flat.vmdk?dcPath=DC0&dsName=store%25201`."""
    found = re.fullmatch(r"\[([^\]]+)\] (.+)\.vmdk", file)
    if found is None:
        raise DiskUnreadable(path=file, reason="it is not the name of a VMDK on a datastore")
    store, name = found[1], found[2]
    twice = f"dcPath={quote(quote(datacenter, safe=''), safe='')}&dsName={quote(quote(store, safe=''), safe='')}"
    return f"/folder/{quote(name)}-flat.vmdk?{twice}"


def _plain(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return f"no answer within {READ_TIMEOUT:.0f} s"
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
