"""Certificates that a spec pins by the SHA-256 of them."""

from __future__ import annotations

import re

from rehost.sources._errors import SourceConfigInvalid


def pinned(text: object, *, whose: str) -> str | None:
    """`tls.thumbprint` of a spec as hexadecimal digits alone. Raises SourceConfigInvalid."""
    if text is None:
        return None
    digits = str(text).replace(":", "").lower()
    if not re.fullmatch(r"[0-9a-f]{64}", digits):
        detail = f"`tls.thumbprint` is the SHA-256 of {whose} certificate: 32 pairs of hexadecimal digits"
        raise SourceConfigInvalid(detail=detail)
    return digits


def differs(shown: str, wanted: str) -> str:
    """What is wrong, and what to do, where a peer shows another one; `shown` in pairs, `wanted` in digits."""
    return f"its SHA-256 is {shown}, and the spec pins {pairs(wanted)}; if it was renewed, correct `tls.thumbprint`"


def pairs(digits: str) -> str:
    return ":".join(digits[at : at + 2] for at in range(0, len(digits), 2)).upper()
