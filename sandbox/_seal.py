"""Tokens that only the sandbox can make: a text with a keyed hash before it, in base64."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets
from pathlib import Path

_HASH = 12  # bytes kept of the hash


class Seal:
    """The key is kept in a file: tokens of blocks are good for a week, through restarts."""

    def __init__(self, file: Path) -> None:
        if not file.exists():
            scratch = file.with_suffix(".part")
            scratch.write_bytes(secrets.token_bytes(32))
            scratch.chmod(0o600)
            scratch.replace(file)
        self._key = file.read_bytes()

    def seal(self, text: str) -> str:
        raw = text.encode()
        return base64.b64encode(self._hash(raw) + raw).decode()

    def unseal(self, token: str) -> str:
        """The text. Raises ValueError for what `seal` never gave."""
        try:
            raw = base64.b64decode(token, validate=True)
        except binascii.Error:
            raw = b""
        if not hmac.compare_digest(self._hash(raw[_HASH:]), raw[:_HASH]):
            message = "not one of ours"
            raise ValueError(message)
        return raw[_HASH:].decode()

    def _hash(self, raw: bytes) -> bytes:
        return hmac.new(self._key, raw, hashlib.sha256).digest()[:_HASH]
