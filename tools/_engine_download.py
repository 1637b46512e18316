"""The engine as Pulumi publishes it: an archive a version and platform, on the site its own installer takes it from.

Fails fast and quietly where the network is closed. The archive is trusted as that installer trusts it: by TLS alone.
"""

from __future__ import annotations

import platform
import shutil
import tarfile
import tempfile
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path, PurePosixPath
from typing import IO

from tools._errors import SetupError
from tools._progress import Progress

SITE = "https://get.pulumi.com/releases/sdk"

_PROBE_SECONDS = 4.0
_STALL_SECONDS = 15.0  # without a byte
_TOTAL_SECONDS = 600.0  # slower than that, building is quicker

_SYSTEMS = {"Linux": "linux", "Darwin": "darwin"}
_MACHINES = {"x86_64": "x64", "amd64": "x64", "aarch64": "arm64", "arm64": "arm64"}


def url(version: str, site: str = SITE) -> str | None:
    """Where the archive for this machine is; None where Pulumi publishes none."""
    system, machine = _SYSTEMS.get(platform.system()), _MACHINES.get(platform.machine())
    return f"{site}/pulumi-v{version}-{system}-{machine}.tar.gz" if system and machine else None


def reachable(version: str, *, site: str = SITE, seconds: float = _PROBE_SECONDS) -> bool:
    """Whether the archive can be had, known within `seconds`: a resolver that keeps trying is not waited for."""
    address = url(version, site)
    if address is None:
        return False
    answers: list[int] = []

    def probe() -> None:
        try:
            request = urllib.request.Request(address, method="HEAD")
            with urllib.request.urlopen(request, timeout=seconds) as response:
                answers.append(response.status)
        except (OSError, ValueError):
            return  # unreachable, refused, or a proxy that will not: all the same here

    # The time-out of urlopen does not cover the name's resolution.
    thread = threading.Thread(target=probe, daemon=True)
    thread.start()
    thread.join(seconds)
    return answers == [200]


def download(version: str, target: Path, progress: Progress, *, site: str = SITE) -> None:
    """Unpack the engine into the new directory `target`. Raises `SetupError`; a retry is safe."""
    address = url(version, site)
    if address is None:
        raise SetupError(what="Pulumi publishes no engine for this machine")
    with (
        progress.step(f"Downloading the Pulumi engine {version}", "about 100 MB") as step,
        tempfile.TemporaryFile(dir=target.parent) as archive,
    ):
        deadline = time.monotonic() + _TOTAL_SECONDS
        try:
            with urllib.request.urlopen(address, timeout=_STALL_SECONDS) as response:
                while chunk := response.read(1 << 18):
                    archive.write(chunk)
                    step.update(f"{archive.tell() >> 20} MiB of {int(response.headers.get('Content-Length', 0)) >> 20}")
                    if time.monotonic() > deadline:
                        raise SetupError(what="the download of the Pulumi engine is too slow")
            archive.seek(0)
            _unpack(archive, target)
        except (OSError, tarfile.TarError, EOFError) as error:
            raise SetupError(what=f"the Pulumi engine could not be downloaded: {error}") from error


def _unpack(archive: IO[bytes], target: Path) -> None:
    """The programs of the archive, `pulumi/pulumi` or `pulumi/bin/pulumi` and their like; nothing else is written."""
    target.mkdir()
    with tarfile.open(fileobj=archive, mode="r:gz") as members:
        for member in members:
            name = PurePosixPath(member.name).name
            content = members.extractfile(member) if member.isreg() and name.startswith("pulumi") else None
            if content is not None:
                with open(target / name, "wb") as output:
                    shutil.copyfileobj(content, output)
                (target / name).chmod(0o755)
