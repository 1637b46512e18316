"""rehost moves servers into AWS as code. `docs/architecture.md` is the map.

For programs, it has the spec's model (`docs/components.md`): `rehost.load(...)`, `rehost.Estate`. All of it comes from `rehost.spec`,
and is imported when it is first asked for: a command that needs no spec does not wait for the checker of specs.
"""

from importlib import import_module

from rehost.late import names_of

__version__ = "0.1.0"

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
    "__version__",
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


_of_spec = names_of(__name__, {"spec": [each for each in __all__ if each != "__version__"]})


def __getattr__(name: str) -> object:
    """PEP 562. `rehost.spec` itself, too."""
    return import_module("rehost.spec") if name == "spec" else _of_spec(name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, "spec"})
