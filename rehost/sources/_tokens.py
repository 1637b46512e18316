"""Tokens of points in time that are a dataclass with `disks`, as JSON: what another process goes on from."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, TypeVar

from rehost.sources._errors import FreezeLost

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

S = TypeVar("S", bound="DataclassInstance")


def written(state: DataclassInstance, version: int) -> str:
    return json.dumps({"version": version, **asdict(state)})


def parsed(token: str, state: type[S], disk: Callable[..., Any], *, version: int, source: str) -> S:
    """What `written` was given. `disk` makes one of `disks` of its fields.

    Raises FreezeLost where it is not a token of this version; `source` says of what ("a vSphere source").
    """
    try:
        told = json.loads(token)
        if told.pop("version") != version:
            raise ValueError(token)
        return state(**{**told, "disks": [disk(**each) for each in told["disks"]]})
    except (ValueError, KeyError, TypeError, AttributeError):
        raise FreezeLost(detail=f"its token is not one of {source}") from None
