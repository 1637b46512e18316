"""Requests with JSON to the server that keeps the comments. The standard library's client heeds proxies and certificates."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from http.client import HTTPException
from typing import Any

from rehost.comments._errors import CommentNotSent, CommentRefused
from rehost.comments._places import Place

SECONDS = 30.0  # to wait for one answer
TRIES = 4
_MAX_WAIT = 60.0
_SERVER_AWAY = (429, 500, 502, 503, 504)
#: What may be sent twice; a POST whose answer was lost may have made the comment.
_REPEATABLE = ("GET", "PATCH", "PUT")


def call(place: Place, method: str, url: str, content: object = None, *, pause: float = 1.0) -> Any:
    """The JSON of the answer. Tries again, after `pause` seconds and then twice as long each time, where that makes nothing twice.

    Raises CommentRefused, and CommentNotSent where the server stays away.
    """
    tries = TRIES if method in _REPEATABLE else 1
    for number in range(tries):
        try:
            return _once(place, method, url, content)
        except _Away as away:
            if number == tries - 1:
                raise CommentNotSent(host=place.host, reason=away.reason) from None
            time.sleep(min(away.wait if away.wait is not None else pause * 2**number, _MAX_WAIT))
    raise AssertionError("unreachable")


class _Away(Exception):
    """The server may answer another time; `wait` is the seconds it asked for."""

    def __init__(self, reason: str, wait: float | None = None) -> None:
        super().__init__(reason)
        self.reason, self.wait = reason, wait


def _once(place: Place, method: str, url: str, content: object) -> Any:
    body = None if content is None else json.dumps(content).encode()
    request = urllib.request.Request(url, body, {"Content-Type": "application/json"}, method=method)
    request.add_header("User-Agent", "rehost")
    for name, value in place.headers.items():
        request.add_unredirected_header(
            name, value
        )  # a redirect may lead to another server, which must not get the token
    try:
        with urllib.request.urlopen(request, timeout=SECONDS) as answer:
            return json.loads(answer.read())
    except urllib.error.HTTPError as error:
        with error:
            raise _refusal(place, error) from None
    except (OSError, HTTPException) as error:  # no connection, a lost one, no answer in time
        reason = getattr(error, "reason", error)
        raise _Away(str(reason) or type(error).__name__) from None
    except ValueError:
        raise _Away("its answer is not JSON") from None


def _refusal(place: Place, error: urllib.error.HTTPError) -> Exception:
    after = error.headers.get("Retry-After", "")
    if error.code in _SERVER_AWAY or (error.code == 403 and after):  # GitHub's secondary limits are a 403
        return _Away(f"HTTP {error.code}", float(after) if after.isdigit() else None)
    try:
        said = json.loads(error.read())
        message = said.get("message") or said.get("error") or error.reason
    except (OSError, ValueError, AttributeError):
        message = error.reason
    return CommentRefused(host=place.host, status=error.code, message=message, remedy=place.remedy)
