"""The outbox: messages that were written with what they tell of, and wait to be delivered. At least once, each."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from rehost.control._database import Database, patient
from rehost.control._records import Delivery
from rehost.control._schedule import spread
from rehost.control._tables import outbox

FIRST_PAUSE = timedelta(seconds=5)
LONGEST_PAUSE = timedelta(minutes=30)
#: A message older than this is given up; its event stays in the history.
PATIENCE = timedelta(days=3)


@patient
class Outbox:
    def __init__(self, database: Database) -> None:
        self._db = database

    def take(self, sources: Collection[str] | None, *, limit: int = 16, seconds: float = 60.0) -> list[Delivery]:
        """Messages that are due, oldest first. For `seconds` nobody else gets them; then they are due again."""
        now = self._db.now()
        due = sa.select(outbox).where(outbox.c.next_try_at <= now).order_by(outbox.c.next_try_at).limit(limit)
        if sources is not None:
            due = due.where(outbox.c.source_name.in_(sources))
        with self._db.read() as connection:
            rows = connection.execute(due).all()
        taken = []
        for row in rows:
            with self._db.write() as connection:
                landed = connection.execute(
                    sa.update(outbox)
                    .where(outbox.c.id == row.id, outbox.c.next_try_at == row.next_try_at)
                    .values(next_try_at=now + timedelta(seconds=seconds), attempts=outbox.c.attempts + 1)
                )
            if landed.rowcount == 1:
                taken.append(_delivery_of(row, attempts=row.attempts + 1))
        return taken

    def delivered(self, delivery: Delivery) -> None:
        with self._db.write() as connection:
            connection.execute(
                sa.update(outbox)
                .where(outbox.c.id == delivery.id)
                .values(delivered_at=self._db.now(), next_try_at=None, last_error=None)
            )

    def failed(self, delivery: Delivery, reason: str) -> datetime | None:
        """When it is tried again, later and later; None where it is given up."""
        now = self._db.now()
        pause = min(LONGEST_PAUSE, FIRST_PAUSE * (1 << min(delivery.attempts - 1, 12)))
        again = now + pause * (1 + spread(f"{delivery.id} {delivery.attempts}") / 4)
        planned = again if again < delivery.created_at + PATIENCE else None
        with self._db.write() as connection:
            connection.execute(
                sa.update(outbox)
                .where(outbox.c.id == delivery.id, outbox.c.delivered_at.is_(None))
                .values(next_try_at=planned, last_error=reason[:1000])
            )
        return planned

    def waiting(self) -> list[Delivery]:
        """What is not delivered, given-up messages included; oldest first."""
        query = sa.select(outbox).where(outbox.c.delivered_at.is_(None)).order_by(outbox.c.created_at, outbox.c.id)
        with self._db.read() as connection:
            return [_delivery_of(row) for row in connection.execute(query)]


def _delivery_of(row: Any, attempts: int | None = None) -> Delivery:
    return Delivery(
        id=row.id,
        channel=row.channel,
        message=row.message,
        aws=row.aws,
        attempts=row.attempts if attempts is None else attempts,
        created_at=row.created_at,
        last_error=row.last_error,
    )
