"""The command as a user runs it: a process, in a folder, with an environment of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.connector.conftest import Site
from tests.connector.conftest import site as site

ROOT = Path(__file__).resolve().parents[2]
REHOST = Path(sys.executable).with_name("rehost")


@dataclass(frozen=True)
class Said:
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


class Command:
    """Calls `rehost` by its installed entry point, without a terminal."""

    def __init__(self, folder: Path, **variables: str) -> None:
        self.folder = folder
        kept = {
            name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "REHOST_", "PULUMI_"))
        }
        self.environment = {
            **kept,
            "AWS_ACCESS_KEY_ID": "sandbox",
            "AWS_SECRET_ACCESS_KEY": "sandbox",
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_CONFIG_FILE": "/nonexistent",
            "AWS_SHARED_CREDENTIALS_FILE": "/nonexistent",
            "REHOST_CONNECTOR_IDLE": "0.5",
            **variables,
        }

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [str(REHOST), *arguments],
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def __call__(self, *arguments: str) -> Said:
        process = self.start(*arguments)
        out, err = process.communicate(timeout=120)
        assert "Traceback" not in out + err, err
        assert "\x1b" not in out + err, "no colour where nobody sees it"
        return Said(process.returncode, out, err)


@pytest.fixture
def command(tmp_path: Path) -> Command:
    return Command(tmp_path)


@pytest.fixture
def replicated(site: Site) -> Iterator[tuple[Site, Command]]:
    """One server with one image, and a connector that stays to serve more runs."""
    site.write(range(4))
    site.declare()
    connector = site.start(idle=60)
    site.wait(lambda: site.control.jobs.list()[0].latest_image_id is not None)
    yield site, Command(site.folder, REHOST_DATABASE=site.database)
    connector.terminate()
    connector.wait(timeout=60)
