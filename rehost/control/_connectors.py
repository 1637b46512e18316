"""Connectors: who is there to carry runs out."""

from __future__ import annotations

import socket
from collections.abc import Mapping, Sequence
from dataclasses import fields
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from rehost.control._database import Database, patient
from rehost.control._errors import Unknown
from rehost.control._leases import LET_GO
from rehost.control._records import Connector, RunState
from rehost.control._tables import connectors, runs
from rehost.processes import is_running

#: Seconds without a heartbeat after which a connector no longer counts as live. It gives one every 5.
SILENCE = 20.0
_LISTS = ("sources", "addresses", "capabilities")


@patient
class Connectors:
    def __init__(self, database: Database) -> None:
        self._db = database

    def register(
        self,
        connector_id: str,
        *,
        version: str,
        host: str,
        pid: int,
        sources: Sequence[str] | None,
        log_path: str,
        addresses: Sequence[str] = (),
        capabilities: Sequence[str] = (),
        max_runs: int | None = None,
    ) -> None:
        """Sign on; repeating it is harmless."""
        now = self._db.now()
        with self._db.write() as connection:
            if connection.execute(sa.select(connectors.c.id).where(connectors.c.id == connector_id)).one_or_none():
                return
            connection.execute(
                sa.insert(connectors).values(
                    id=connector_id,
                    version=version,
                    host=host,
                    pid=pid,
                    sources=None if sources is None else list(sources),
                    log_path=log_path,
                    addresses=list(addresses),
                    capabilities=list(capabilities),
                    max_runs=max_runs,
                    started_at=now,
                    heartbeat_at=now,
                )
            )

    def heartbeat(self, connector_id: str) -> Connector | None:
        """A sign of life; answers with what was decided about it meanwhile. None where it is not registered (any more)."""
        this = connectors.c.id == connector_id
        with self._db.write() as connection:
            connection.execute(sa.update(connectors).where(this).values(heartbeat_at=self._db.now()))
            row = connection.execute(sa.select(connectors).where(this)).one_or_none()
        return connector_of(row) if row else None

    def deregister(self, connector_id: str) -> None:
        with self._db.write() as connection:
            connection.execute(sa.delete(connectors).where(connectors.c.id == connector_id))

    def drain(self, connector_id: str) -> None:
        """It takes no more runs, finishes what it has, and ends. Repeating it is harmless. Raises `Unknown`."""
        self._decide(connector_id, draining_at=self._db.now())

    def disassociate(self, connector_id: str) -> int:
        """It gives up what it has at its next sign of life, and others take over; returns how many runs it had.

        One that gives no signs of life loses them now. Repeating it is harmless. Raises `Unknown`.
        """
        now = self._db.now()
        self._decide(connector_id, draining_at=now, disassociated_at=now)
        held = (runs.c.connector_id == connector_id, runs.c.state == RunState.ACTIVE)
        with self._db.write() as connection:
            row = connection.execute(sa.select(connectors).where(connectors.c.id == connector_id)).one_or_none()
            if row is not None and is_healthy(connector_of(row), now):
                # Two hands on one run must not be: it lets go by itself, within seconds.
                return connection.execute(sa.select(sa.func.count()).select_from(runs).where(*held)).scalar_one()
            return connection.execute(sa.update(runs).where(*held).values(lease_until=LET_GO)).rowcount

    def _decide(self, connector_id: str, **moments: datetime) -> None:
        values: Mapping[str, Any] = {
            name: sa.func.coalesce(connectors.c[name], moment) for name, moment in moments.items()
        }
        with self._db.write() as connection:
            landed = connection.execute(sa.update(connectors).where(connectors.c.id == connector_id).values(values))
            if landed.rowcount != 1:
                raise Unknown(kind="connector", id=connector_id)

    def list(self) -> list[Connector]:
        """All that have signed on and not off, by the time they did."""
        with self._db.read() as connection:
            return [connector_of(row) for row in connection.execute(sa.select(connectors).order_by(connectors.c.id))]

    def live(self, *, source: str | None = None) -> Sequence[Connector]:
        """Those that are healthy and take runs; by `source`, who serves it."""
        return [each for each in self.healthy() if each.draining_at is None and (source is None or each.serves(source))]

    def healthy(self) -> Sequence[Connector]:
        """Those that give signs of life, draining ones included."""
        now = self._db.now()
        return [each for each in self.list() if is_healthy(each, now)]

    def dead(self) -> Sequence[Connector]:
        """Those of this machine that went without signing off: their process is gone."""
        return [each for each in self.list() if is_dead(each)]

    def forget(self, silent: timedelta) -> int:
        """Remove those that have given no sign of life for so long; returns how many."""
        with self._db.write() as connection:
            return connection.execute(
                sa.delete(connectors).where(connectors.c.heartbeat_at < self._db.now() - silent)
            ).rowcount


def is_dead(connector: Connector) -> bool:
    """Whether the process is known to be gone, which only its own machine can tell."""
    return connector.host == socket.gethostname() and not is_running(connector.pid)


def is_healthy(connector: Connector, now: datetime) -> bool:
    """SMS: HEALTHY or UNHEALTHY. Signs of life, and on its own machine a process."""
    return now - connector.heartbeat_at < timedelta(seconds=SILENCE) and not is_dead(connector)


def connector_of(row: Any) -> Connector:
    values = {each.name: getattr(row, each.name) for each in fields(Connector)}
    values |= {name: tuple(values[name] or ()) for name in _LISTS if name != "sources" or values[name] is not None}
    return Connector(**values)
