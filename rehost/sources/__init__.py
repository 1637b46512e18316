"""The places servers live, each behind the protocol in `_protocol.py`."""

from rehost.sources._errors import (
    ChangesUnknown,
    DiskMissing,
    DiskUnreadable,
    DiskUnsuitable,
    FreezeLost,
    LocatorInvalid,
    QuiesceImpossible,
    ReadFailed,
    ServerNotFound,
    SourceChanged,
    SourceConfigInvalid,
    SourceError,
    SourceUnavailable,
)
from rehost.sources._images import ImagesSource
from rehost.sources._memory import MemorySource
from rehost.sources._protocol import (
    ChangePosition,
    Concern,
    Consistency,
    DiscoveredDisk,
    DiscoveredServer,
    FrozenDisk,
    FrozenServer,
    Locator,
    Quiesce,
    Severity,
    Source,
)
from rehost.sources._registry import SOURCE_TYPES, open_source

__all__ = [
    "SOURCE_TYPES",
    "ChangePosition",
    "ChangesUnknown",
    "Concern",
    "Consistency",
    "DiscoveredDisk",
    "DiscoveredServer",
    "DiskMissing",
    "DiskUnreadable",
    "DiskUnsuitable",
    "FreezeLost",
    "FrozenDisk",
    "FrozenServer",
    "ImagesSource",
    "Locator",
    "LocatorInvalid",
    "MemorySource",
    "Quiesce",
    "QuiesceImpossible",
    "ReadFailed",
    "ServerNotFound",
    "Severity",
    "Source",
    "SourceChanged",
    "SourceConfigInvalid",
    "SourceError",
    "SourceUnavailable",
    "open_source",
]
