"""What charts are drawn from, on both databases."""

from __future__ import annotations

from datetime import timedelta

from rehost.control import ControlPlane, Image, Phase, RunState
from tests.control.conftest import TestClock, spec


def test_runs_that_are_over_in_their_order(control: ControlPlane, clock: TestClock) -> None:
    begun = clock.now
    job, other = control.jobs.put(spec()), control.jobs.put(spec(stack="other"))
    control.connectors.register("c", version="0.1", host="h", pid=1, sources=None, log_path="x")
    control.runs.request(other.id, token="elsewhere")
    run = control.runs.request(job.id, token="one")
    while (claimed := control.runs.claim("c", None, lease_seconds=60)) is not None:
        clock.advance(seconds=5)
        if claimed.id == run.id:
            control.runs.fail(run.id, "the disk is gone")
    (ended,) = control.timeline.ended_runs("dev", since=begun)
    assert (ended.server, ended.source, ended.state) == ("web-01", "exports", RunState.FAILED)
    assert ended.message == "the disk is gone"
    assert ended.started_at is not None
    assert ended.started_at < ended.ended_at == control.runs.get(run.id).completed_at
    assert control.timeline.ended_runs("dev", since=clock.now + timedelta(seconds=1)) == []
    assert control.timeline.stacks() == ["dev", "other"]


def test_phases_by_application_oldest_first(control: ControlPlane, clock: TestClock) -> None:
    for name in ("shop", "wiki"):
        control.applications.enter("dev", name, Phase.REPLICATE, servers=["web-01"])
    clock.advance(minutes=5)
    control.applications.enter("dev", "shop", Phase.TEST, servers=["web-01"])
    control.applications.enter("other", "shop", Phase.REPLICATE, servers=["web-01"])
    found = control.timeline.phases("dev")
    assert [each.phase for each in found["shop"]] == ["replicate", "test"]
    assert list(found["shop"]) == list(reversed(control.applications.history("dev", "shop")))
    assert [each.phase for each in found["wiki"]] == ["replicate"]


def test_the_first_image_of_each_server(control: ControlPlane, clock: TestClock) -> None:
    job = control.jobs.put(spec())
    control.jobs.put(spec("web-02"))
    control.connectors.register("c", version="0.1", host="h", pid=1, sources=None, log_path="x")
    moments = []
    for number in range(2):
        run = control.runs.request(job.id, token=f"{number}")
        while (claimed := control.runs.claim("c", None, lease_seconds=60)) is not None:
            if claimed.id != run.id:
                control.runs.fail(claimed.id, "not this one")
        clock.advance(minutes=1)
        moments.append(clock.now)
        image = Image(f"ami-{number}", job.id, run.id, (f"snap-{number}",), clock.now)
        control.runs.complete(run.id, image)
    assert control.timeline.first_images("dev") == {"web-01": moments[0]}
    assert len(moments) == 2
