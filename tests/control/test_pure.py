"""Schedule and retention: their promises against every history."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from rehost.control import Image, next_run, retry_at, superseded

MOMENTS = st.datetimes(datetime(2020, 1, 1), datetime(2035, 1, 1), timezones=st.just(UTC))
EVERY = st.integers(60, 30 * 86400)


@given(planned=MOMENTS, now=MOMENTS, every=EVERY)
def test_the_next_run_lies_ahead_on_the_grid_and_not_far(planned: datetime, now: datetime, every: int) -> None:
    found = next_run({"every_seconds": every}, planned, now)
    assert found is not None
    assert found > now
    assert (found - planned) % timedelta(seconds=every) == timedelta(0)
    assert found <= max(now, planned) + timedelta(seconds=every)


@given(planned=MOMENTS, now=MOMENTS)
def test_a_single_run_is_followed_by_none(planned: datetime, now: datetime) -> None:
    assert next_run({"run_once": True}, planned, now) is None


@given(failures=st.integers(0, 10_000), now=MOMENTS)
def test_a_retry_waits_at_least_a_minute_and_at_most_an_hour(failures: int, now: datetime) -> None:
    assert timedelta(minutes=1) <= retry_at(failures, now) - now <= timedelta(hours=1)


@st.composite
def histories(draw: st.DrawFn) -> list[Image]:
    count = draw(st.integers(0, 12))
    images = []
    for number in range(count):
        at = draw(MOMENTS)
        gone = draw(st.booleans())
        images.append(Image(f"ami-{number}", "job", f"run-{number:02}", (), at, at if gone else None))
    return images


@given(images=histories(), keep=st.integers(0, 14), data=st.data())
def test_retention_keeps_its_promises(images: list[Image], keep: int, data: st.DataObject) -> None:
    protected = data.draw(st.sets(st.sampled_from([image.image_id for image in images] or ["none"])))
    standing = [image for image in images if image.deleted_at is None]
    going = superseded(images, keep=keep, protected=protected)
    kept = [image for image in standing if image not in going]
    assert all(image in standing for image in going)
    assert not {image.image_id for image in going} & protected
    if standing:
        assert max(standing, key=lambda image: (image.created_at, image.run_id)) in kept
    if keep == 0:
        assert going == []
    else:
        unprotected = [image for image in kept if image.image_id not in protected]
        assert len(unprotected) <= keep
        assert len(kept) >= min(keep, len(standing))
    assert superseded(kept, keep=keep, protected=protected) == []
