"""Alembic's entry: the connection comes from `Database.migrate`, inside its transaction."""

from __future__ import annotations

from alembic import context

from rehost.control._tables import whole_metadata

context.configure(
    connection=context.config.attributes["connection"], target_metadata=whole_metadata(), render_as_batch=True
)
with context.begin_transaction():
    context.run_migrations()
