"""What was found of applications after their launch: checks of groups, in rounds; and actions on instances, once each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

import sqlalchemy as sa

from rehost.control._database import Database, patient
from rehost.control._ids import new_id
from rehost.control._tables import post_launch_actions, validations

#: Of each group: rounds that stay.
ROUNDS_KEPT = 10
INTERRUPTED = "it was interrupted: whatever ran it ended in the middle"


class ValidationState(StrEnum):
    """AWS SMS's words (botocore, service model `sms`, ValidationStatus), for actions as well."""

    READY_FOR_VALIDATION = "READY_FOR_VALIDATION"  # its instance runs
    PENDING = "PENDING"  # it waits for its turn
    IN_PROGRESS = "IN_PROGRESS"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"

    @property
    def is_open(self) -> bool:
        return self not in (ValidationState.SUCCEEDED, ValidationState.FAILED)


_OPEN = [state for state in ValidationState if state.is_open]


@dataclass(frozen=True)
class Validation:
    """One check of one server, in one round."""

    id: str
    round_id: str
    stack: str
    application: str
    group: str
    phase: str
    check: str
    kind: str
    server: str
    instance_id: str
    state: ValidationState
    message: str | None
    output: str | None
    attempts: int
    created_at: datetime
    started_at: datetime | None
    ended_at: datetime | None


@dataclass(frozen=True)
class ActionRecord:
    """One post-launch action of one instance."""

    instance_id: str
    action: str
    stack: str
    server: str
    place: int
    fingerprint: str  # of what was done: another one is done anew
    must_succeed: bool
    state: ValidationState
    message: str | None
    output: str | None
    attempts: int
    started_at: datetime | None
    ended_at: datetime | None


@dataclass(frozen=True)
class Planned:
    """One check of one server that a round is to have."""

    check: str
    kind: str
    server: str
    instance_id: str


