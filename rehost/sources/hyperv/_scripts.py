"""The scripts that run on the host, as `.ps1` files beside this module: what an administrator reviews is what runs."""

from __future__ import annotations

import functools
from importlib import resources

#: Those that change nothing, so that they may be sent again over a new session after the old one was lost.
READ_ONLY = frozenset({"host", "machines", "list", "owner", "catalog", "points", "changes"})


@functools.cache
def text(name: str) -> str:
    return resources.files("rehost.sources.hyperv").joinpath("scripts", f"{name}.ps1").read_text("utf-8")
