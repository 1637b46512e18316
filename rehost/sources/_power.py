"""What the sources share about power."""

from __future__ import annotations

from collections.abc import Iterable


def any_changed(answers: Iterable[bool | None]) -> bool | None:
    """Of all disks: one that changed is enough to say so, one that cannot tell is enough not to deny it."""
    known = list(answers)
    if any(known):
        return True
    return None if None in known else False
