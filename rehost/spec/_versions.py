"""The versions of the spec language.

Each file says its own (`apiVersion`); one that says none is of the present one. There is one reader: an old file is refused
with the way to rewrite it, so that what is reviewed is what is read.
"""

from __future__ import annotations

from collections.abc import Mapping

from rehost.spec._findings import Finding
from rehost.spec._yaml import Document

CURRENT = "rehost/v1"
#: Those that `rehost migrate-spec` rewrites.
OLD = ("rehost/v1alpha1",)


def finding(document: Document) -> Finding | None:
    """That a file is of an older version; nothing else is to be said of it."""
    data = document.data
    version = data.get("apiVersion") if isinstance(data, Mapping) else None
    if version not in OLD or not isinstance(version, str):
        return None
    where = document.at(("apiVersion",))
    return Finding.at(
        where,
        "old-version",
        f"this file is of the version {version}; the present one is {CURRENT}",
        "rehost migrate-spec rewrites it",
    )
