"""What the parts of the sandbox's EC2 share: moto's backends, and the tags of a request."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from moto.backends import get_backend

from sandbox._ebs import ACCOUNT


def service_backends(service: str) -> Any:
    """moto's backends of one service in the sandbox's account, by region. moto types them by literal names only."""
    find: Any = get_backend
    return find(service)[ACCOUNT]


def backend(region: str) -> Any:
    return service_backends("ec2")[region]


def tags_of(asked: Mapping[str, Any], kind: str) -> dict[str, str]:
    """The tags that a request gives to what it makes of this kind."""
    for entry in asked.get("TagSpecifications", []):
        if entry.get("ResourceType") == kind:
            return {tag["Key"]: tag.get("Value", "") for tag in entry.get("Tags", [])}
    return {}
