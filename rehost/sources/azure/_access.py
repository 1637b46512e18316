"""Read access to a snapshot: a SAS, which is asked for when it is needed, renewed before it ends, and given back."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TypeVar
from urllib.parse import urlsplit

import structlog

from rehost.sources._errors import CredentialsRefused, FreezeLost, ReadFailed, SourceError
from rehost.sources.azure._blob import AccessEnded, BlobRefused, Blobs
from rehost.sources.azure._client import Client
from rehost.sources.azure._errors import CallRefused, ResourceGone
from rehost.sources.azure._inventory import DISKS
from rehost.sources.azure._names import last

log = structlog.get_logger("rehost.sources.azure")

T = TypeVar("T")
#: So many seconds before its end, at most, a SAS is no longer used: requests under way have to end with it.
_MARGIN = 300.0


class Access:
    """To one snapshot or disk restore point. Thread-safe; the SAS is kept here and nowhere else."""

    def __init__(self, client: Client, resource: str) -> None:
        self._client = client
        self._resource = resource
        self._lock = threading.Lock()
        self._url = ""
        self._ends = 0.0

    def use(self, read: Callable[[str], T], disk: str, offset: int = 0) -> T:
        """`read(url)`, and again with new access where the old one has ended.

        Raises ReadFailed, and FreezeLost where the snapshot is gone.
        """
        refusal: AccessEnded | None = None
        for _ in range(3):
            url = self.current(disk)
            try:
                return read(url)
            except AccessEnded as ended:
                refusal = ended
                log.info("read access has ended; asking for another", resource=last(self._resource), code=ended.code)
                self.forget(url)
            except BlobRefused as refused:
                if refused.status == 404:
                    self.forget(url)
                    self.current(disk)  # which tells whether the snapshot itself is gone
                raise ReadFailed(disk=disk, offset=offset, detail=str(refused)) from None
        detail = f"read access is refused as soon as it is given: {refusal.code if refusal else ''}"
        raise ReadFailed(disk=disk, offset=offset, detail=f"{detail}; is this machine's clock right?")

    def revoke(self) -> None:
        """Give it back, if it was taken. What goes wrong with that does not matter: it ends by itself."""
        with self._lock:
            url, self._url = self._url, ""
        if url:
            end(self._client, self._resource)

    def current(self, disk: str) -> str:
        with self._lock:
            if not self._url or time.monotonic() >= self._ends:
                seconds = self._client.config.access_seconds
                asked = time.monotonic()
                self._url = self._granted(disk, seconds)
                self._ends = asked + seconds - min(_MARGIN, seconds / 4)
            return self._url

    def _granted(self, disk: str, seconds: int) -> str:
        doing = f"asking for read access to {last(self._resource)}"
        content = {"access": "Read", "durationInSeconds": seconds}

        def begin() -> str:
            path = f"{self._resource}/beginGetAccess"
            told = self._client.call("POST", path, DISKS, doing, content)
            url = str(told.get("accessSAS") or "")
            if not urlsplit(url).query:
                raise CallRefused(doing=doing, code="NoAccess", reason="Azure's answer has no URL")
            return url

        try:
            try:
                return begin()
            except CallRefused as error:
                # Where the access that was given earlier stands in the way.
                log.info("ending the read access that there is", resource=last(self._resource), reason=str(error))
                end(self._client, self._resource)
                return begin()
        except ResourceGone as error:
            raise FreezeLost(detail=f"{last(self._resource)} was removed") from error
        except CallRefused as error:
            raise ReadFailed(disk=disk, offset=0, detail=str(error)) from error

    def forget(self, url: str) -> None:
        with self._lock:
            if self._url == url:
                self._url = ""


def end(client: Client, resource: str) -> None:
    """Revoke all read access to a snapshot, whoever asked for it."""
    try:
        client.call("POST", f"{resource}/endGetAccess", DISKS, f"ending read access to {last(resource)}")
    except ResourceGone:
        return
    except CredentialsRefused:
        raise
    except SourceError as error:
        log.warning("read access could not be ended; it ends by itself", resource=last(resource), reason=str(error))


def reading(blobs: Blobs, access: Access, disk: str, offset: int, buffer: memoryview) -> int:
    return access.use(lambda url: blobs.read_into(url, disk, offset, buffer), disk, offset)
