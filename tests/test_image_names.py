"""Names of images by a template."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rehost import image_names

RUN = "run-01jdf4zw8v3k2n5q7r9t0x1y2z"
TEXT = st.text(max_size=150)


def values(**changes: str) -> dict[str, str]:
    at = datetime(2026, 12, 5, 23, 30, tzinfo=timezone(timedelta(hours=-2)))
    found = image_names.values_of(application="shop", server="web-01", stack="dev", run=RUN, at=at)
    return found | changes


def test_placeholders_are_filled_in_and_moments_are_utc() -> None:
    name, unique = image_names.render("{application}-{server}-{date}-{time}", values())
    assert name == "shop-web-01-20261206-013000"
    assert unique == f"{name}-{RUN}"
    assert image_names.render("{stack}/{run}", values()) == (f"dev/{RUN}",) * 2


def test_a_server_without_an_application_stands_for_it() -> None:
    at = datetime(2026, 1, 1, tzinfo=UTC)
    found = image_names.values_of(application=None, server="web-01", stack="dev", run=RUN, at=at)
    assert found["application"] == "web-01"


@pytest.mark.parametrize("template", ["{app}", "{server", "server}", "a:b", "x" * 129, "{}"])
def test_a_template_that_cannot_be_is_said_so(template: str) -> None:
    assert image_names.problems_of(template)


@given(st.lists(st.sampled_from([f"{{{each}}}" for each in image_names.PLACEHOLDERS] + ["-", "a", " /"])), TEXT, TEXT)
def test_whatever_the_names_are_aws_takes_the_result_and_the_second_one_is_unique(
    parts: list[str], server: str, stack: str
) -> None:
    template = "".join(parts)
    assert image_names.problems_of(template) == []
    for name in image_names.render(template, values(server=server, stack=stack)):
        assert re.fullmatch(r"[A-Za-z0-9()\[\] ./'@_-]{3,128}", name)
    assert RUN in name
