"""The life cycle of applications."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    moment = sa.DateTime(timezone=True)
    op.add_column("jobs", sa.Column("held_by", sa.String(length=255), nullable=True))
    op.create_table(
        "applications",
        sa.Column("stack", sa.String(length=255), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("servers", sa.JSON(), nullable=False),
        sa.Column("phase", sa.String(length=32), nullable=False),
        sa.Column("entry", sa.Integer(), nullable=False),
        sa.Column("entered_at", moment, nullable=False),
        sa.Column("reached_at", moment, nullable=True),
        sa.Column("reached", sa.String(length=32), nullable=True),
        sa.Column("force", sa.Text(), nullable=True),
        sa.Column("wave", sa.String(length=255), nullable=True),
        sa.Column("message", sa.Text(), nullable=True),
        sa.Column("holder", sa.String(length=255), nullable=True),
        sa.Column("lease_until", moment, nullable=True),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("sources", sa.JSON(), nullable=False),
        sa.Column("final_runs", sa.JSON(), nullable=False),
        sa.Column("cut_at", moment, nullable=True),
        sa.Column("tested", sa.JSON(), nullable=False),
        sa.Column("tested_at", moment, nullable=True),
        sa.Column("outage_started_at", moment, nullable=True),
        sa.Column("outage_ended_at", moment, nullable=True),
        sa.Column("launch_started_at", moment, nullable=True),
        sa.Column("launch_seconds", sa.Float(), nullable=True),
        sa.Column("launched_phase", sa.String(length=32), nullable=True),
        sa.PrimaryKeyConstraint("stack", "name", name=op.f("pk_applications")),
    )
    op.create_table(
        "application_phases",
        sa.Column("id", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("stack", sa.String(length=255), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("entry", sa.Integer(), nullable=False),
        sa.Column("from_phase", sa.String(length=32), nullable=True),
        sa.Column("phase", sa.String(length=32), nullable=False),
        sa.Column("entered_at", moment, nullable=False),
        sa.Column("reached_at", moment, nullable=True),
        sa.Column("force", sa.Text(), nullable=True),
        sa.Column("message", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_application_phases")),
    )
    op.create_index("ix_application_phases", "application_phases", ["stack", "name", "id"])
