"""Connectors: who is there to carry runs out."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from dataclasses import fields
from datetime import timedelta
from typing import Any

import sqlalchemy as sa

from rehost.control._database import Database
from rehost.control._records import Connector
from rehost.control._tables import connectors
from rehost.processes import is_running

#: Seconds without a heartbeat after which a connector no longer counts as live. It gives one every 5.
SILENCE = 20.0


class Connectors:
    def __init__(self, database: Database) -> None:
        self._db = database

    def register(
        self, connector_id: str, *, version: str, host: str, pid: int, sources: Sequence[str] | None, log_path: str
    ) -> None:
        with self._db.write() as connection:
            connection.execute(
                sa.insert(connectors).values(
                    id=connector_id,
                    version=version,
                    host=host,
                    pid=pid,
                    sources=None if sources is None else list(sources),
                    log_path=log_path,
                    heartbeat_at=self._db.now(),
                )
            )

    def heartbeat(self, connector_id: str) -> None:
        with self._db.write() as connection:
            connection.execute(
                sa.update(connectors).where(connectors.c.id == connector_id).values(heartbeat_at=self._db.now())
            )

    def deregister(self, connector_id: str) -> None:
        with self._db.write() as connection:
            connection.execute(sa.delete(connectors).where(connectors.c.id == connector_id))

    def live(self, *, source: str | None = None) -> list[Connector]:
        """Those with a fresh heartbeat; of this machine only those whose process exists; by `source`, who serves it."""
        since = self._db.now() - timedelta(seconds=SILENCE)
        with self._db.read() as connection:
            rows = connection.execute(sa.select(connectors).where(connectors.c.heartbeat_at > since)).all()
        found = [connector_of(row) for row in rows]
        return [
            each
            for each in found
            if not is_dead(each) and (source is None or each.sources is None or source in each.sources)
        ]

    def dead(self) -> list[Connector]:
        """Those that went without signing off: silent for long, or of this machine and without a process."""
        since = self._db.now() - timedelta(seconds=SILENCE * 3)
        with self._db.read() as connection:
            rows = connection.execute(sa.select(connectors)).all()
        found = [connector_of(row) for row in rows]
        return [each for each in found if is_dead(each) or each.heartbeat_at < since]


def is_dead(connector: Connector) -> bool:
    """Whether the process is known to be gone, which only its own machine can tell."""
    return connector.host == socket.gethostname() and not is_running(connector.pid)


def connector_of(row: Any) -> Connector:
    values = {each.name: getattr(row, each.name) for each in fields(Connector)}
    return Connector(**values | {"sources": None if row.sources is None else tuple(row.sources)})
