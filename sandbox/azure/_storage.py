"""The layer in front of Azurite: reads of managed disks by their signatures, and the difference of two points in time.

Pages: https://learn.microsoft.com/rest/api/storageservices/get-blob, get-blob-properties, get-page-ranges, and the error codes of
blob-service-error-codes there. Azurite has no differences (https://github.com/Azure/Azurite/issues/812): they are computed from
what the stand-in recorded of writes and clears.
"""

from __future__ import annotations

import base64
import hashlib
import re
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from urllib.parse import parse_qsl, urlsplit

from sandbox.azure._access import Access, Grant
from sandbox.azure._errors import DroppedConnection, StorageRefusal
from sandbox.azure._faults import Fault, Faults
from sandbox.azure._ranges import Range, common
from sandbox.azure._times import http_date, stamp
from sandbox.azure._web import Answer, Request

_VERSION = "2026-06-06"
_MOST_RANGES = 10_000
_MOST_CHECKSUMMED = 4 << 20
_SPAN = re.compile(r"bytes=(\d+)-(\d*)$")


class Storage:
    def __init__(self, access: Access, faults: Faults, clock: Callable[[], float]) -> None:
        self._access, self._faults, self._clock = access, faults, clock
        self.sent = 0  # bytes of blobs
        #: Whether two disk restore points have a difference. Microsoft documents it of incremental snapshots only; that it works
        #: is to be read from others (https://www.acronis.com/en-us/support/documentation/CyberProtectionService/
        #: backup-azure-restore-points.html: restore points, for changed block tracking).
        self.restore_point_differences = True

    def handle(self, request: Request) -> Answer:
        identity = {"x-ms-request-id": str(uuid.uuid4()), "x-ms-version": request.headers.get("x-ms-version", _VERSION)}
        identity |= {"Date": http_date(time.time()), "Server": "Windows-Azure-Blob/1.0 Microsoft-HTTPAPI/2.0"}
        if "x-ms-client-request-id" in request.headers:
            identity["x-ms-client-request-id"] = request.headers["x-ms-client-request-id"]
        try:
            answer = self._answer(request)
        except StorageRefusal as refusal:
            body = b"" if request.method == "HEAD" else refusal.body(identity["x-ms-request-id"], stamp(self._clock()))
            headers = {"x-ms-error-code": refusal.code, "Content-Type": "application/xml", **refusal.headers}
            answer = Answer(refusal.status, body, headers)
        answer.headers |= identity
        return answer

    def _answer(self, request: Request) -> Answer:
        operation = _operation(request)
        struck = self._faults.strike(operation, request.path)
        if fault := struck.get("delay"):
            time.sleep(fault.seconds)
        if "throttle" in struck:
            raise StorageRefusal(503, "ServerBusy", "The server is busy.")
        if fault := struck.get("error"):
            raise StorageRefusal(fault.status, fault.code, fault.message)
        grant = self._access.admitted(request.path, request.query)
        if operation == "storage/pagelist":
            return self._page_list(grant, request)
        if operation == "storage/head":
            return Answer(200, b"", {**self._properties(grant), "Content-Length": str(grant.frozen.blob_size)})
        if operation == "storage/get":
            return self._get(grant, request, struck.get("cut"))
        message = "This request is not authorized to perform this operation using this permission."
        raise StorageRefusal(403, "AuthorizationPermissionMismatch", message)

    def _get(self, grant: Grant, request: Request, cut: Fault | None) -> Answer:
        size = grant.frozen.blob_size
        asked = request.headers.get("x-ms-range") or request.headers.get("range")
        start, end = _span(asked, size)
        checksummed = request.headers.get("x-ms-range-get-content-md5", "").lower() == "true"
        headers = self._properties(grant)
        if checksummed and (asked is None or end - start > _MOST_CHECKSUMMED):
            message = "One of the request inputs is out of range."
            raise StorageRefusal(400, "OutOfRangeInput", message)
        if asked is not None:
            headers["Content-Range"] = f"bytes {start}-{end - 1}/{size}"
        disk = grant.frozen.disk
        pieces: Iterable[bytes] = disk.azurite.stream(disk.blob, grant.frozen.snapshot, start, end - start)
        if checksummed:
            body = b"".join(pieces)
            headers["Content-MD5"] = base64.b64encode(hashlib.md5(body, usedforsecurity=False).digest()).decode()
            pieces = [body]
        if cut is not None:
            pieces = _cut(pieces, cut.bytes)
        return Answer(200 if asked is None else 206, self._counted(pieces), headers, end - start)

    def _counted(self, pieces: Iterable[bytes]) -> Iterator[bytes]:
        for piece in pieces:
            self.sent += len(piece)
            yield piece

    def _page_list(self, grant: Grant, request: Request) -> Answer:
        size = grant.frozen.blob_size
        if "prevsnapshot" in request.query:  # a time of a snapshot, which a managed disk's blob has none of
            message = "Value for one of the query parameters specified in the request URI is invalid."
            raise StorageRefusal(400, "InvalidQueryParameterValue", message)
        within = [_span(request.headers.get("x-ms-range") or request.headers.get("range"), size)]
        if previous := request.headers.get("x-ms-previous-snapshot-url"):
            written, cleared = self._differences(grant, previous)
        else:
            written, cleared = grant.frozen.ranges(), []
        found = [(*span, "PageRange") for span in common(written, within)]
        found += [(*span, "ClearRange") for span in common(cleared, within)]
        found.sort()
        most, skipped = _page(request)
        page, rest = found[skipped : skipped + most], len(found) - skipped - most
        lines = [f"<{kind}><Start>{start}</Start><End>{end - 1}</End></{kind}>" for start, end, kind in page]
        if "maxresults" in request.query or "marker" in request.query or rest > 0:
            lines.append(f"<NextMarker>{skipped + most}</NextMarker>" if rest > 0 else "<NextMarker />")
        body = f'<?xml version="1.0" encoding="utf-8"?><PageList>{"".join(lines)}</PageList>'
        headers = {"Content-Type": "application/xml", "x-ms-blob-content-length": str(size)}
        properties = self._properties(grant)
        headers |= {name: properties[name] for name in ("ETag", "Last-Modified")}
        return Answer(200, body.encode(), headers)

    def _differences(self, grant: Grant, url: str) -> tuple[list[Range], list[Range]]:
        parts = urlsplit(url)
        earlier = self._access.admitted(parts.path, dict(parse_qsl(parts.query, keep_blank_values=True)))
        frozen, before = grant.frozen, earlier.frozen
        if before.disk is not frozen.disk:
            raise StorageRefusal(409, "PreviousSnapshotNotFound", "The previous snapshot is not found.")
        if before.sequence > frozen.sequence:
            message = "The prevsnapshot query parameter value cannot be newer than snapshot query parameter value."
            raise StorageRefusal(400, "PreviousSnapshotCannotBeNewer", message)
        points = "/restorepoints/" in grant.resource.lower() or "/restorepoints/" in earlier.resource.lower()
        if not frozen.comparable(before) or (points and not self.restore_point_differences):
            message = "Differential Get Page Ranges is not supported on the previous snapshot."
            raise StorageRefusal(409, "PreviousSnapshotOperationNotSupported", message)
        return frozen.differences(before)

    def _properties(self, grant: Grant) -> dict[str, str]:
        return {
            "Content-Type": "application/octet-stream",
            "Accept-Ranges": "bytes",
            "ETag": f'"0x{grant.frozen.disk.identity.hex[:8].upper()}{grant.frozen.sequence:07X}"',
            "Last-Modified": http_date(grant.begins),
            "x-ms-blob-type": "PageBlob",
            "x-ms-blob-sequence-number": "0",
            "x-ms-lease-status": "unlocked",
            "x-ms-lease-state": "available",
            "x-ms-server-encrypted": "true",
        }


