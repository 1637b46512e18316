"""Alembic's entry: the connection comes from `Database.migrate`, inside its transaction."""

from __future__ import annotations

from alembic import context

from rehost.control._tables import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata, render_as_batch=True)
with context.begin_transaction():
    context.run_migrations()
