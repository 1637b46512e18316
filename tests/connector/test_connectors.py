"""Connectors among themselves and with a person: drained, taken out, and with a database that goes away."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest

from rehost.control import ControlPlane, DatabaseUnreachable, RunState
from tests import postgres

from .conftest import Site


def slowly(site: Site, seconds: float = 0.05) -> None:
    site.write(range(120))
    site.sandbox.fault(action="latency", service="ebs", operation="PutSnapshotBlock", seconds=seconds)


def test_a_drained_connector_finishes_and_ends(site: Site) -> None:
    slowly(site)
    job, other = (
        site.declare(),
        site.declare(server="web-02", schedule={"run_once": True, "seed_at": "2090-01-01T00:00:00Z", "keep_images": 1}),
    )
    process = site.start("", idle=600)
    site.wait(lambda: bool(runs := site.control.runs.list(job.id)) and "copy" in (runs[0].stage or ""))
    (connector,) = site.control.connectors.list()
    assert connector.capabilities
    assert connector.max_runs == 2
    site.control.connectors.drain(connector.id)
    site.control.runs.request(other.id, token="later")
    assert process.wait(timeout=90) == 0
    assert site.run(job).state is RunState.COMPLETED, site.log()[-2000:]
    assert site.run(other).state is RunState.PENDING
    assert site.control.connectors.list() == []


def test_a_connector_that_is_taken_out_gives_up_its_run_to_another(site: Site) -> None:
    slowly(site, seconds=5.0)  # several times what it takes to hear of it
    job = site.declare()
    process = site.start("", idle=600)
    site.wait(lambda: bool(runs := site.control.runs.list(job.id)) and "copy" in (runs[0].stage or ""))
    (connector,) = site.control.connectors.list()
    assert site.control.connectors.disassociate(connector.id) == 1
    assert process.wait(timeout=60) == 0
    assert site.run(job).state is RunState.ACTIVE
    site.sandbox.clear_faults()
    assert site.work() == 0
    assert site.run(job).state is RunState.COMPLETED, site.log()[-2000:]
    site.assert_image_is_the_disk(job)


@pytest.fixture
def stoppable() -> Iterator[tuple[Path, str]]:
    """A PostgreSQL server of this test's own; the folder of its programs, and the URL of a database."""
    found = postgres.programs()
    if found is None:
        pytest.skip("needs the Debian package postgresql")
    with postgres.server(found) as socket, postgres.database(socket) as url:
        yield socket, url


@pytest.mark.postgresql
def test_calls_that_wait_go_on_when_the_database_is_back(stoppable: tuple[Path, str]) -> None:
    socket, url = stoppable
    control = ControlPlane.open(url)
    name = url.split("@/")[1].split("?")[0]
    with psycopg.connect(f"host={socket} user=rehost dbname=postgres", autocommit=True) as admin:
        admin.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
        admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [name])
        with pytest.raises(DatabaseUnreachable):
            control.jobs.list()
        with ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(control.waiting(60).jobs.list)
            with pytest.raises(TimeoutError):
                waiting.result(timeout=0.5)  # it would have failed by now
            admin.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")
            assert waiting.result(timeout=60) == []
    control.close()
