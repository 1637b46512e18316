"""The tables. A change here needs a migration; a test compares the two."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import cache
from typing import Any

import sqlalchemy as sa

metadata = sa.MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    }
)


class Utc(sa.TypeDecorator[datetime]):
    """A moment in UTC. SQLite has no time zones: what comes out of it is told that it is UTC."""

    impl = sa.DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: sa.Dialect) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            message = f"{value!r} has no time zone"
            raise ValueError(message)
        return value.astimezone(UTC)

    def process_result_value(self, value: Any, dialect: sa.Dialect) -> datetime | None:
        if value is None:
            return None
        moment: datetime = value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
        return moment


jobs = sa.Table(
    "jobs",
    metadata,
    sa.Column("id", sa.String(64), primary_key=True),
    sa.Column("stack", sa.String(255), nullable=False),
    sa.Column("server", sa.String(255), nullable=False),
    sa.Column("source_name", sa.String(255), nullable=False),
    sa.Column("spec", sa.JSON, nullable=False),
    sa.Column("state", sa.String(32), nullable=False),
    sa.Column("next_run_at", Utc),
    sa.Column("failures", sa.Integer, nullable=False),
    sa.Column("latest_image_id", sa.String(64)),
    sa.Column("created_at", Utc, nullable=False),
    sa.Column("anchor_at", Utc),
    sa.Column("planned_at", Utc),  # when next_run_at was set: a clock that was set back since shows in it
    sa.Column("paused_at", Utc),
    sa.Column("runs_made", sa.Integer, nullable=False, server_default="0"),
    sa.Column("last_run_id", sa.String(64)),  # the newest that COMPLETED or FAILED
    sa.Column("last_started_at", Utc),
    sa.Column("missed", sa.Integer, nullable=False, server_default="0"),
    sa.Column("lag_seconds", sa.BigInteger),
    sa.Column("max_concurrent_runs", sa.Integer),
    sa.Column("held_by", sa.String(255)),  # the application whose cutover took its last run
    sa.Index("ix_jobs_due", "next_run_at"),
)

runs = sa.Table(
    "runs",
    metadata,
    sa.Column("id", sa.String(64), primary_key=True),
    sa.Column("job_id", sa.String(64), sa.ForeignKey("jobs.id"), nullable=False),
    sa.Column("token", sa.String(255), nullable=False),
    sa.Column("kind", sa.String(32), nullable=False),
    sa.Column("state", sa.String(32), nullable=False),
    sa.Column("stage", sa.String(255)),
    sa.Column("message", sa.Text),
    sa.Column("scheduled_at", Utc, nullable=False),
    sa.Column("started_at", Utc),
    sa.Column("completed_at", Utc),
    sa.Column("connector_id", sa.String(64)),
    sa.Column("lease_until", Utc),
    sa.Column("freeze_token", sa.Text),
    sa.Column("consistency", sa.String(32)),
    sa.Column("image_id", sa.String(64)),
    sa.Column("cancel_requested", sa.Boolean, nullable=False),
    sa.Column("number", sa.Integer, nullable=False, server_default="0"),
    sa.Column("not_before", Utc),  # a blackout that began while it waited
    sa.Column("start_by", Utc),  # later than this it is MISSED
    sa.Column("frozen_at", Utc),
    sa.Column("stage_at", Utc),
    sa.Column("missed", sa.Integer, nullable=False, server_default="0"),
    sa.Column("missed_until", Utc),
    sa.Column("sent_bytes", sa.BigInteger),
    sa.UniqueConstraint("job_id", "token"),
    sa.Index("ix_runs_history", "job_id", "number"),
    sa.Index("ix_runs_open", "state", "scheduled_at"),
)

disks = sa.Table(
    "run_disks",
    metadata,
    sa.Column("run_id", sa.String(64), sa.ForeignKey("runs.id"), primary_key=True),
    sa.Column("index", sa.Integer, primary_key=True),
    sa.Column("key", sa.String(255), nullable=False),
    sa.Column("size", sa.BigInteger, nullable=False),
    sa.Column("snapshot_id", sa.String(64), nullable=False),
    sa.Column("parent_snapshot_id", sa.String(64)),
    sa.Column("position", sa.Text, nullable=False),
    *(
        sa.Column(name, sa.BigInteger, nullable=False)
        for name in (
            "allocated_bytes",
            "read_bytes",
            "sent_bytes",
            "sent_blocks",
            "unchanged_blocks",
            "zero_blocks",
            "blocks_done",
            "blocks_total",
        )
    ),
    sa.Column("completed_at", Utc),
    sa.Column("verified_at", Utc),
    sa.Column("started_at", Utc),
    sa.Column("updated_at", Utc),
    sa.Column("rate", sa.BigInteger),
)

images = sa.Table(
    "images",
    metadata,
    sa.Column("image_id", sa.String(64), primary_key=True),
    sa.Column("job_id", sa.String(64), sa.ForeignKey("jobs.id"), nullable=False),
    sa.Column("run_id", sa.String(64), sa.ForeignKey("runs.id"), nullable=False, unique=True),
    sa.Column("snapshot_ids", sa.JSON, nullable=False),
    sa.Column("created_at", Utc, nullable=False),
    sa.Column("deleted_at", Utc),
    sa.Column("number", sa.Integer, nullable=False, server_default="0"),
    sa.Column("taken_at", Utc),
    sa.Column("copies", sa.JSON),
    sa.Index("ix_images_job", "job_id", "number"),
)

pins = sa.Table(
    "pins",
    metadata,
    sa.Column("image_id", sa.String(64), sa.ForeignKey("images.image_id"), primary_key=True),
    sa.Column("holder", sa.String(255), primary_key=True),
)

connectors = sa.Table(
    "connectors",
    metadata,
    sa.Column("id", sa.String(64), primary_key=True),
    sa.Column("version", sa.String(64), nullable=False),
    sa.Column("host", sa.String(255), nullable=False),
    sa.Column("pid", sa.Integer, nullable=False),
    sa.Column("sources", sa.JSON),
    sa.Column("log_path", sa.Text, nullable=False),
    sa.Column("heartbeat_at", Utc, nullable=False),
    sa.Column("addresses", sa.JSON),
    sa.Column("capabilities", sa.JSON),
    sa.Column("max_runs", sa.Integer),
    sa.Column("started_at", Utc),
    sa.Column("draining_at", Utc),
    sa.Column("disassociated_at", Utc),
)

events = sa.Table(
    "events",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("at", Utc, nullable=False),
    sa.Column("kind", sa.String(64), nullable=False),
    sa.Column("job_id", sa.String(64)),
    sa.Column("run_id", sa.String(64)),
    sa.Column("message", sa.Text, nullable=False),
    sa.Index("ix_events_job", "job_id", "id"),
)

outbox = sa.Table(
    "outbox",
    metadata,
    sa.Column("id", sa.String(64), primary_key=True),
    sa.Column("source_name", sa.String(255), nullable=False),
    sa.Column("channel", sa.JSON, nullable=False),
    sa.Column("message", sa.JSON, nullable=False),
    sa.Column("aws", sa.JSON, nullable=False),
    sa.Column("created_at", Utc, nullable=False),
    sa.Column("attempts", sa.Integer, nullable=False),
    sa.Column("next_try_at", Utc),  # null: delivered, or given up
    sa.Column("delivered_at", Utc),
    sa.Column("last_error", sa.Text),
    sa.Index("ix_outbox_due", "next_try_at"),
)

catalogs = sa.Table(
    "catalogs",
    metadata,
    sa.Column("source_name", sa.String(255), primary_key=True),
    sa.Column("config", sa.JSON, nullable=False),
    sa.Column("state", sa.String(32), nullable=False),
    sa.Column("requested_at", Utc),
    sa.Column("refreshed_at", Utc),
    sa.Column("connector_id", sa.String(64)),
    sa.Column("message", sa.Text),
)

catalog_servers = sa.Table(
    "catalog_servers",
    metadata,
    sa.Column("source_name", sa.String(255), sa.ForeignKey("catalogs.source_name"), primary_key=True),
    sa.Column("key", sa.String(64), primary_key=True),  # a digest of the locator
    sa.Column("name", sa.String(255), nullable=False),
    sa.Column("locator", sa.JSON, nullable=False),
    sa.Column("disks", sa.JSON, nullable=False),
    sa.Column("facts", sa.JSON, nullable=False),
    sa.Column("seen_at", Utc, nullable=False),
    sa.Column("gone_at", Utc),
)

whole_copies = sa.Table(
    "whole_copies",
    metadata,
    sa.Column("run_id", sa.String(64), sa.ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True),
    sa.Column("copied_at", Utc, nullable=False),
    sa.Column("taken_at", Utc, nullable=False),
    sa.Column("image_id", sa.String(64)),
    sa.Column("image_key", sa.String(64)),
    sa.Column("forgotten", sa.Boolean, nullable=False, server_default=sa.false()),
)

copy_regions = sa.Table(
    "copy_regions",
    metadata,
    sa.Column("job_id", sa.String(64), sa.ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True),
    sa.Column("region", sa.String(64), primary_key=True),
)

shares = sa.Table(
    "shares",
    metadata,
    sa.Column("image_id", sa.String(64), primary_key=True),
    sa.Column("account", sa.String(12), primary_key=True),
)

grants = sa.Table(
    "grants",
    metadata,
    sa.Column("job_id", sa.String(64), sa.ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True),
    sa.Column("region", sa.String(64), primary_key=True),
    sa.Column("key_arn", sa.String(255), primary_key=True),
    sa.Column("account", sa.String(12), primary_key=True),
)

applications = sa.Table(
    "applications",
    metadata,
    sa.Column("stack", sa.String(255), primary_key=True),
    sa.Column("name", sa.String(255), primary_key=True),
    sa.Column("servers", sa.JSON, nullable=False),
    sa.Column("phase", sa.String(32), nullable=False),
    sa.Column("entry", sa.Integer, nullable=False),  # counts the phases that it entered
    sa.Column("entered_at", Utc, nullable=False),
    sa.Column("reached_at", Utc),  # null until its phase has come to a good end
    sa.Column("reached", sa.String(32)),  # the last phase that did
    sa.Column("force", sa.Text),
    sa.Column("wave", sa.String(255)),
    sa.Column("message", sa.Text),
    sa.Column("holder", sa.String(255)),  # who cuts it over
    sa.Column("lease_until", Utc),
    sa.Column("attempt", sa.Integer, nullable=False),
    sa.Column("sources", sa.JSON, nullable=False),  # by server, what a cutover did to it and going back undoes
    sa.Column("final_runs", sa.JSON, nullable=False),  # by server
    sa.Column("cut_at", Utc),
    sa.Column("tested", sa.JSON, nullable=False),  # by server, run and image of the last good test
    sa.Column("tested_at", Utc),
    sa.Column("outage_started_at", Utc),
    sa.Column("outage_ended_at", Utc),
    sa.Column("launch_started_at", Utc),
    sa.Column("launch_seconds", sa.Float),
    sa.Column("launched_phase", sa.String(32)),  # that launch_seconds is of
)

application_phases = sa.Table(
    "application_phases",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("stack", sa.String(255), nullable=False),
    sa.Column("name", sa.String(255), nullable=False),
    sa.Column("entry", sa.Integer, nullable=False),
    sa.Column("from_phase", sa.String(32)),
    sa.Column("phase", sa.String(32), nullable=False),
    sa.Column("entered_at", Utc, nullable=False),
    sa.Column("reached_at", Utc),
    sa.Column("force", sa.Text),
    sa.Column("message", sa.Text),
    sa.Index("ix_application_phases", "stack", "name", "id"),
)


power_requests = sa.Table(
    "power_requests",
    metadata,
    sa.Column("id", sa.String(64), primary_key=True),
    sa.Column("job_id", sa.String(64), sa.ForeignKey("jobs.id", ondelete="CASCADE"), nullable=False),
    sa.Column("token", sa.String(255), nullable=False),
    sa.Column("action", sa.String(32), nullable=False),
    sa.Column("state", sa.String(32), nullable=False),
    sa.Column("run_id", sa.String(64)),
    sa.Column("shutdown_seconds", sa.Float, nullable=False),
    sa.Column("restore", sa.Boolean, nullable=False),
    sa.Column("before", sa.String(32)),  # written before anything is done
    sa.Column("result", sa.JSON),
    sa.Column("message", sa.Text),
    sa.Column("requested_at", Utc, nullable=False),
    sa.Column("started_at", Utc),
    sa.Column("completed_at", Utc),
    sa.Column("connector_id", sa.String(64)),
    sa.Column("lease_until", Utc),
    sa.UniqueConstraint("job_id", "token"),
    sa.Index("ix_power_requests_open", "state", "id"),
)

validations = sa.Table(
    "validations",
    metadata,
    sa.Column("id", sa.String(64), primary_key=True),
    sa.Column("round_id", sa.String(64), nullable=False),
    sa.Column("stack", sa.String(255), nullable=False),
    sa.Column("application", sa.String(255), nullable=False),
    sa.Column("group", sa.String(255), nullable=False),
    sa.Column("phase", sa.String(32), nullable=False),
    sa.Column("check", sa.String(255), nullable=False),
    sa.Column("kind", sa.String(32), nullable=False),
    sa.Column("server", sa.String(255), nullable=False),
    sa.Column("instance_id", sa.String(64), nullable=False),
    sa.Column("state", sa.String(32), nullable=False),
    sa.Column("message", sa.Text),
    sa.Column("output", sa.Text),
    sa.Column("attempts", sa.Integer, nullable=False),
    sa.Column("created_at", Utc, nullable=False),
    sa.Column("started_at", Utc),
    sa.Column("ended_at", Utc),
    sa.Index("ix_validations_group", "stack", "application", "group", "id"),
)

post_launch_actions = sa.Table(
    "post_launch_actions",
    metadata,
    sa.Column("instance_id", sa.String(64), primary_key=True),
    sa.Column("action", sa.String(255), primary_key=True),
    sa.Column("stack", sa.String(255), nullable=False),
    sa.Column("server", sa.String(255), nullable=False),
    sa.Column("place", sa.Integer, nullable=False),
    sa.Column("fingerprint", sa.String(64), nullable=False),
    sa.Column("must_succeed", sa.Boolean, nullable=False),
    sa.Column("state", sa.String(32), nullable=False),
    sa.Column("message", sa.Text),
    sa.Column("output", sa.Text),
    sa.Column("attempts", sa.Integer, nullable=False),
    sa.Column("started_at", Utc),
    sa.Column("ended_at", Utc),
    sa.Index("ix_post_launch_actions_server", "stack", "server"),
)


@cache
def whole_metadata() -> sa.MetaData:
    """`metadata` with the partial indexes, for migrations. Only they need them, and naming a dialect loads all of its drivers:
    a tenth of a second that `rehost status` would wait for.
    """
    # One live job a server of a stack, whoever declares it and however often at once.
    _one("one_live_job", jobs.c.stack, jobs.c.server, where="state <> 'DELETED'")
    # Never two open runs of a job: the database itself refuses, whatever races there are.
    _one("one_open_run", runs.c.job_id, where="state IN ('PENDING', 'ACTIVE')")
    return metadata


def _one(name: str, *columns: sa.Column[Any], where: str) -> None:
    sa.Index(name, *columns, unique=True, sqlite_where=sa.text(where), postgresql_where=sa.text(where))
