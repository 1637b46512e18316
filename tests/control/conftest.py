"""Every contract test runs on SQLite and on PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from rehost.control import ControlPlane, JobSpec
from tests import postgres


@dataclass
class TestClock:
    """Time passes when a test says so."""

    __test__ = False
    now: datetime = datetime(2026, 12, 5, 22, 0, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def advance(self, **amount: float) -> None:
        self.now += timedelta(**amount)


@pytest.fixture(scope="session")
def postgresql() -> Iterator[Path]:
    found = postgres.programs()
    if found is None:
        pytest.skip("needs the Debian package postgresql")
    with postgres.server(found) as socket:
        yield socket


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgresql)])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'control.db'}"
        return
    with postgres.database(request.getfixturevalue("postgresql")) as found:
        yield found


@pytest.fixture
def clock() -> TestClock:
    return TestClock()


@pytest.fixture
def control(url: str, clock: TestClock) -> Iterator[ControlPlane]:
    opened = ControlPlane.open(url, clock=clock)
    yield opened
    opened.close()


def spec(server: str = "web-01", **changes: object) -> JobSpec:
    values: dict[str, object] = {
        "stack": "dev",
        "server": server,
        "source_name": "exports",
        "source": {"type": "images", "path": "exports"},
        "locator": {"path": f"{server}.raw"},
        "schedule": {"every_seconds": 3600, "keep_images": 3},
        "image": {"conversion": "register"},
        "aws": {"region": "eu-central-1"},
    }
    return JobSpec(**(values | changes))  # type: ignore[arg-type]
