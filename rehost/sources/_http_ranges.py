"""A range of bytes over HTTP: what was asked for, into the caller's buffer."""

from __future__ import annotations

import http.client
import re

from rehost.sources._errors import ReadFailed


def header(offset: int, length: int) -> dict[str, str]:
    return {"Range": f"bytes={offset}-{offset + length - 1}"}


def read_into(answer: http.client.HTTPResponse, buffer: memoryview, *, disk: str, offset: int, whose: str) -> int:
    """Fill `buffer` with the range that an answer has; at least one byte, fewer where it ends early.

    Raises ReadFailed where it is not the range from `offset`, or empty; `whose` it is is said there.
    """
    found = re.match(r"bytes (\d+)-(\d+)/", answer.headers.get("Content-Range", ""))
    if answer.status != http.client.PARTIAL_CONTENT or found is None or int(found[1]) != offset:
        detail = f"{whose} answered {answer.status} with range {answer.headers.get('Content-Range')!r}"
        raise ReadFailed(disk=disk, offset=offset, detail=detail)
    got = 0
    while got < len(buffer):
        count = answer.readinto(buffer[got:])
        if not count:
            break
        got += count
    if got == 0:
        raise ReadFailed(disk=disk, offset=offset, detail=f"{whose} sent nothing")
    return got
