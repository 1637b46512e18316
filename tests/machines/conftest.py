from __future__ import annotations

import os
from pathlib import Path

import pytest

from sandbox.machines import Machines, build


@pytest.fixture(scope="session")
def packages_cache() -> Path:
    """Shared between test runs, and with the demo: the packages are 30 MB. Concurrent use is what its lock is for."""
    root = Path(__file__).resolve().parents[2]
    return Path(os.environ.get("REHOST_MACHINES_CACHE", root / ".cache"))


@pytest.fixture(scope="session")
def machines(tmp_path_factory: pytest.TempPathFactory, packages_cache: Path) -> Machines:
    return build(tmp_path_factory.mktemp("machines"), cache=packages_cache)


@pytest.fixture
def bootable(machines: Machines) -> Machines:
    if not machines.bootable:
        pytest.skip(f"needs the Debian package linux-image-cloud-amd64: {machines.reason}")
    return machines
