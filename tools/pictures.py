"""Pictures of pages, by Debian's chromium without a screen, where it is installed."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

_PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
_SECONDS = 60


@dataclass(frozen=True)
class Chromium:
    program: str

    @classmethod
    def find(cls) -> Chromium | None:
        found = next((path for name in _PROGRAMS if (path := shutil.which(name))), None)
        return cls(found) if found else None

    def photograph(self, page: Path, target: Path, *, width: int = 1200, height: int = 1600) -> None:
        """A PNG of the first `height` pixels of a page. Nothing but the file is loaded. Raises CalledProcessError, TimeoutExpired."""
        with tempfile.TemporaryDirectory() as profile:
            subprocess.run(
                [
                    self.program,
                    "--headless",
                    "--no-sandbox",  # its own needs rights that a container's root has not; the page is ours
                    "--disable-gpu",
                    "--disable-dev-shm-usage",
                    "--hide-scrollbars",
                    "--proxy-server=127.0.0.1:9",
                    f"--user-data-dir={profile}",
                    f"--window-size={width},{height}",
                    f"--screenshot={target}",
                    page.resolve().as_uri(),
                ],
                capture_output=True,
                timeout=_SECONDS,
                check=True,
            )
