"""The spec language: YAML files in, an estate or all of their errors out."""

from rehost.spec._findings import Finding, Position, SpecErrors
from rehost.spec._load import check, load
from rehost.spec._model import (
    Application,
    Check,
    Estate,
    Group,
    ImageOptions,
    LaunchConfig,
    NetworkInterface,
    Notification,
    PostLaunchAction,
    Schedule,
    Server,
    SourceSpec,
    Volume,
    Wave,
    Window,
    group_order,
)
from rehost.spec._schema import schema

__all__ = [
    "Application",
    "Check",
    "Estate",
    "Finding",
    "Group",
    "ImageOptions",
    "LaunchConfig",
    "NetworkInterface",
    "Notification",
    "Position",
    "PostLaunchAction",
    "Schedule",
    "Server",
    "SourceSpec",
    "SpecErrors",
    "Volume",
    "Wave",
    "Window",
    "check",
    "group_order",
    "load",
    "schema",
]
