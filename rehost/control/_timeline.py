"""What happened over time, of a whole stack at once and in few columns: what charts are drawn from."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

import sqlalchemy as sa

from rehost.control._database import Database, patient
from rehost.control._records import PhaseChange, RunState
from rehost.control._tables import application_phases, images, jobs, runs

_ENDED = (RunState.COMPLETED, RunState.FAILED, RunState.MISSED)


class EndedRun(NamedTuple):
    """A run that is over. `message` is of one that failed; `missed` counts the moments that a MISSED one stands for."""

    server: str
    source: str
    state: RunState
    started_at: datetime | None
    frozen_at: datetime | None
    ended_at: datetime
    sent_bytes: int
    missed: int
    message: str | None


@patient
class Timeline:
    """Jobs that have ended count, too, as long as the history has them."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def ended_runs(self, stack: str, *, since: datetime) -> list[EndedRun]:
        """Those that ended at `since` or later, oldest first. A MISSED run ended when it should have begun."""
        ended = sa.func.coalesce(runs.c.completed_at, runs.c.scheduled_at, type_=runs.c.completed_at.type)
        message = sa.case((runs.c.state == RunState.FAILED, runs.c.message))
        query = (
            sa.select(
                jobs.c.server,
                jobs.c.source_name,
                runs.c.state,
                runs.c.started_at,
                runs.c.frozen_at,
                ended.label("ended_at"),
                runs.c.sent_bytes,
                runs.c.missed,
                message.label("message"),
            )
            .join(jobs, jobs.c.id == runs.c.job_id)
            .where(jobs.c.stack == stack, runs.c.state.in_(_ENDED), ended >= since)
            .order_by(ended, runs.c.id)
        )
        with self._db.read() as connection:
            return [
                EndedRun(server, source, RunState(state), started, frozen, at, sent or 0, missed or 0, told)
                for server, source, state, started, frozen, at, sent, missed, told in connection.execute(query)
            ]

    def first_images(self, stack: str) -> dict[str, datetime]:
        """By server, when its first image was there: the first that the history still has."""
        query = (
            sa.select(jobs.c.server, sa.func.min(images.c.created_at, type_=images.c.created_at.type))
            .join(jobs, jobs.c.id == images.c.job_id)
            .where(jobs.c.stack == stack)
            .group_by(jobs.c.server)
        )
        with self._db.read() as connection:
            return {row[0]: row[1] for row in connection.execute(query)}

    def phases(self, stack: str) -> dict[str, list[PhaseChange]]:
        """By application, the phases that it entered, oldest first."""
        table = application_phases
        query = sa.select(table).where(table.c.stack == stack).order_by(table.c.id)
        found: dict[str, list[PhaseChange]] = {}
        with self._db.read() as connection:
            for row in connection.execute(query):
                change = PhaseChange(
                    row.entry, row.from_phase, row.phase, row.entered_at, row.reached_at, row.force, row.message
                )
                found.setdefault(row.name, []).append(change)
        return found

    def stacks(self) -> list[str]:
        """Every stack that declared something here, by name."""
        query = sa.union(sa.select(jobs.c.stack), sa.select(application_phases.c.stack))
        with self._db.read() as connection:
            return sorted(connection.execute(query).scalars())
