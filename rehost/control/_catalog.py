"""The catalog: which servers discovery found at each source. A connector fills it when it is asked to."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

import sqlalchemy as sa

from rehost.control._database import Database, patient
from rehost.control._records import Catalog, CatalogServer
from rehost.control._tables import catalog_servers, catalogs

#: A catalog older than this says so.
FRESH = timedelta(days=1)
#: An import that has not ended within this was lost with its connector: it is due again.
_LOST = timedelta(minutes=15)


class CatalogState(StrEnum):
    """AWS SMS's words (botocore, service model `sms`, ServerCatalogStatus)."""

    NOT_IMPORTED = "NOT_IMPORTED"
    IMPORTING = "IMPORTING"
    AVAILABLE = "AVAILABLE"
    DELETED = "DELETED"
    EXPIRED = "EXPIRED"  # older than FRESH


@patient
class Catalogs:
    def __init__(self, database: Database) -> None:
        self._db = database

    def request(self, source_name: str, config: Mapping[str, Any]) -> None:
        """Ask for a refresh of what is known of a source. Asking again while one is due or under way changes nothing."""
        now = self._db.now()
        values = {"config": dict(config), "requested_at": now}
        with self._db.write() as connection:
            this = catalogs.c.source_name == source_name
            if connection.execute(sa.select(catalogs.c.state).where(this)).one_or_none() is None:
                row = {"source_name": source_name, "state": CatalogState.NOT_IMPORTED, **values}
                connection.execute(sa.insert(catalogs).values(row))
            else:
                connection.execute(
                    sa.update(catalogs).where(this, catalogs.c.state != CatalogState.IMPORTING).values(values)
                )

    def take(self, connector_id: str, sources: Collection[str] | None) -> tuple[str, Mapping[str, Any]] | None:
        """A source that is to be looked at, and its entry; for exactly one connector."""
        now = self._db.now()
        wanted = sa.or_(
            sa.and_(catalogs.c.requested_at.is_not(None), catalogs.c.state != CatalogState.IMPORTING),
            sa.and_(catalogs.c.state == CatalogState.IMPORTING, catalogs.c.requested_at < now - _LOST),
        )
        query = sa.select(catalogs).where(wanted).limit(1)
        if sources is not None:
            query = query.where(catalogs.c.source_name.in_(sources))
        with self._db.read() as connection:
            row = connection.execute(query).one_or_none()
        if row is None:
            return None
        with self._db.write() as connection:
            landed = connection.execute(
                sa.update(catalogs)
                .where(catalogs.c.source_name == row.source_name, catalogs.c.state == row.state)
                .where(catalogs.c.requested_at == row.requested_at)
                .values(state=CatalogState.IMPORTING, connector_id=connector_id, requested_at=now, message=None)
            )
        return (row.source_name, row.config) if landed.rowcount == 1 else None

    def put(self, source_name: str, connector_id: str, servers: Iterable[Mapping[str, Any]]) -> bool:
        """AVAILABLE, with the servers found (`name`, `locator`, `disks`, `facts`); those not among them are marked as gone.

        False where another connector took it over meanwhile.
        """
        now = self._db.now()
        found = {_key(each["locator"]): each for each in servers}
        with self._db.write() as connection:
            if not self._end(connection, source_name, connector_id, CatalogState.AVAILABLE, refreshed_at=now):
                return False
            here = catalog_servers.c.source_name == source_name
            known = set(connection.execute(sa.select(catalog_servers.c.key).where(here)).scalars())
            for key, each in found.items():
                values = {name: each[name] for name in ("name", "locator", "disks", "facts")}
                values |= {"seen_at": now, "gone_at": None}
                if key in known:
                    connection.execute(
                        sa.update(catalog_servers).where(here, catalog_servers.c.key == key).values(values)
                    )
                else:
                    connection.execute(
                        sa.insert(catalog_servers).values({"source_name": source_name, "key": key, **values})
                    )
            for key in known - found.keys():
                connection.execute(
                    sa.update(catalog_servers)
                    .where(here, catalog_servers.c.key == key, catalog_servers.c.gone_at.is_(None))
                    .values(gone_at=now)
                )
        return True

    def failed(self, source_name: str, connector_id: str, reason: str) -> None:
        """The look failed; what was known before stays, with the state it had."""
        with self._db.write() as connection:
            had = connection.execute(
                sa.select(catalogs.c.refreshed_at).where(catalogs.c.source_name == source_name)
            ).scalar_one_or_none()
            state = CatalogState.AVAILABLE if had else CatalogState.NOT_IMPORTED
            self._end(connection, source_name, connector_id, state, message=reason)

    def delete(self, source_name: str) -> None:
        """DELETED: nothing is known of the source any more (SMS: DeleteServerCatalog). Repeating it is harmless."""
        with self._db.write() as connection:
            connection.execute(sa.delete(catalog_servers).where(catalog_servers.c.source_name == source_name))
            connection.execute(
                sa.update(catalogs)
                .where(catalogs.c.source_name == source_name)
                .values(state=CatalogState.DELETED, requested_at=None, refreshed_at=None, message=None)
            )

    def list(self) -> list[Catalog]:
        now = self._db.now()
        standing = sa.select(catalog_servers.c.source_name, sa.func.count().label("servers"))
        standing = standing.where(catalog_servers.c.gone_at.is_(None)).group_by(catalog_servers.c.source_name)
        counts = standing.subquery()
        query = sa.select(catalogs, counts.c.servers).outerjoin(counts, counts.c.source_name == catalogs.c.source_name)
        with self._db.read() as connection:
            rows = connection.execute(query.order_by(catalogs.c.source_name)).all()
        return [
            Catalog(
                row.source_name,
                _state(row, now),
                row.requested_at,
                row.refreshed_at,
                row.message,
                row.servers or 0,
            )
            for row in rows
        ]

    def servers(self, source_name: str | None = None) -> Sequence[CatalogServer]:
        """By source and name; those that are gone are among them, with `gone_at`."""
        query = sa.select(catalog_servers).order_by(catalog_servers.c.source_name, catalog_servers.c.name)
        if source_name is not None:
            query = query.where(catalog_servers.c.source_name == source_name)
        with self._db.read() as connection:
            return [
                CatalogServer(
                    row.source_name, row.name, row.locator, tuple(row.disks), row.facts, row.seen_at, row.gone_at
                )
                for row in connection.execute(query)
            ]

    @staticmethod
    def _end(
        connection: sa.Connection, source_name: str, connector_id: str, state: CatalogState, **values: Any
    ) -> bool:
        return (
            connection.execute(
                sa.update(catalogs)
                .where(
                    catalogs.c.source_name == source_name,
                    catalogs.c.state == CatalogState.IMPORTING,
                    catalogs.c.connector_id == connector_id,
                )
                .values(state=state, requested_at=None, **values)
            ).rowcount
            == 1
        )


def _state(row: Any, now: datetime) -> CatalogState:
    state = CatalogState(row.state)
    old = row.refreshed_at is not None and now - row.refreshed_at > FRESH
    return CatalogState.EXPIRED if state is CatalogState.AVAILABLE and old else state


def _key(locator: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(locator, sort_keys=True).encode()).hexdigest()