@patient
class Validations:
    def __init__(self, database: Database) -> None:
        self._db = database

    def open(
        self, stack: str, application: str, group: str, phase: str, planned: Sequence[Planned]
    ) -> list[Validation]:
        """Begin a round: what an earlier one left open has failed, and the oldest rounds go. In the order of `planned`."""
        now, round_id = self._db.now(), new_id("round")
        of_group = (
            (validations.c.stack == stack) & (validations.c.application == application) & (validations.c.group == group)
        )
        rows = [
            {
                "id": new_id("validation"), "round_id": round_id, "stack": stack, "application": application,
                "group": group, "phase": phase, "check": each.check, "kind": each.kind, "server": each.server,
                "instance_id": each.instance_id, "state": ValidationState.READY_FOR_VALIDATION.value, "attempts": 0,
                "created_at": now,
            }
            for each in planned
        ]  # fmt: skip
        with self._db.write() as connection:
            connection.execute(
                sa.update(validations)
                .where(of_group, validations.c.state.in_(_OPEN))
                .values(state=ValidationState.FAILED, message=INTERRUPTED, ended_at=now)
            )
            ended = sa.select(validations.c.round_id).where(of_group).group_by(validations.c.round_id)
            kept = ended.order_by(sa.func.max(validations.c.created_at).desc(), validations.c.round_id.desc())
            rounds = list(connection.execute(kept).scalars())
            gone = rounds[ROUNDS_KEPT - 1 :]
            if gone:
                connection.execute(sa.delete(validations).where(of_group, validations.c.round_id.in_(gone)))
            if rows:
                connection.execute(sa.insert(validations), rows)
        query = sa.select(validations).where(validations.c.round_id == round_id).order_by(validations.c.id)
        with self._db.read() as connection:
            by_id = {row.id: _validation(row) for row in connection.execute(query)}
        return [by_id[row["id"]] for row in rows]

    def wait(self, ids: Sequence[str]) -> None:
        """They are in the queue."""
        with self._db.write() as connection:
            connection.execute(
                sa.update(validations)
                .where(validations.c.id.in_(ids), validations.c.state == ValidationState.READY_FOR_VALIDATION)
                .values(state=ValidationState.PENDING)
            )

    def begin(self, validation_id: str) -> None:
        with self._db.write() as connection:
            connection.execute(
                sa.update(validations)
                .where(validations.c.id == validation_id, validations.c.state.in_(_OPEN))
                .values(state=ValidationState.IN_PROGRESS, started_at=self._db.now())
            )

    def end(self, validation_id: str, *, succeeded: bool, message: str, output: str, attempts: int) -> bool:
        """Record how it ended. False where it had ended already: another round took its place."""
        state = ValidationState.SUCCEEDED if succeeded else ValidationState.FAILED
        with self._db.write() as connection:
            done = connection.execute(
                sa.update(validations)
                .where(validations.c.id == validation_id, validations.c.state.in_(_OPEN))
                .values(state=state, message=message, output=output, attempts=attempts, ended_at=self._db.now())
            )
        return done.rowcount == 1

    def latest(self, *, stack: str | None = None, application: str | None = None) -> list[Validation]:
        """The newest round of each group, by application and group, then as the round has them."""
        place = sa.func.row_number().over(
            partition_by=(validations.c.stack, validations.c.application, validations.c.group),
            order_by=(validations.c.created_at.desc(), validations.c.round_id.desc()),
        )
        rounds = sa.select(validations.c.round_id, place.label("place"))
        query = sa.select(validations)
        for column, value in ((validations.c.stack, stack), (validations.c.application, application)):
            if value is not None:
                rounds, query = rounds.where(column == value), query.where(column == value)
        newest = rounds.subquery()
        query = query.where(validations.c.round_id.in_(sa.select(newest.c.round_id).where(newest.c.place == 1)))
        order = (
            validations.c.stack,
            validations.c.application,
            validations.c.group,
            validations.c.check,
            validations.c.server,
        )
        with self._db.read() as connection:
            return [_validation(row) for row in connection.execute(query.order_by(*order))]

    def forget(self, stack: str, application: str, group: str) -> None:
        """The group has no checks any longer."""
        with self._db.write() as connection:
            connection.execute(
                sa.delete(validations).where(
                    validations.c.stack == stack,
                    validations.c.application == application,
                    validations.c.group == group,
                )
            )

    def action(self, instance_id: str, action: str) -> ActionRecord | None:
        query = sa.select(post_launch_actions).where(
            post_launch_actions.c.instance_id == instance_id, post_launch_actions.c.action == action
        )
        with self._db.read() as connection:
            row = connection.execute(query).one_or_none()
        return _action(row) if row else None

    def begin_action(
        self,
        instance_id: str,
        action: str,
        *,
        stack: str,
        server: str,
        place: int,
        fingerprint: str,
        must_succeed: bool,
    ) -> int:
        """It is being done; returns which try of this `fingerprint` it is, counted from 1: the same one where it was interrupted."""
        where = (post_launch_actions.c.instance_id == instance_id) & (post_launch_actions.c.action == action)
        values: dict[str, Any] = {
            "stack": stack, "server": server, "place": place, "fingerprint": fingerprint, "must_succeed": must_succeed,
            "state": ValidationState.IN_PROGRESS, "message": None, "output": None, "started_at": self._db.now(),
            "ended_at": None,
        }  # fmt: skip
        with self._db.write() as connection:
            known = connection.execute(sa.select(post_launch_actions).where(where)).one_or_none()
            attempts = 1
            if known is not None and known.fingerprint == fingerprint:
                # One that was interrupted goes on: its command may run yet, and is found by this number.
                attempts = int(known.attempts) + (0 if ValidationState(known.state).is_open else 1)
            if known is None:
                values |= {"instance_id": instance_id, "action": action}
                connection.execute(sa.insert(post_launch_actions).values(**values, attempts=attempts))
            else:
                connection.execute(sa.update(post_launch_actions).where(where).values(**values, attempts=attempts))
        return attempts

    def end_action(self, instance_id: str, action: str, *, succeeded: bool, message: str, output: str) -> None:
        state = ValidationState.SUCCEEDED if succeeded else ValidationState.FAILED
        with self._db.write() as connection:
            connection.execute(
                sa.update(post_launch_actions)
                .where(post_launch_actions.c.instance_id == instance_id, post_launch_actions.c.action == action)
                .values(state=state, message=message, output=output, ended_at=self._db.now())
            )

    def actions(self, *, stack: str | None = None, instance_id: str | None = None) -> list[ActionRecord]:
        """By server, in the order in which they are done."""
        query = sa.select(post_launch_actions)
        for column, value in ((post_launch_actions.c.stack, stack), (post_launch_actions.c.instance_id, instance_id)):
            if value is not None:
                query = query.where(column == value)
        order = (post_launch_actions.c.stack, post_launch_actions.c.server, post_launch_actions.c.place)
        with self._db.read() as connection:
            return [_action(row) for row in connection.execute(query.order_by(*order))]

    def forget_actions(self, instance_ids: Sequence[str]) -> None:
        """The instances are gone."""
        with self._db.write() as connection:
            connection.execute(
                sa.delete(post_launch_actions).where(post_launch_actions.c.instance_id.in_(instance_ids))
            )


def _validation(row: Any) -> Validation:
    return Validation(
        row.id, row.round_id, row.stack, row.application, row.group, row.phase, row.check, row.kind, row.server,
        row.instance_id, ValidationState(row.state), row.message, row.output, row.attempts, row.created_at,
        row.started_at, row.ended_at,
    )  # fmt: skip


def _action(row: Any) -> ActionRecord:
    return ActionRecord(
        row.instance_id, row.action, row.stack, row.server, row.place, row.fingerprint, row.must_succeed,
        ValidationState(row.state), row.message, row.output, row.attempts, row.started_at, row.ended_at,
    )  # fmt: skip