def _operation(request: Request) -> str:
    kind = request.query.get("comp") or {"GET": "get", "HEAD": "head"}.get(request.method, request.method.lower())
    return f"storage/{kind}" if request.method in ("GET", "HEAD") else f"storage/{request.method.lower()} {kind}"


def _span(text: str | None, size: int) -> Range:
    """The bytes that a Range header asks for. Raises StorageRefusal: 416 InvalidRange beyond the end."""
    if text is None:
        return 0, size
    found = _SPAN.match(text)
    if found is None:
        return 0, size
    start, end = int(found[1]), int(found[2]) + 1 if found[2] else size
    if start >= size or end <= start:
        message = "The range specified is invalid for the current size of the resource."
        raise StorageRefusal(416, "InvalidRange", message, {"Content-Range": f"bytes */{size}"})
    return start, min(end, size)


def _page(request: Request) -> tuple[int, int]:
    """How many entries, and after how many."""
    try:
        most, skipped = int(request.query.get("maxresults") or _MOST_RANGES), int(request.query.get("marker") or 0)
    except ValueError:
        most, skipped = 0, 0
    if most <= 0 or skipped < 0:
        message = "One of the query parameters specified in the request URI is outside the permissible range."
        raise StorageRefusal(400, "OutOfRangeQueryParameterValue", message)
    return min(most, _MOST_RANGES), skipped


def _cut(pieces: Iterable[bytes], after: int) -> Iterator[bytes]:
    for piece in pieces:
        if after <= 0:
            break
        yield piece[:after]
        after -= len(piece)
    raise DroppedConnection
