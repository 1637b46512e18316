"""ComponentResources: what an estate is made of. `docs/components.md` says how to use them in a program of your own."""

from components.application import Application, ApplicationArgs, GroupArgs, WindowArgs
from components.estate import Estate, EstateArgs
from components.resources import (
    Cutover,
    Instance,
    MachineImage,
    Milestone,
    Phase,
    PostLaunch,
    Readiness,
    ReplicationJob,
    Validation,
)
from components.server import Server, ServerArgs

__all__ = [
    "Application",
    "ApplicationArgs",
    "Cutover",
    "Estate",
    "EstateArgs",
    "GroupArgs",
    "Instance",
    "MachineImage",
    "Milestone",
    "Phase",
    "PostLaunch",
    "Readiness",
    "ReplicationJob",
    "Server",
    "ServerArgs",
    "Validation",
    "WindowArgs",
]
