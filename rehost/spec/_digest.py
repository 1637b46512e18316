"""What a spec comes to, in short: to tell whether it is still the one that was reviewed.

It is of the model, not of the files: comments, the order of entries and in which file they stand are no matter, and what variables,
defaults, templates and files of user data stand for is.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from rehost.spec._model import Estate, LaunchConfig, Schedule, SourceSpec

#: The model's names of the sections.
_SECTIONS = {
    "sources": "sources",
    "schedules": "schedules",
    "notifications": "notifications",
    "launchConfigs": "launch_configs",
    "servers": "servers",
    "applications": "applications",
    "waves": "waves",
}


def digests(estate: Estate) -> dict[tuple[str, str], str]:
    """By section and name of each entry: 32 hexadecimal digits. An entry that another one names has its own."""
    return {
        (section, name): _hashed(_fields(entry))
        for section, attribute in _SECTIONS.items()
        for name, entry in getattr(estate, attribute).items()
    }


def digest(estate: Estate) -> str:
    """Of all entries together: 32 hexadecimal digits."""
    return _hashed(sorted([*key, value] for key, value in digests(estate).items()))


def _hashed(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, default=str).encode()).hexdigest()[:32]


def _fields(entry: Any) -> list[Any]:
    return [[field.name, _plain(getattr(entry, field.name))] for field in dataclasses.fields(entry)]


def _plain(value: Any) -> Any:
    """As JSON keeps it apart. The order within a mapping has a meaning in some of them."""
    if isinstance(value, SourceSpec | Schedule | LaunchConfig):
        return value.name
    if isinstance(value, Mapping):
        return [[key, _plain(each)] for key, each in value.items()]
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    if isinstance(value, datetime):
        return value.isoformat()
    return _fields(value) if dataclasses.is_dataclass(value) else value
