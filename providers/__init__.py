"""Dynamic providers: how Pulumi creates, reads, updates and deletes what the spec declares.

Pulumi pickles a provider into the state of each of its resources, by reference: module and class name. So these names are part of
every user's state and must stay importable; the classes hold no fields, and their code can change without a diff.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from pulumi.dynamic import ResourceProvider

#: The module of each provider. A program names them; what they work with is imported where they work.
_MODULES = {
    "CutoverProvider": "cutover",
    "InstanceProvider": "instance",
    "MachineImageProvider": "machine_image",
    "MilestoneProvider": "milestone",
    "PhaseProvider": "phase",
    "PostLaunchProvider": "post_launch",
    "PreflightProvider": "preflight",
    "ReadinessProvider": "readiness",
    "ReplicationJobProvider": "replication_job",
    "ValidationProvider": "validation",
}


class Reference(ResourceProvider):
    """A provider by its class's name, without importing it: it is pickled as the provider itself would be made."""

    serialize_as_secret_always = False

    def __init__(self, name: str) -> None:
        self._name = name

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return made, (self._name,)


def made(name: str) -> ResourceProvider:
    """The provider of that name. It stands in every user's state."""
    found: ResourceProvider = getattr(import_module(f"providers.{_MODULES[name]}"), name)()
    return found
