"""ComponentResources: what an estate is made of. `docs/components.md` says how to use them in a program of your own."""

from components.application import Application, ApplicationArgs, GroupArgs, WindowArgs
from components.estate import Estate, EstateArgs
from components.landing_zone import Ingress, LandingZone, LandingZoneArgs, LandingZoneError
from components.program import must_be_reviewed, variables
from components.resources import (
    Cutover,
    Instance,
    MachineImage,
    Milestone,
    Phase,
    PostLaunch,
    Preflight,
    Readiness,
    ReplicationJob,
    Validation,
)
from components.server import Server, ServerArgs
from components.wave import Wave, WaveArgs

__all__ = [
    "Application",
    "ApplicationArgs",
    "Cutover",
    "Estate",
    "EstateArgs",
    "GroupArgs",
    "Ingress",
    "Instance",
    "LandingZone",
    "LandingZoneArgs",
    "LandingZoneError",
    "MachineImage",
    "Milestone",
    "Phase",
    "PostLaunch",
    "Preflight",
    "Readiness",
    "ReplicationJob",
    "Server",
    "ServerArgs",
    "Validation",
    "Wave",
    "WaveArgs",
    "WindowArgs",
    "must_be_reviewed",
    "variables",
]
