"""The control plane: the database in which jobs, runs, images and events live. SQLite by default, PostgreSQL by URL."""

from rehost.control._connectors import is_dead
from rehost.control._errors import ControlError, DatabaseFull, DatabaseUnreachable, DatabaseUnusable, RunIsOpen, Unknown
from rehost.control._ids import new_id
from rehost.control._plane import ControlPlane
from rehost.control._records import (
    Connector,
    Event,
    Image,
    Job,
    JobSpec,
    JobState,
    JobStatus,
    Run,
    RunDisk,
    RunKind,
    RunState,
)
from rehost.control._retention import superseded
from rehost.control._runs import MAX_FAILURES
from rehost.control._schedule import next_run, retry_at
from rehost.control._whole_copies import WholeCopy

__all__ = [
    "MAX_FAILURES",
    "Connector",
    "ControlError",
    "ControlPlane",
    "DatabaseFull",
    "DatabaseUnreachable",
    "DatabaseUnusable",
    "Event",
    "Image",
    "Job",
    "JobSpec",
    "JobState",
    "JobStatus",
    "Run",
    "RunDisk",
    "RunIsOpen",
    "RunKind",
    "RunState",
    "Unknown",
    "WholeCopy",
    "is_dead",
    "new_id",
    "next_run",
    "retry_at",
    "superseded",
]
