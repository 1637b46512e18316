"""The control plane: the database in which jobs, runs, images and events live. SQLite by default, PostgreSQL by URL."""

from rehost.control._catalog import CatalogState
from rehost.control._connectors import is_dead, is_healthy
from rehost.control._errors import (
    ApplicationHeld,
    ControlError,
    DatabaseFull,
    DatabaseUnreachable,
    DatabaseUnusable,
    NothingToRetry,
    PhaseRefused,
    RunIsOpen,
    Unknown,
)
from rehost.control._ids import new_id
from rehost.control._leases import LeaseWatch
from rehost.control._life_cycle import Phase, Standing, refusal, steps
from rehost.control._messages import NOTIFIABLE, notification_schema
from rehost.control._plane import ControlPlane
from rehost.control._progress import advice, lag_of, progress_of
from rehost.control._records import (
    Application,
    Catalog,
    CatalogServer,
    Connector,
    Delivery,
    Event,
    Image,
    Job,
    JobSpec,
    JobState,
    JobStatus,
    PhaseChange,
    PowerAction,
    PowerRequest,
    PowerState,
    Progress,
    Run,
    RunDisk,
    RunKind,
    RunState,
)
from rehost.control._retention import superseded
from rehost.control._schedule import Retry, Schedule
from rehost.control._timeline import EndedRun
from rehost.control._validations import ActionRecord, Planned, Validation, ValidationState
from rehost.control._whole_copies import WholeCopy

#: Failures in a row after which a job waits for a person (SMS: PAUSED_ON_FAILURE), unless its schedule says otherwise.
MAX_FAILURES = Retry.attempts

__all__ = [
    "MAX_FAILURES",
    "NOTIFIABLE",
    "ActionRecord",
    "Application",
    "ApplicationHeld",
    "Catalog",
    "CatalogServer",
    "CatalogState",
    "Connector",
    "ControlError",
    "ControlPlane",
    "DatabaseFull",
    "DatabaseUnreachable",
    "DatabaseUnusable",
    "Delivery",
    "EndedRun",
    "Event",
    "Image",
    "Job",
    "JobSpec",
    "JobState",
    "JobStatus",
    "LeaseWatch",
    "NothingToRetry",
    "Phase",
    "PhaseChange",
    "PhaseRefused",
    "Planned",
    "PowerAction",
    "PowerRequest",
    "PowerState",
    "Progress",
    "Retry",
    "Run",
    "RunDisk",
    "RunIsOpen",
    "RunKind",
    "RunState",
    "Schedule",
    "Standing",
    "Unknown",
    "Validation",
    "ValidationState",
    "WholeCopy",
    "advice",
    "is_dead",
    "is_healthy",
    "lag_of",
    "new_id",
    "notification_schema",
    "progress_of",
    "refusal",
    "steps",
    "superseded",
]
