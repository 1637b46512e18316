"""Messages to a webhook: one POST each, signed where the spec names a secret."""

from __future__ import annotations

import hashlib
import hmac
import json
import time
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import urllib3

from rehost import __version__
from rehost.connector._errors import DeliveryFailed

CONNECT_SECONDS, READ_SECONDS = 10.0, 20.0
#: A receiver may take what it is sent for as old as this, or less: a replayed message is older.
SIGNATURE = "v1"


def post(url: str, message: Mapping[str, Any], secret: str | None, *, now: Callable[[], float] = time.time) -> None:
    """Send `message` as JSON. Raises DeliveryFailed; a retry sends it again, with the same id.

    With a secret, `Rehost-Signature: t=SECONDS,v1=HEX` is the HMAC-SHA256 of `SECONDS.BODY` with it. Redirects are not
    followed: they could lead anywhere.
    """
    body = json.dumps(message, separators=(",", ":")).encode()
    headers = {
        "Content-Type": "application/json",
        "User-Agent": f"rehost/{__version__}",
        "Rehost-Event": str(message["event"]),
        "Rehost-Id": str(message["id"]),
    }
    if secret is not None:
        headers["Rehost-Signature"] = signature(body, secret, int(now()))
    where = _host(url)
    try:
        with _pool(url) as pool:
            answer = pool.request(
                "POST",
                url,
                body=body,
                headers=headers,
                redirect=False,
                retries=False,
                timeout=urllib3.Timeout(connect=CONNECT_SECONDS, read=READ_SECONDS),
            )
    except urllib3.exceptions.HTTPError as error:
        # Not the error's own text: it may hold the whole URL, and a path or a query may hold a token.
        raise DeliveryFailed(where=where, reason=type(error).__name__) from None
    if not 200 <= answer.status < 300:
        raise DeliveryFailed(where=where, reason=f"it answered {answer.status}")


def signature(body: bytes, secret: str, seconds: int) -> str:
    """What a receiver computes for itself and compares."""
    digest = hmac.new(secret.encode(), f"{seconds}.".encode() + body, hashlib.sha256).hexdigest()
    return f"t={seconds},{SIGNATURE}={digest}"


def _host(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.hostname}" + (f":{parts.port}" if parts.port else "")


def _pool(url: str) -> urllib3.PoolManager:
    """By way of the proxy that the environment names, as the AWS SDK does."""
    parts = urlsplit(url)
    proxy = getproxies().get(parts.scheme)
    if proxy and not proxy_bypass(parts.hostname or ""):
        return urllib3.ProxyManager(proxy)
    return urllib3.PoolManager()
