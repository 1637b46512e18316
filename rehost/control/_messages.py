"""Notifications: the events there are, and the message that tells of one. `notification.schema.json` is its schema."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from importlib.resources import files
from typing import Any

from rehost.control._records import Job

#: Raised only when a receiver of the old form would misread the new one; keys may be added without.
MESSAGE_VERSION = 1

#: Every event that a channel can ask for, and when it happens.
NOTIFIABLE = {
    "run-completed": "a run has made an image",
    "run-failed": "a run has failed; the message says why",
    "run-missed": "moments passed at which a run could not start",
    "job-paused-on-failure": "a job has used up its tries and waits for a person",
    "job-recovered": "the first good run after failures",
    "job-completed": "a job that runs once has made its image",
    "job-paused": "a person has paused a job",
    "job-resumed": "a person has resumed a job",
    "job-deleted": "a job has ended",
    "lag-exceeded": "a continuous job fell behind its target lag",
    "phase-entered": "an application goes to another phase",
    "phase-reached": "everything of an application's phase came to a good end",
    "phase-failed": "something of an application's phase did not; the message says what, and what to do",
}
#: Those that are of an application, not of one server.
_OF_APPLICATION = ("phase-entered", "phase-reached", "phase-failed")


def message_of(
    event_id: str, at: datetime, kind: str, text: str, job: Job, run_id: str | None, details: Mapping[str, Any]
) -> dict[str, Any]:
    """What is sent, without a secret in it. The same event has the same `id` at each attempt and on each channel."""
    return {
        "version": MESSAGE_VERSION,
        "id": event_id,
        "event": kind,
        "at": at.astimezone(UTC).isoformat().replace("+00:00", "Z"),
        "stack": job.spec.stack,
        "server": None if kind in _OF_APPLICATION else job.spec.server,
        "application": job.spec.application,
        "source": job.spec.source_name,
        "job": job.id,
        "run": run_id,
        "message": text,
        "details": dict(details),
    }


@cache
def notification_schema() -> dict[str, Any]:
    """The JSON Schema of a message. Shared: do not change it."""
    text = files("rehost.control").joinpath("notification.schema.json").read_text(encoding="utf-8")
    loaded: dict[str, Any] = json.loads(text)
    return loaded
