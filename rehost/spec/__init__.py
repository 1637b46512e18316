"""The spec language: YAML files in, an estate or all of their errors out."""

from rehost.spec._findings import Finding, Position, SpecErrors
from rehost.spec._load import check, load
from rehost.spec._model import (
    Application,
    Estate,
    Group,
    ImageOptions,
    LaunchConfig,
    Schedule,
    Server,
    Source,
    Wave,
    Window,
)
from rehost.spec._schema import schema

__all__ = [
    "Application",
    "Estate",
    "Finding",
    "Group",
    "ImageOptions",
    "LaunchConfig",
    "Position",
    "Schedule",
    "Server",
    "Source",
    "SpecErrors",
    "Wave",
    "Window",
    "check",
    "load",
    "schema",
]
