"""Whether a source was told that nobody will ask for changes since a run any more."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    op.add_column("whole_copies", sa.Column("forgotten", sa.Boolean(), nullable=False, server_default=sa.false()))
