"""Notifications, as far as the schema cannot check them."""

from __future__ import annotations

from collections.abc import Iterator

from rehost.spec._findings import Finding, nearest, short
from rehost.spec._merge import Merged

_REFERENCES = (("webhook", "urlFrom"), ("webhook", "secret"))


def findings(spec: Merged) -> Iterator[Finding]:
    for name in spec.names("notifications"):
        entry = ("notifications", name)
        known = spec.entries["applications"]
        for path, application in spec.texts(*entry, "applications"):
            if application not in known and "applications" not in spec.unsure:
                hint = nearest(application, known) if known else "there are no applications"
                yield Finding.at(
                    spec.place(*path), "dangling-name", f"{short(application)} is not in applications", hint
                )
        for reference in _REFERENCES:
            if spec.text(*entry, *reference, "pulumiConfig") is not None:
                where = spec.place(*entry, *reference)
                message = f"{reference[-1]} cannot be in the stack's configuration: connectors send, and do not see it"
                yield Finding.at(where, "out-of-reach", message, "use env, secretsManager or ssmParameter")
