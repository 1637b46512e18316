"""A database of an earlier rehost, with data in it: brought up to this one, nothing of it is lost."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import alembic.command
import alembic.config
import pytest
import sqlalchemy as sa

from rehost.control import ControlPlane, JobState, RunState
from rehost.control._database import _MIGRATIONS, schema_versions

LONG_AGO = datetime(2026, 11, 1, 22, 0, tzinfo=UTC)
SPEC = {
    "stack": "dev", "server": "web-01", "source_name": "exports", "source": {"type": "images", "path": "exports"},
    "locator": {"path": "web-01.raw"}, "schedule": {"every_seconds": 3600, "keep_images": 3},
    "image": {"conversion": "register"}, "aws": {"region": "eu-central-1"}, "application": "shop",
    "tags": {"costCentre": "4711"}, "quiesce": "try",
}  # fmt: skip
FIGURES = ("allocated_bytes", "read_bytes", "sent_bytes", "sent_blocks", "unchanged_blocks", "zero_blocks")


def made(url: str, revision: str) -> sa.Engine:
    """An empty database with the tables of that revision."""
    engine = sa.create_engine(url.replace("postgresql://", "postgresql+psycopg://"))
    config = alembic.config.Config()
    config.set_main_option("script_location", str(_MIGRATIONS))
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        alembic.command.upgrade(config, revision)
    return engine


def fill_first(engine: sa.Engine) -> None:
    """Two good runs, then one that failed, then one under way; the image of the first is gone, that of the second pinned."""
    tables = sa.MetaData()
    tables.reflect(engine)
    runs = [
        ("run-1", "COMPLETED", "ami-1", 0), ("run-2", "COMPLETED", "ami-2", 1),
        ("run-3", "FAILED", None, 2), ("run-4", "ACTIVE", None, 3),
    ]  # fmt: skip
    with engine.begin() as connection:

        def insert(table: str, **values: object) -> None:
            connection.execute(sa.insert(tables.tables[table]).values(**values))

        insert(
            "jobs", id="job-1", stack="dev", server="web-01", source_name="exports", spec=SPEC, state="FAILING",
            next_run_at=LONG_AGO + timedelta(hours=4), failures=1, latest_image_id="ami-2", created_at=LONG_AGO,
        )  # fmt: skip
        for run_id, state, image_id, hour in runs:
            at = LONG_AGO + timedelta(hours=hour)
            ended = at + timedelta(minutes=7) if state != "ACTIVE" else None
            insert(
                "runs", id=run_id, job_id="job-1", token=run_id, kind="AUTOMATIC", state=state, stage="copy",
                message="AWS was away" if state == "FAILED" else None, scheduled_at=at, started_at=at, completed_at=ended,
                connector_id="c1", lease_until=at, freeze_token="frozen", consistency="crash", image_id=image_id,
                cancel_requested=False,
            )  # fmt: skip
            for index in range(2):
                insert(
                    "run_disks", run_id=run_id, index=index, key=f"disk-{index}", size=1 << 40,
                    snapshot_id=f"snap-{run_id}-{index}", position="here", blocks_done=8, blocks_total=8,
                    completed_at=ended, **dict.fromkeys(FIGURES, 123),
                )  # fmt: skip
            if image_id:
                insert(
                    "images", image_id=image_id, job_id="job-1", run_id=run_id, created_at=at,
                    snapshot_ids=[f"snap-{run_id}-{index}" for index in range(2)],
                    deleted_at=LONG_AGO + timedelta(days=1) if image_id == "ami-1" else None,
                )  # fmt: skip
            insert("events", at=at, kind="note", job_id="job-1", run_id=run_id, message=f"of {run_id}")
        insert("pins", image_id="ami-2", holder="spec")
        insert(
            "connectors", id="c1", version="0.1", host="elsewhere", pid=1, sources=["exports"], log_path="/var/log/c1",
            heartbeat_at=LONG_AGO,
        )  # fmt: skip


def test_a_database_of_the_first_schema_keeps_all_that_it_holds(url: str) -> None:
    engine = made(url, schema_versions()[0])
    fill_first(engine)
    engine.dispose()
    control = ControlPlane.open(url)
    try:
        (status,) = control.status()
        job = status.job
        assert (job.id, job.state, job.failures, job.latest_image_id) == ("job-1", JobState.FAILING, 1, "ami-2")
        assert (job.next_run_at, job.created_at) == (LONG_AGO + timedelta(hours=4), LONG_AGO)
        assert (job.spec.server, job.spec.application, job.spec.tags) == ("web-01", "shop", {"costCentre": "4711"})
        assert status.last_run is not None
        assert (status.last_run.id, status.last_run.message) == ("run-3", "AWS was away")
        assert status.open_run is not None
        assert status.open_run.id == "run-4"
        assert status.latest_image is not None
        assert status.latest_image.snapshot_ids == ("snap-run-2-0", "snap-run-2-1")
        listed = control.runs.list("job-1")
        assert [(run.id, run.number) for run in listed] == [("run-4", 4), ("run-3", 3), ("run-2", 2), ("run-1", 1)]
        assert {run.scheduled_at for run in listed} == {LONG_AGO + timedelta(hours=hour) for hour in range(4)}
        last = control.runs.last_completed("job-1")
        assert last is not None
        assert last.id == "run-2"
        disks = control.runs.disks("run-2")
        assert [disk.snapshot_id for disk in disks] == ["snap-run-2-0", "snap-run-2-1"]
        assert (disks[0].size, disks[0].sent_bytes, disks[0].rate) == (1 << 40, 123, None)
        assert [image.image_id for image in control.images.list("job-1")] == ["ami-2"]
        assert control.images.pinned("job-1") == {"ami-2"}
        assert [run.id for run, _ in control.history(["job-1"], limit=2)["job-1"]] == ["run-4", "run-3"]
        assert [(each.id, each.pid) for each in control.connectors.list()] == [("c1", 1)]
        assert {event.run_id for event in control.events.list(job_id="job-1")} == {"run-1", "run-2", "run-3", "run-4"}
        # And it goes on from there.
        control.runs.fail("run-4", "AWS was away again")
        assert control.runs.get("run-4").state is RunState.FAILED
        assert control.runs.request("job-1", token="by hand").number == 5
    finally:
        control.close()


@pytest.mark.parametrize("revision", schema_versions())
def test_every_earlier_schema_can_be_brought_up(url: str, revision: str) -> None:
    made(url, revision).dispose()
    control = ControlPlane.open(url)
    assert control.status() == []
    control.close()
