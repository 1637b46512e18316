"""Dynamic providers: how Pulumi creates, reads, updates and deletes what the spec declares.

Pulumi pickles a provider into the state of each of its resources, by reference: module and class name. So these names are part of
every user's state and must stay importable; the classes hold no fields, and their code can change without a diff.
"""

from providers.cutover import CutoverProvider
from providers.instance import InstanceProvider
from providers.machine_image import MachineImageProvider
from providers.milestone import MilestoneProvider
from providers.phase import PhaseProvider
from providers.post_launch import PostLaunchProvider
from providers.preflight import PreflightProvider
from providers.readiness import ReadinessProvider
from providers.replication_job import ReplicationJobProvider
from providers.validation import ValidationProvider

__all__ = [
    "CutoverProvider",
    "InstanceProvider",
    "MachineImageProvider",
    "MilestoneProvider",
    "PhaseProvider",
    "PostLaunchProvider",
    "PreflightProvider",
    "ReadinessProvider",
    "ReplicationJobProvider",
    "ValidationProvider",
]
