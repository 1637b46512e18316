"""One estate with a history for all tests that only read it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from rehost.control import ControlPlane
from rehost.report import Report, look
from rehost.spec import Estate, check
from tests.report.estate import Made, make

NOW = datetime(2026, 12, 5, 22, 10, tzinfo=UTC)


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    return make(tmp_path_factory.mktemp("estate"), 60, NOW)


@pytest.fixture(scope="session")
def estate(made: Made) -> Estate:
    found, findings = check(made.folder / "migration_specs", root=made.folder)
    assert found is not None, findings
    return found


@pytest.fixture
def control(made: Made) -> Iterator[ControlPlane]:
    opened = ControlPlane.open(made.url, clock=lambda: NOW)
    yield opened
    opened.close()


@pytest.fixture
def report(control: ControlPlane, estate: Estate) -> Report:
    return look(control, estate)


@pytest.fixture
def empty(tmp_path: Path) -> Iterator[ControlPlane]:
    """A control plane of a test's own, in which nothing was declared."""
    opened = ControlPlane.open(f"sqlite:///{tmp_path / 'control.db'}", clock=lambda: NOW)
    yield opened
    opened.close()
