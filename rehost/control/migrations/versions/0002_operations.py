"""Schedules, states, order of runs, connectors' facts, copies of images, catalog and outbox."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

MOMENT = sa.DateTime(timezone=True)


def _add(table: str, columns: dict[str, sa.types.TypeEngine[Any]]) -> None:
    for name, kind in columns.items():
        op.add_column(table, sa.Column(name, kind))


def upgrade() -> None:
    _add(
        "jobs",
        {
            "anchor_at": MOMENT,
            "planned_at": MOMENT,
            "paused_at": MOMENT,
            "last_run_id": sa.String(64),
            "last_started_at": MOMENT,
            "lag_seconds": sa.BigInteger(),
            "max_concurrent_runs": sa.Integer(),
        },
    )
    _add(
        "runs",
        {
            "not_before": MOMENT,
            "start_by": MOMENT,
            "frozen_at": MOMENT,
            "stage_at": MOMENT,
            "missed_until": MOMENT,
            "sent_bytes": sa.BigInteger(),
        },
    )
    _add("run_disks", {"started_at": MOMENT, "updated_at": MOMENT, "rate": sa.BigInteger()})
    _add("images", {"taken_at": MOMENT, "copies": sa.JSON()})
    _add(
        "connectors",
        {
            "addresses": sa.JSON(),
            "capabilities": sa.JSON(),
            "max_runs": sa.Integer(),
            "started_at": MOMENT,
            "draining_at": MOMENT,
            "disassociated_at": MOMENT,
        },
    )
    for table, name in (
        ("jobs", "runs_made"),
        ("jobs", "missed"),
        ("runs", "number"),
        ("runs", "missed"),
        ("images", "number"),
    ):
        op.add_column(table, sa.Column(name, sa.Integer(), nullable=False, server_default="0"))

    _number_what_is_there()

    op.drop_index("ix_runs_history", "runs")
    op.create_index("ix_runs_history", "runs", ["job_id", "number"])
    op.drop_index("ix_images_job", "images")
    op.create_index("ix_images_job", "images", ["job_id", "number"])

    op.create_table(
        "outbox",
        sa.Column("id", sa.String(64), nullable=False),
        sa.Column("source_name", sa.String(255), nullable=False),
        sa.Column("channel", sa.JSON(), nullable=False),
        sa.Column("message", sa.JSON(), nullable=False),
        sa.Column("aws", sa.JSON(), nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("next_try_at", MOMENT),
        sa.Column("delivered_at", MOMENT),
        sa.Column("last_error", sa.Text()),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_outbox")),
    )
    op.create_index("ix_outbox_due", "outbox", ["next_try_at"])
    op.create_table(
        "catalogs",
        sa.Column("source_name", sa.String(255), nullable=False),
        sa.Column("config", sa.JSON(), nullable=False),
        sa.Column("state", sa.String(32), nullable=False),
        sa.Column("requested_at", MOMENT),
        sa.Column("refreshed_at", MOMENT),
        sa.Column("connector_id", sa.String(64)),
        sa.Column("message", sa.Text()),
        sa.PrimaryKeyConstraint("source_name", name=op.f("pk_catalogs")),
    )
    op.create_table(
        "catalog_servers",
        sa.Column("source_name", sa.String(255), nullable=False),
        sa.Column("key", sa.String(64), nullable=False),
        sa.Column("name", sa.String(255), nullable=False),
        sa.Column("locator", sa.JSON(), nullable=False),
        sa.Column("disks", sa.JSON(), nullable=False),
        sa.Column("facts", sa.JSON(), nullable=False),
        sa.Column("seen_at", MOMENT, nullable=False),
        sa.Column("gone_at", MOMENT),
        sa.ForeignKeyConstraint(["source_name"], ["catalogs.source_name"], name=op.f("fk_catalog_servers_source_name")),
        sa.PrimaryKeyConstraint("source_name", "key", name=op.f("pk_catalog_servers")),
    )


def _number_what_is_there() -> None:
    """Ids sort by the time they were made: until now that was the order of runs."""
    for statement in (
        "UPDATE runs SET number = (SELECT count(*) FROM runs AS other WHERE other.job_id = runs.job_id AND other.id <= runs.id)",
        "UPDATE runs SET sent_bytes = (SELECT sum(sent_bytes) FROM run_disks WHERE run_id = runs.id) "
        "WHERE state IN ('COMPLETED', 'FAILED')",
        "UPDATE images SET number = (SELECT number FROM runs WHERE runs.id = images.run_id), taken_at = created_at",
        "UPDATE jobs SET anchor_at = created_at, planned_at = created_at, "
        "runs_made = (SELECT count(*) FROM runs WHERE runs.job_id = jobs.id), "
        "last_run_id = (SELECT max(id) FROM runs WHERE runs.job_id = jobs.id AND runs.state IN ('COMPLETED', 'FAILED'))",
        # SQLite stores JSON as text, PostgreSQL compares it only as such.
        "UPDATE jobs SET state = 'COMPLETED' WHERE state = 'ACTIVE' AND CAST(spec AS TEXT) LIKE '%\"run_once\": true%'",
        "UPDATE jobs SET state = 'FAILING' WHERE state IN ('PENDING', 'ACTIVE') AND failures > 0",
    ):
        op.execute(statement)
