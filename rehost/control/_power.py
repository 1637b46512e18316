"""Power requests: what a cutover, or a person, asks of a server's power; a connector near its source carries it out.

PENDING --take--> ACTIVE --done----> DONE
                    |  '---failed--> FAILED
                    '--take--> ACTIVE (another connector, when nobody holds it any more)

Those of one job are carried out one after the other, in the order in which they were asked for.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import fields
from datetime import timedelta
from typing import Any

import sqlalchemy as sa

from rehost.control._claims import refused
from rehost.control._database import Database, patient
from rehost.control._errors import Unknown
from rehost.control._events import note
from rehost.control._ids import new_id
from rehost.control._jobs import job_of
from rehost.control._leases import LET_GO
from rehost.control._records import JobState, PowerAction, PowerRequest, PowerState
from rehost.control._tables import Utc, jobs, power_requests

#: Seconds that a guest has to shut itself down, unless the request says otherwise.
SHUTDOWN_SECONDS = 300.0

_OPEN = power_requests.c.state.in_([PowerState.PENDING, PowerState.ACTIVE])
_TAKES_AWAY = (PowerAction.OFF, PowerAction.QUIESCE)
#: By the database's clock: the ids are made by the clocks of several machines.
_OLDEST = (power_requests.c.requested_at, power_requests.c.id)
_NEWEST = (power_requests.c.requested_at.desc(), power_requests.c.id.desc())
_COLUMNS = tuple(each.name for each in fields(PowerRequest))


@patient
class PowerRequests:
    def __init__(self, database: Database) -> None:
        self._db = database

    def request(
        self,
        job_id: str,
        action: PowerAction | str,
        *,
        token: str,
        run_id: str | None = None,
        shutdown_seconds: float = SHUTDOWN_SECONDS,
        restore: bool = True,
    ) -> str:
        """Ask for it and return the request's id; the same job and token is the same request, whatever else is given.

        off      ask the guest to shut down, wait `shutdown_seconds` for it (0: do not ask), then cut its power
        quiesce  make the server stand still, with its file systems frozen where that can be done
        on       make it run; with `restore`, only if it ran before the first `off` or `quiesce` since the last `on`
        look     whether it runs, and whether its disks changed since the point in time of run `run_id`

        A retry is safe. Raises `Unknown` where there is no such job.
        """
        for _ in range(3):
            try:
                with self._db.write() as connection:
                    this = (power_requests.c.job_id == job_id, power_requests.c.token == token)
                    known = connection.execute(sa.select(power_requests.c.id).where(*this)).scalar_one_or_none()
                    if known is not None:
                        return str(known)
                    job = connection.execute(sa.select(jobs.c.state).where(jobs.c.id == job_id)).scalar_one_or_none()
                    if job is None or job == JobState.DELETED:
                        raise Unknown(kind="live job", id=job_id)
                    request_id = new_id("power")
                    row = {
                        "id": request_id,
                        "job_id": job_id,
                        "token": token,
                        "action": PowerAction(action),
                        "state": PowerState.PENDING,
                        "run_id": run_id,
                        "shutdown_seconds": shutdown_seconds,
                        "restore": restore,
                        "requested_at": self._db.now(),
                    }
                    connection.execute(sa.insert(power_requests).values(row))
                    return request_id
            except sa.exc.IntegrityError:
                continue  # somebody else asked with this token between our look and our insert
        raise Unknown(kind="power request", id=token)

    def find(self, request_id: str) -> PowerRequest | None:
        with self._db.read() as connection:
            row = connection.execute(sa.select(power_requests).where(power_requests.c.id == request_id)).one_or_none()
        return _request_of(row) if row else None

    def get(self, request_id: str) -> PowerRequest:
        """Raises `Unknown`."""
        found = self.find(request_id)
        if found is None:
            raise Unknown(kind="power request", id=request_id)
        return found

    def list(self, job_id: str, *, limit: int = 20) -> list[PowerRequest]:
        """Newest first."""
        query = sa.select(power_requests).where(power_requests.c.job_id == job_id)
        with self._db.read() as connection:
            rows = connection.execute(query.order_by(*_NEWEST).limit(limit))
            return [_request_of(row) for row in rows]

    def before(self, job_id: str) -> str | None:
        """What the server was before it was powered off or quiesced: as the first such request since the last `on` found it.

        None where it was not, or that is not known. This is what `on` restores.
        """
        of_job = power_requests.c.job_id == job_id
        last_on = (
            sa.select(power_requests.c.requested_at)
            .where(of_job, power_requests.c.action == PowerAction.ON, power_requests.c.state == PowerState.DONE)
            .order_by(*_NEWEST)
            .limit(1)
        )
        query = (
            sa.select(power_requests.c.before)
            .where(of_job, power_requests.c.action.in_(_TAKES_AWAY), power_requests.c.before.is_not(None))
            .order_by(*_OLDEST)
            .limit(1)
        )
        with self._db.read() as connection:
            since = connection.execute(last_on).scalar_one_or_none()
            if since is not None:
                query = query.where(power_requests.c.requested_at > since)
            return connection.execute(query).scalar_one_or_none()

    def open(self, sources: Collection[str] | None) -> Sequence[PowerRequest]:
        """Those of these sources that are next in line: one a job, PENDING or ACTIVE, the oldest first."""
        earlier = power_requests.alias()
        is_next = ~sa.exists().where(
            earlier.c.job_id == power_requests.c.job_id,
            earlier.c.state.in_([PowerState.PENDING, PowerState.ACTIVE]),
            sa.tuple_(earlier.c.requested_at, earlier.c.id) < sa.tuple_(*_OLDEST),
        )
        query = sa.select(power_requests).join(jobs, jobs.c.id == power_requests.c.job_id).where(_OPEN, is_next)
        if sources is not None:
            query = query.where(jobs.c.source_name.in_(sources))
        with self._db.read() as connection:
            return [_request_of(row) for row in connection.execute(query.order_by(*_OLDEST))]

    def take(self, seen: PowerRequest, connector_id: str, *, lease_seconds: float) -> PowerRequest | None:
        """Make a request as it was seen in `open` this connector's: one that was PENDING, or whose holder is gone.

        None where somebody else was quicker, its holder came back, or this connector takes no more work.
        """
        now = self._db.now()
        started = sa.func.coalesce(power_requests.c.started_at, sa.literal(now, Utc))
        with self._db.write() as connection:
            if refused(connection, connector_id):
                return None
            landed = connection.execute(
                sa.update(power_requests)
                .where(power_requests.c.id == seen.id, power_requests.c.state == seen.state)
                .where(power_requests.c.connector_id.is_not_distinct_from(seen.connector_id))
                .where(power_requests.c.lease_until.is_not_distinct_from(seen.lease_until))
                .values(
                    state=PowerState.ACTIVE,
                    connector_id=connector_id,
                    lease_until=now + timedelta(seconds=lease_seconds),
                    started_at=started,
                )
            )
        return self.get(seen.id) if landed.rowcount == 1 else None

    def renew(self, request_id: str, connector_id: str, *, lease_seconds: float) -> bool:
        """Keep it for longer; False where it is not this connector's any more, or has ended."""
        return self._guarded(request_id, connector_id, lease_until=self._db.now() + timedelta(seconds=lease_seconds))

    def let_go_all(self, connector_id: str) -> int:
        """End the leases of a connector that ends, or is known to be dead: another one may take over at once."""
        with self._db.write() as connection:
            return connection.execute(
                sa.update(power_requests)
                .where(power_requests.c.connector_id == connector_id, power_requests.c.state == PowerState.ACTIVE)
                .values(lease_until=LET_GO)
            ).rowcount

    def found(self, request_id: str, connector_id: str, before: str) -> PowerRequest:
        """Record what the server was before anything is done to it; what an earlier life of this step recorded stays."""
        with self._db.write() as connection:
            connection.execute(
                sa.update(power_requests)
                .where(power_requests.c.id == request_id, power_requests.c.connector_id == connector_id)
                .where(power_requests.c.state == PowerState.ACTIVE, power_requests.c.before.is_(None))
                .values(before=before)
            )
        return self.get(request_id)

    def say(self, request_id: str, connector_id: str, message: str) -> None:
        """What it waits for."""
        self._guarded(request_id, connector_id, message=message)

    def done(self, request_id: str, connector_id: str, result: Mapping[str, Any], message: str) -> bool:
        """DONE; False where it is not this connector's any more, or has ended."""
        return self._end(request_id, connector_id, PowerState.DONE, message, dict(result))

    def failed(self, request_id: str, connector_id: str, message: str, result: Mapping[str, Any] | None = None) -> bool:
        """FAILED, with what is known of the server's power; False as for `done`."""
        return self._end(request_id, connector_id, PowerState.FAILED, message, dict(result or {}))

    def _end(self, request_id: str, connector_id: str, state: PowerState, message: str, result: dict[str, Any]) -> bool:
        now = self._db.now()
        with self._db.write() as connection:
            row = connection.execute(
                sa.update(power_requests)
                .where(power_requests.c.id == request_id, power_requests.c.connector_id == connector_id)
                .where(power_requests.c.state == PowerState.ACTIVE)
                .values(state=state, message=message, result=result, completed_at=now)
                .returning(power_requests.c.job_id, power_requests.c.action)
            ).one_or_none()
            if row is None:
                return False
            if row.action != PowerAction.LOOK:
                job = job_of(connection.execute(sa.select(jobs).where(jobs.c.id == row.job_id)).one())
                kind = f"power-{row.action}" if state is PowerState.DONE else "power-failed"
                note(connection, now, kind, message, job=job)
        return True

    def _guarded(self, request_id: str, owner: str, **values: Any) -> bool:
        with self._db.write() as connection:
            return (
                connection.execute(
                    sa.update(power_requests)
                    .where(power_requests.c.id == request_id, power_requests.c.state == PowerState.ACTIVE)
                    .where(power_requests.c.connector_id == owner)
                    .values(**values)
                ).rowcount
                == 1
            )


def _request_of(row: Any) -> PowerRequest:
    found = {name: getattr(row, name) for name in _COLUMNS}
    found |= {"action": PowerAction(row.action), "state": PowerState(row.state), "result": row.result or {}}
    return PowerRequest(**found)
