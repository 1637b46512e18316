"""The tags by which our things in AWS are known. What lacks them is never modified and never deleted."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from rehost.aws._errors import NotOurs

STACK_TAG = "rehost:stack"
SERVER_TAG = "rehost:server"
RUN_TAG = "rehost:run"
TOKEN_TAG = "rehost:token"
PROTECTED_TAG = "rehost:protected"  # by whom, where it was us

#: EC2 user guide, "Tag restrictions": 256 characters of a value, these characters in all services.
_NOT_ALLOWED = re.compile(r"[^\w\s.:/=+\-@]")


def to_list(tags: Mapping[str, str]) -> list[dict[str, str]]:
    """As EC2 takes them; values cut and cleaned to what it allows."""
    return [{"Key": key, "Value": _NOT_ALLOWED.sub("_", str(value))[:256]} for key, value in tags.items()]


def specification(kind: str, tags: Mapping[str, str]) -> dict[str, Any]:
    return {"ResourceType": kind, "Tags": to_list(tags)}


def from_list(tags: Sequence[Mapping[str, str]] | None) -> dict[str, str]:
    return {tag["Key"]: tag["Value"] for tag in tags or ()}


def require_ours(resource: str, tags: Mapping[str, str], stack: str) -> None:
    """Raise `NotOurs` unless the tags say that this stack made it."""
    if tags.get(STACK_TAG) != stack:
        raise NotOurs(resource=resource, stack=stack)
