"""Retention: its promises against every history."""

from __future__ import annotations

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from rehost.control import Image, superseded

MOMENTS = st.datetimes(datetime(2020, 1, 1), datetime(2035, 1, 1), timezones=st.just(UTC))


@st.composite
def histories(draw: st.DrawFn) -> list[Image]:
    count = draw(st.integers(0, 12))
    images = []
    for number in range(count):
        at = draw(MOMENTS)
        gone = draw(st.booleans())
        images.append(Image(f"ami-{number}", "job", f"run-{number:02}", (), at, at if gone else None, number))
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
        assert max(standing, key=lambda image: image.number) in kept
    if keep == 0:
        assert going == []
    else:
        unprotected = [image for image in kept if image.image_id not in protected]
        assert len(unprotected) <= keep
        assert len(kept) >= min(keep, len(standing))
    assert superseded(kept, keep=keep, protected=protected) == []
