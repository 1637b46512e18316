"""What goes into the control plane and comes out of it: plain, frozen data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from rehost.control._life_cycle import Phase, Standing

Json = Mapping[str, Any]


class JobState(StrEnum):
    """AWS SMS's words (botocore, service model `sms`, ReplicationJobState)."""

    PENDING = "PENDING"  # declared, no image yet
    ACTIVE = "ACTIVE"
    FAILING = "FAILING"  # its last run failed; another try is planned
    PAUSED_ON_FAILURE = "PAUSED_ON_FAILURE"  # its tries are used up; it waits for a person
    FAILED = "FAILED"  # the same of a job that runs once and has made no image
    COMPLETED = "COMPLETED"  # a job that runs once, and has
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
    FINAL = "FINAL"  # the last one, for a cutover


class PowerAction(StrEnum):
    OFF = "off"
    QUIESCE = "quiesce"
    ON = "on"
    LOOK = "look"


class PowerState(StrEnum):
    """Of a power request."""

    PENDING = "PENDING"
    ACTIVE = "ACTIVE"
    DONE = "DONE"
    FAILED = "FAILED"

    @property
    def is_open(self) -> bool:
        return self in (PowerState.PENDING, PowerState.ACTIVE)


@dataclass(frozen=True)
class JobSpec:
    """What the spec declares of one server's replication. No secret is in it, only references."""

    stack: str
    server: str
    source_name: str
    source: Json
    locator: Json
    schedule: Json  # see `Schedule.of`; and keep_images
    image: Json
    aws: Json  # region, endpoint, profile, where the stack sets them
    application: str | None = None
    tags: Json = field(default_factory=dict)
    quiesce: str = "try"
    max_concurrent_runs: int | None = None  # of the whole source
    notify: tuple[Json, ...] | list[Json] = ()  # channels: name, events, and topic or webhook
    throttle: str | None = None  # as the spec has it; the source's own is in `source`
    ended: bool = False  # its application is complete: no run starts any more, what is in use stays


@dataclass(frozen=True)
class Job:
    id: str
    spec: JobSpec
    state: JobState
    next_run_at: datetime | None
    failures: int  # runs that failed since the last that did not
    latest_image_id: str | None
    created_at: datetime
    anchor_at: datetime | None = None  # a moment of its grid: when its schedule took effect
    paused_at: datetime | None = None  # by a person
    missed: int = 0  # moments that passed without a run, since the last that completed
    lag_seconds: int | None = None  # how old the last image had become when the next one was there
    held_by: str | None = None  # the application whose cutover took its last run

    @property
    def is_held(self) -> bool:
        """Whether no run starts by itself."""
        return self.paused_at is not None or self.held_by is not None or self.spec.ended

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
    number: int = 0  # counts the runs of its job: their order, whatever the clocks did
    frozen_at: datetime | None = None  # its point in time
    stage_at: datetime | None = None  # since when it is in this stage
    missed: int = 0  # of a MISSED run: how many moments it stands for, up to `missed_until`
    missed_until: datetime | None = None
    sent_bytes: int | None = None  # once it has ended


@dataclass(frozen=True)
class PowerRequest:
    """`result`: `before` and `after` ("on", "off", "paused", "unknown"), and `how` ("already", "shutdown", "forced", "paused",
    "on", "left", "resumed"); of a `look`, `power` and `changed` (None where the source cannot tell)."""

    id: str
    job_id: str
    token: str
    action: PowerAction
    state: PowerState
    run_id: str | None
    shutdown_seconds: float
    restore: bool
    before: str | None  # what it was when a connector came to it first
    result: Json
    message: str | None
    requested_at: datetime
    started_at: datetime | None
    completed_at: datetime | None
    connector_id: str | None
    lease_until: datetime | None


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
    started_at: datetime | None = None
    updated_at: datetime | None = None
    rate: int | None = None  # bytes a second that its copy gets through, smoothed


@dataclass(frozen=True)
class Image:
    image_id: str
    job_id: str
    run_id: str
    snapshot_ids: tuple[str, ...]
    created_at: datetime
    deleted_at: datetime | None = None
    number: int = 0  # of its run
    taken_at: datetime | None = None  # the point in time that it holds
    copies: Json | None = None  # region -> {image_id, snapshot_ids}


