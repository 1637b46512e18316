"""Whole copies, and where images have gone."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.create_table(
        "whole_copies",
        sa.Column("run_id", sa.String(length=64), nullable=False),
        sa.Column("copied_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("taken_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("image_id", sa.String(length=64), nullable=True),
        sa.Column("image_key", sa.String(length=64), nullable=True),
        sa.ForeignKeyConstraint(["run_id"], ["runs.id"], name=op.f("fk_whole_copies_run_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("run_id", name=op.f("pk_whole_copies")),
    )
    op.execute(
        "INSERT INTO whole_copies (run_id, copied_at, taken_at) "
        "SELECT id, completed_at, started_at FROM runs "
        "WHERE state = 'COMPLETED' AND completed_at IS NOT NULL AND started_at IS NOT NULL"
    )
    op.create_table(
        "copy_regions",
        sa.Column("job_id", sa.String(length=64), nullable=False),
        sa.Column("region", sa.String(length=64), nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name=op.f("fk_copy_regions_job_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("job_id", "region", name=op.f("pk_copy_regions")),
    )
    op.create_table(
        "shares",
        sa.Column("image_id", sa.String(length=64), nullable=False),
        sa.Column("account", sa.String(length=12), nullable=False),
        sa.PrimaryKeyConstraint("image_id", "account", name=op.f("pk_shares")),
    )
    op.create_table(
        "grants",
        sa.Column("job_id", sa.String(length=64), nullable=False),
        sa.Column("region", sa.String(length=64), nullable=False),
        sa.Column("key_arn", sa.String(length=255), nullable=False),
        sa.Column("account", sa.String(length=12), nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name=op.f("fk_grants_job_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("job_id", "region", "key_arn", "account", name=op.f("pk_grants")),
    )
