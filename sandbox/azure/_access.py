"""Shared access signatures of managed disks: `https://HOST/md-ACCOUNT/CONTAINER/abcd?sv=..&sr=b&si=POLICY&sig=..`.

Azure's have that shape, with the account in the host's name (an exported URL in
https://learn.microsoft.com/azure/virtual-machines/linux/download-vhd); until when it holds is the stored policy's, not the URL's.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
import threading
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from urllib.parse import quote

from sandbox.azure._disk import Frozen
from sandbox.azure._errors import StorageRefusal
from sandbox.azure._times import http_date

_VERSION = "2018-03-28"
_REFUSED = (
    "Server failed to authenticate the request. Make sure the value of Authorization header is formed correctly "
    "including the signature."
)


@dataclass
class Grant:
    """Read access to a point in time."""

    resource: str  # the id of the snapshot, disk or disk restore point
    frozen: Frozen
    begins: float
    expires: float
    account: str = field(default_factory=lambda: f"md-{secrets.token_hex(6)}")
    container: str = field(default_factory=lambda: secrets.token_hex(6))
    policy: str = field(default_factory=lambda: str(uuid.uuid4()))
    key: bytes = field(default_factory=lambda: secrets.token_bytes(32))
    revoked: bool = False

    @property
    def path(self) -> str:
        return f"/{self.account}/{self.container}/abcd"

    def url(self, endpoint: str) -> str:
        signature = quote(self._sign(_VERSION, "b"), safe="")
        return f"{endpoint}{self.path}?sv={_VERSION}&sr=b&si={self.policy}&sig={signature}"

    def signed(self, query: Mapping[str, str]) -> bool:
        wanted = self._sign(query.get("sv", ""), query.get("sr", ""))
        return query.get("si") == self.policy and hmac.compare_digest(wanted, query.get("sig", ""))

    def _sign(self, version: str, resource: str) -> str:
        text = "\n".join([self.path, self.policy, version, resource])
        return base64.b64encode(hmac.digest(self.key, text.encode(), hashlib.sha256)).decode()


class Access:
    """The grants, by resource and by path. Thread-safe."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._by_path: dict[str, Grant] = {}
        self._active: dict[str, Grant] = {}  # by resource

    def grant(self, resource: str, frozen: Frozen, seconds: int) -> Grant:
        """An active one lives on for longer, with the same URL.

        https://learn.microsoft.com/azure/virtual-machines/manage-restore-points, Get a shared access signature for a disk.
        """
        now = self._clock()
        with self._lock:
            grant = self._active.get(resource)
            if grant is not None and not grant.revoked and grant.expires > now:
                grant.expires = max(grant.expires, now + seconds)
                return grant
            grant = Grant(resource, frozen, now, now + seconds)
            self._by_path[grant.path] = self._active[resource] = grant
            return grant

    def revoke(self, resource: str) -> None:
        with self._lock:
            grant = self._active.pop(resource, None)
            if grant is not None:
                grant.revoked = True

    def active(self, resource: str = "") -> list[Grant]:
        """Those that hold now: of one resource, or all."""
        now = self._clock()
        with self._lock:
            return [
                grant
                for grant in self._active.values()
                if grant.expires > now and (not resource or grant.resource == resource)
            ]

    def expire(self, resource: str = "") -> None:
        """They end now, as if their time had passed: of one resource, or all."""
        for grant in self.active(resource):
            grant.expires = self._clock()

    def admitted(self, path: str, query: Mapping[str, str]) -> Grant:
        """Raises StorageRefusal: 403 AuthenticationFailed, with Azure's detail."""
        with self._lock:
            grant = self._by_path.get(path)
        if grant is None:
            raise _refusal("Signature did not match.")
        if grant.revoked:
            raise _refusal("SAS identifier cannot be found for specified signed identifier")
        if not grant.signed(query):
            raise _refusal(f"Signature did not match. String to sign used was {path}")
        now = self._clock()
        if now >= grant.expires:
            detail = (
                f"Signature not valid in the specified time frame: Start [{http_date(grant.begins)}] - "
                f"Expiry [{http_date(grant.expires)}] - Current [{http_date(now)}]"
            )
            raise _refusal(detail)
        return grant


def _refusal(detail: str) -> StorageRefusal:
    return StorageRefusal(403, "AuthenticationFailed", _REFUSED, detail=detail)