@dataclass(frozen=True)
class Connector:
    id: str
    version: str
    host: str
    pid: int
    sources: tuple[str, ...] | None  # None serves all
    log_path: str
    heartbeat_at: datetime
    addresses: tuple[str, ...] = ()
    capabilities: tuple[str, ...] = ()  # types of sources that it can open
    max_runs: int | None = None
    started_at: datetime | None = None
    draining_at: datetime | None = None  # since when it takes no more runs
    disassociated_at: datetime | None = None

    def serves(self, source: str) -> bool:
        return self.sources is None or source in self.sources


@dataclass(frozen=True)
class Event:
    id: int
    at: datetime
    kind: str
    job_id: str | None
    run_id: str | None
    message: str


@dataclass(frozen=True)
class Progress:
    """How far the copy of a run is. What is not known yet is None."""

    done_bytes: int
    total_bytes: int | None
    rate: int | None  # bytes a second
    eta_seconds: float | None

    @property
    def share(self) -> float | None:
        return self.done_bytes / self.total_bytes if self.total_bytes else None


@dataclass(frozen=True)
class JobStatus:
    """One job as `rehost status` shows it."""

    job: Job
    last_run: Run | None  # the newest that COMPLETED or FAILED
    open_run: Run | None
    latest_image: Image | None
    disks: tuple[RunDisk, ...]  # of the open run, else of the last one

    @property
    def age_from(self) -> datetime | None:
        """The point in time of the last good image."""
        image = self.latest_image
        return (image.taken_at or image.created_at) if image else None


@dataclass(frozen=True)
class Delivery:
    """One notification for one channel. `id` is the same at each attempt."""

    id: str
    channel: Json
    message: Json
    aws: Json
    attempts: int
    created_at: datetime
    last_error: str | None = None


@dataclass(frozen=True)
class Catalog:
    """What is known of the servers of one source; states are SMS's (ServerCatalogStatus)."""

    source_name: str
    state: str
    requested_at: datetime | None
    refreshed_at: datetime | None
    message: str | None
    servers: int


@dataclass(frozen=True)
class CatalogServer:
    source_name: str
    name: str
    locator: Json
    disks: tuple[Json, ...]  # key, size, format, allocated
    facts: Json
    seen_at: datetime
    gone_at: datetime | None


@dataclass(frozen=True)
class Application:
    """Where an application stands."""

    stack: str
    name: str
    servers: tuple[str, ...]
    phase: Phase
    entry: int  # counts the phases that it entered
    entered_at: datetime
    reached_at: datetime | None  # None until its phase has come to a good end
    reached: str | None  # the last phase that did
    force: str | None
    wave: str | None
    message: str | None  # why its phase did not come to a good end
    holder: str | None  # who cuts it over
    lease_until: datetime | None
    attempt: int  # counts its cutovers, and those that were given up
    sources: Json  # by server, what its cutover did to it and going back undoes
    final_runs: Json  # by server, run id
    cut_at: datetime | None  # when the last final run was there
    tested: Json  # by server: run, image
    tested_at: datetime | None
    outage_started_at: datetime | None
    outage_ended_at: datetime | None
    launch_started_at: datetime | None
    launch_seconds: float | None  # of the last launch that was timed, with its validations
    launched_phase: str | None

    @property
    def is_reached(self) -> bool:
        return self.reached_at is not None

    @property
    def standing(self) -> Standing:
        return Standing(self.phase, self.is_reached, frozenset(self.servers), frozenset(self.tested))

    @property
    def outage_seconds(self) -> float | None:
        """How long nobody could use it, once that is over."""
        if self.outage_started_at is None or self.outage_ended_at is None:
            return None
        return (self.outage_ended_at - self.outage_started_at).total_seconds()


@dataclass(frozen=True)
class PhaseChange:
    """One entry of an application's history."""

    entry: int
    from_phase: str | None
    phase: str
    entered_at: datetime
    reached_at: datetime | None
    force: str | None
    message: str | None  # why it did not come to a good end
