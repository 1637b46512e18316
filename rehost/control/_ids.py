"""Identifiers that sort by the time they were made: `run-01JDF4...`."""

from __future__ import annotations

import secrets
import time

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford's base 32, in lower case: EC2 tags and AMI names take it


def new_id(kind: str) -> str:
    """A ULID (48 bits of milliseconds, 80 of chance) behind its kind."""
    value = int(time.time() * 1000) << 80 | secrets.randbits(80)
    return f"{kind}-" + "".join(_ALPHABET[value >> shift & 31] for shift in range(125, -1, -5))
