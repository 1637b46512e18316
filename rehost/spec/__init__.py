"""The spec language: YAML files in, an estate or all of their errors out."""

from rehost.spec._digest import digest, digests
from rehost.spec._excerpts import Excerpts
from rehost.spec._explain import Explained, NoSuchKey, explain
from rehost.spec._files import read
from rehost.spec._findings import Finding, Position, SpecErrors
from rehost.spec._formats import as_github, as_sarif, as_text
from rehost.spec._load import check, check_stacks, load, of, selections
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
from rehost.spec._selections import Selection
from rehost.spec._variables import Variables

__all__ = [
    "Application",
    "Check",
    "Estate",
    "Excerpts",
    "Explained",
    "Finding",
    "Group",
    "ImageOptions",
    "LaunchConfig",
    "NetworkInterface",
    "NoSuchKey",
    "Notification",
    "Position",
    "PostLaunchAction",
    "Schedule",
    "Selection",
    "Server",
    "SourceSpec",
    "SpecErrors",
    "Variables",
    "Volume",
    "Wave",
    "Window",
    "as_github",
    "as_sarif",
    "as_text",
    "check",
    "check_stacks",
    "digest",
    "digests",
    "explain",
    "group_order",
    "load",
    "of",
    "read",
    "schema",
    "selections",
]
