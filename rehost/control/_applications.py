"""Applications: where each stands in its life cycle, who cuts it over, and how long that took.

Every transition is one transaction that looks at the row it has locked; what did not land says so. Everything here may be
repeated.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import fields
from datetime import datetime, timedelta
from operator import attrgetter
from typing import Any

import sqlalchemy as sa

from rehost.control._database import Database, patient
from rehost.control._errors import ApplicationHeld, PhaseRefused, Unknown
from rehost.control._events import note
from rehost.control._jobs import job_of
from rehost.control._life_cycle import Phase, refusal
from rehost.control._records import Application, Job, JobState, PhaseChange
from rehost.control._tables import application_phases, applications, jobs

_FIELDS = tuple(each.name for each in fields(Application))
_of_row = attrgetter(*_FIELDS)
_CHANGE = tuple(each.name for each in fields(PhaseChange))
_of_change = attrgetter(*_CHANGE)


@patient
class Applications:
    def __init__(self, database: Database) -> None:
        self._db = database

    def find(self, stack: str, name: str) -> Application | None:
        with self._db.read() as connection:
            row = connection.execute(sa.select(applications).where(*_this(stack, name))).one_or_none()
        return application_of(row) if row else None

    def get(self, stack: str, name: str) -> Application:
        """Raises `Unknown`."""
        found = self.find(stack, name)
        if found is None:
            raise Unknown(kind="application", id=f"{stack}/{name}")
        return found

    def list(self, *, stack: str | None = None) -> list[Application]:
        """By stack and name."""
        query = sa.select(applications).order_by(applications.c.stack, applications.c.name)
        if stack is not None:
            query = query.where(applications.c.stack == stack)
        with self._db.read() as connection:
            return [application_of(row) for row in connection.execute(query)]

    def history(self, stack: str, name: str, *, limit: int = 50) -> Sequence[PhaseChange]:
        """The phases that it entered, newest first."""
        query = (
            sa.select(application_phases)
            .where(application_phases.c.stack == stack, application_phases.c.name == name)
            .order_by(application_phases.c.id.desc())
            .limit(limit)
        )
        with self._db.read() as connection:
            return [PhaseChange(*_of_change(row)) for row in connection.execute(query)]

    def enter(
        self,
        stack: str,
        name: str,
        phase: Phase,
        *,
        servers: Collection[str],
        force: str | None = None,
        wave: str | None = None,
    ) -> Application:
        """Enter a phase, or stay in it with what is new of it.

        Raises `PhaseRefused`, which names the legal phases, and `ApplicationHeld`.
        """
        for _ in range(2):
            try:
                return self._enter(stack, name, phase, sorted(servers), force, wave)
            except sa.exc.IntegrityError:
                continue  # somebody else declared it between our look and our insert
        return self._enter(stack, name, phase, sorted(servers), force, wave)

    def _enter(
        self, stack: str, name: str, phase: Phase, servers: Sequence[str], force: str | None, wave: str | None
    ) -> Application:
        now = self._db.now()
        with self._db.write() as connection:
            present = _locked(connection, stack, name)
            problem = refusal(present.standing if present else None, phase, servers=servers, force=force)
            if problem:
                raise PhaseRefused(application=name, reason=problem)
            values: dict[str, Any] = {"servers": servers, "wave": wave, "force": force}
            if present is None or present.phase is not phase:
                if present is not None:
                    _free(present, now)
                entry = (present.entry if present else 0) + 1
                values |= {
                    "phase": phase, "entry": entry, "entered_at": now, "reached_at": None, "message": None,
                    "launch_started_at": None,
                }  # fmt: skip
                if phase is Phase.CUTOVER:
                    values |= {"cut_at": None, "final_runs": {}, "outage_started_at": None, "outage_ended_at": None}
                    values["attempt"] = (present.attempt if present else 0) + 1
                connection.execute(
                    sa.insert(application_phases).values(
                        stack=stack, name=name, entry=entry, from_phase=present.phase if present else None,
                        phase=phase, entered_at=now, force=force,
                    )
                )  # fmt: skip
            if present is None:
                empty: dict[str, Any] = {"attempt": 0, "sources": {}, "final_runs": {}, "tested": {}}
                connection.execute(sa.insert(applications).values(stack=stack, name=name, **empty | values))
            else:
                connection.execute(sa.update(applications).where(*_this(stack, name)).values(values))
            if "entry" in values:
                came = f" from {present.phase}" if present else ""
                text = f"{name} goes{came} to {phase}" + (f", forced: {force}" if force else "")
                _tell(connection, now, "phase-entered", text, stack, name, servers, phase)
            return application_of(connection.execute(sa.select(applications).where(*_this(stack, name))).one())

    def ended(self, stack: str, name: str) -> None:
        """Forget where it stands; its history stays."""
        with self._db.write() as connection:
            connection.execute(sa.delete(applications).where(*_this(stack, name)))

    def lease(self, stack: str, name: str, holder: str, *, seconds: float) -> None:
        """Hold the application, or go on holding it. Raises `ApplicationHeld` where somebody else does, and `Unknown`."""
        now = self._db.now()
        with self._db.write() as connection:
            present = _locked(connection, stack, name)
            if present is None:
                raise Unknown(kind="application", id=f"{stack}/{name}")
            _free(present, now, besides=holder)
            connection.execute(
                sa.update(applications)
                .where(*_this(stack, name))
                .values(holder=holder, lease_until=now + timedelta(seconds=seconds))
            )

    def release(self, stack: str, name: str, holder: str) -> None:
        with self._db.write() as connection:
            connection.execute(
                sa.update(applications)
                .where(*_this(stack, name), applications.c.holder == holder)
                .values(holder=None, lease_until=None)
            )

    def touch_source(self, stack: str, name: str, server: str, **what: Any) -> None:
        """Remember, before it is done, what a cutover does to a source, so that going back can undo it."""
        now = self._db.now()
        with self._db.write() as connection:
            present = _locked(connection, stack, name)
            if present is None:
                return
            sources = {**present.sources, server: {**present.sources.get(server, {}), **what}}
            values: dict[str, Any] = {"sources": sources}
            if what.get("action") and present.outage_started_at is None:
                values |= {"outage_started_at": now, "outage_ended_at": None}
            connection.execute(sa.update(applications).where(*_this(stack, name)).values(values))

    def source_restored(self, stack: str, name: str, server: str) -> None:
        with self._db.write() as connection:
            present = _locked(connection, stack, name)
            if present is None or server not in present.sources:
                return
            left = {key: value for key, value in present.sources.items() if key != server}
            values: dict[str, Any] = {"sources": left}
            if not left and present.outage_started_at is not None and present.outage_ended_at is None:
                values["outage_ended_at"] = self._db.now()
            connection.execute(sa.update(applications).where(*_this(stack, name)).values(values))

    def cut(
        self, stack: str, name: str, attempt: int, final_runs: Mapping[str, str], *, frozen_at: datetime | None
    ) -> None:
        """Every source stands still or was left alone, and the final run of each is there: its launch begins.

        `frozen_at`: the earliest point in time of those runs. Where no source was stopped, its outage counts from there:
        what is written later is not in the images.
        """
        now = self._db.now()
        with self._db.write() as connection:
            present = _locked(connection, stack, name)
            if present is None or present.attempt != attempt:
                return
            connection.execute(
                sa.update(applications)
                .where(*_this(stack, name))
                .values(
                    final_runs=dict(final_runs),
                    cut_at=present.cut_at or now,
                    launch_started_at=now,
                    message=None,
                    outage_started_at=present.outage_started_at or frozen_at,
                )
            )

    def abandon(self, stack: str, name: str, attempt: int, message: str) -> None:
        """A cutover did not come to its final runs: what it made is of no use to the next attempt."""
        with self._db.write() as connection:
            present = _locked(connection, stack, name)
            if present is None or present.attempt != attempt:
                return
            values: dict[str, Any] = {"attempt": attempt + 1, "cut_at": None, "final_runs": {}, "message": message}
            if not present.sources:
                values["outage_started_at"] = None
            connection.execute(sa.update(applications).where(*_this(stack, name)).values(values))
            self._failed(connection, present, message)

    def launching(self, stack: str, name: str, phase: Phase) -> None:
        """Its images are ready: from here on its launch is timed."""
        with self._db.write() as connection:
            connection.execute(
                sa.update(applications)
                .where(*_this(stack, name), applications.c.phase == phase, applications.c.reached_at.is_(None))
                .values(launch_started_at=self._db.now())
            )

    def reached(self, stack: str, name: str, phase: Phase, *, images: Mapping[str, Mapping[str, str]]) -> bool:
        """Everything of its phase came to a good end; False where it is in another phase by now.

        `images`: by server, run and image that its instance was launched from.
        """
        now = self._db.now()
        with self._db.write() as connection:
            present = _locked(connection, stack, name)
            if present is None or present.phase is not phase:
                return False
            values: dict[str, Any] = {"reached": phase, "message": None}
            first = present.reached_at is None
            if first:
                values["reached_at"] = now
            if first and present.launch_started_at is not None and phase.is_launched:
                took = max(0.0, (now - present.launch_started_at).total_seconds())
                values |= {"launch_seconds": took, "launched_phase": phase}
            if phase is Phase.TEST:
                values |= {"tested": {server: dict(each) for server, each in images.items()}, "tested_at": now}
            if phase is Phase.CUTOVER and present.outage_started_at is not None and present.outage_ended_at is None:
                values["outage_ended_at"] = now
            connection.execute(sa.update(applications).where(*_this(stack, name)).values(values))
            if first:
                self._in_history(connection, present, reached_at=now, message=None)
                text = f"{name} has reached {phase}"
                outage = None
                if phase is Phase.CUTOVER and present.outage_started_at is not None:
                    outage = round((values.get("outage_ended_at", now) - present.outage_started_at).total_seconds())
                    text += f"; its outage took {outage} s"
                _tell(
                    connection, now, "phase-reached", text, stack, name, present.servers, phase, outage_seconds=outage
                )
        return True

    def failed(self, stack: str, name: str, message: str) -> None:
        """Its phase did not come to a good end, for this reason. The same reason is told once."""
        with self._db.write() as connection:
            present = _locked(connection, stack, name)
            if present is None or present.message == message:
                return
            connection.execute(sa.update(applications).where(*_this(stack, name)).values(message=message))
            self._failed(connection, present, message)

    def _failed(self, connection: sa.Connection, present: Application, message: str) -> None:
        self._in_history(connection, present, message=message)
        _tell(
            connection, self._db.now(), "phase-failed", message, present.stack, present.name, present.servers,
            present.phase,
        )  # fmt: skip

    def _in_history(self, connection: sa.Connection, present: Application, **values: Any) -> None:
        connection.execute(
            sa.update(application_phases)
            .where(
                application_phases.c.stack == present.stack,
                application_phases.c.name == present.name,
                application_phases.c.entry == present.entry,
            )
            .values(values)
        )


def _this(stack: str, name: str) -> tuple[sa.ColumnElement[bool], ...]:
    return (applications.c.stack == stack, applications.c.name == name)


def _locked(connection: sa.Connection, stack: str, name: str) -> Application | None:
    row = connection.execute(sa.select(applications).where(*_this(stack, name)).with_for_update()).one_or_none()
    return application_of(row) if row else None


def _free(present: Application, now: datetime, besides: str | None = None) -> None:
    if present.holder in (None, besides) or present.lease_until is None or present.lease_until <= now:
        return
    raise ApplicationHeld(application=present.name, holder=present.holder, until=present.lease_until)


def _tell(
    connection: sa.Connection,
    now: Any,
    kind: str,
    text: str,
    stack: str,
    name: str,
    servers: Collection[str],
    phase: Phase,
    **details: Any,
) -> None:
    """An event, told on the channels of the application: those that its jobs carry."""
    job = _a_job(connection, stack, name, servers)
    told = {key: value for key, value in details.items() if value is not None}
    note(connection, now, kind, text, job=job, phase=str(phase), application=name, **told)


def _a_job(connection: sa.Connection, stack: str, name: str, servers: Collection[str]) -> Job | None:
    query = (
        sa.select(jobs)
        .where(jobs.c.stack == stack, jobs.c.server.in_(servers), jobs.c.state != JobState.DELETED)
        .order_by(jobs.c.server)
    )
    found = [job_of(row) for row in connection.execute(query)]
    return next((job for job in found if job.spec.application == name), found[0] if found else None)


def application_of(row: Any) -> Application:
    found = dict(zip(_FIELDS, _of_row(row), strict=True))
    return Application(**found | {"phase": Phase(row.phase), "servers": tuple(row.servers)})
