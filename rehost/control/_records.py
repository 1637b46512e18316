"""What goes into the control plane and comes out of it: plain, frozen data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

Json = Mapping[str, Any]


class JobState(StrEnum):
    """AWS SMS's words (botocore, service model `sms`, ReplicationJobState)."""

    PENDING = "PENDING"  # declared, no image yet
    ACTIVE = "ACTIVE"
    PAUSED_ON_FAILURE = "PAUSED_ON_FAILURE"
    DELETING = "DELETING"
    DELETED = "DELETED"


class RunState(StrEnum):
    """AWS SMS's words (botocore, service model `sms`, ReplicationRunState)."""

    PENDING = "PENDING"
    ACTIVE = "ACTIVE"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    MISSED = "MISSED"

    @property
    def is_open(self) -> bool:
        return self in (RunState.PENDING, RunState.ACTIVE)

    @property
    def is_terminal(self) -> bool:
        return not self.is_open


class RunKind(StrEnum):
    AUTOMATIC = "AUTOMATIC"
    ON_DEMAND = "ON_DEMAND"


@dataclass(frozen=True)
class JobSpec:
    """What the spec declares of one server's replication. No secret is in it, only references."""

    stack: str
    server: str
    source_name: str
    source: Json
    locator: Json
    schedule: Json  # every_seconds | continuous | run_once, and keep_images
    image: Json
    aws: Json  # region, endpoint, profile, where the stack sets them
    application: str | None = None
    tags: Json = field(default_factory=dict)
    quiesce: str = "try"
    throttle: str | None = None  # as the spec has it; the source's own is in `source`


@dataclass(frozen=True)
class Job:
    id: str
    spec: JobSpec
    state: JobState
    next_run_at: datetime | None
    failures: int  # runs that failed since the last that did not
    latest_image_id: str | None
    created_at: datetime

    @property
    def is_live(self) -> bool:
        return self.state not in (JobState.DELETING, JobState.DELETED)


@dataclass(frozen=True)
class Run:
    id: str
    job_id: str
    kind: RunKind
    state: RunState
    stage: str | None
    message: str | None
    scheduled_at: datetime
    started_at: datetime | None
    completed_at: datetime | None
    connector_id: str | None
    lease_until: datetime | None
    freeze_token: str | None
    consistency: str | None
    image_id: str | None
    cancel_requested: bool


@dataclass(frozen=True)
class RunDisk:
    index: int  # 0 is the root disk
    key: str
    size: int  # bytes
    snapshot_id: str
    parent_snapshot_id: str | None
    position: str  # the source's ChangePosition
    allocated_bytes: int = 0
    read_bytes: int = 0
    sent_bytes: int = 0
    sent_blocks: int = 0
    unchanged_blocks: int = 0
    zero_blocks: int = 0
    blocks_done: int = 0
    blocks_total: int = 0
    completed_at: datetime | None = None
    verified_at: datetime | None = None


@dataclass(frozen=True)
class Image:
    image_id: str
    job_id: str
    run_id: str
    snapshot_ids: tuple[str, ...]
    created_at: datetime
    deleted_at: datetime | None = None


@dataclass(frozen=True)
class Connector:
    id: str
    version: str
    host: str
    pid: int
    sources: tuple[str, ...] | None  # None serves all
    log_path: str
    heartbeat_at: datetime


@dataclass(frozen=True)
class Event:
    id: int
    at: datetime
    kind: str
    job_id: str | None
    run_id: str | None
    message: str


@dataclass(frozen=True)
class JobStatus:
    """One job as `rehost status` shows it."""

    job: Job
    last_run: Run | None  # the newest that has ended
    open_run: Run | None
    latest_image: Image | None
    disks: tuple[RunDisk, ...]  # of the open run, else of the last one
