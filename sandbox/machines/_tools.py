"""Runs the programs that make file systems, with an environment that makes their results repeatable."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from sandbox.machines._errors import ToolFailed, ToolMissing

#: The time that every file system of the demo believes it was made at: 2025-01-01T00:00:00Z.
EPOCH = 1735689600

#: Which Debian package has a program.
PACKAGES: Mapping[str, str] = {
    "mke2fs": "e2fsprogs",
    "debugfs": "e2fsprogs",
    "e2fsck": "e2fsprogs",
    "mformat": "mtools",
    "mcopy": "mtools",
    "apt-get": "apt",
    "apt-cache": "apt",
    "dpkg-deb": "dpkg",
    "dpkg-query": "dpkg",
    "qemu-system-x86_64": "qemu-system-x86",
    "qemu-img": "qemu-utils",
}

# An ordinary user's PATH leaves out where Debian keeps e2fsprogs.
_SYSTEM = ("/usr/sbin", "/sbin")


def environment(extra: Sequence[Path] = ()) -> dict[str, str]:
    """The environment for the tools; `extra` directories come first on PATH."""
    path = os.pathsep.join([*map(str, extra), os.environ.get("PATH", os.defpath), *_SYSTEM])
    return {
        **os.environ,
        "PATH": path,
        "LC_ALL": "C",
        "SOURCE_DATE_EPOCH": str(EPOCH),
        "E2FSPROGS_FAKE_TIME": str(EPOCH),  # e2fsprogs before 1.47.1 knows only this name
        "MTOOLSRC": os.devnull,  # a user's own drive letters have no say here
        "MTOOLS_SKIP_CHECK": "1",
        "DEBUGFS_PAGER": "cat",
        "TZ": "UTC",
    }


def find(tool: str, extra: Sequence[Path] = ()) -> str:
    """The path of a program. Raises `ToolMissing`, which names its package."""
    found = shutil.which(tool, path=environment(extra)["PATH"])
    if found is None:
        raise ToolMissing(tool=tool, package=PACKAGES.get(tool, tool))
    return found


def run(
    tool: str, *arguments: str | Path, subject: str | Path, cwd: Path | None = None, extra: Sequence[Path] = ()
) -> str:
    """Run a program to its end; its standard output. Raises `ToolMissing` or `ToolFailed`."""
    done = subprocess.run(
        [find(tool, extra), *map(str, arguments)],
        cwd=cwd,
        env=environment(extra),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    if done.returncode != 0:
        detail = (done.stderr.strip() or done.stdout.strip() or f"exit code {done.returncode}").splitlines()[-1]
        raise ToolFailed(tool=tool, subject=subject, detail=detail)
    return done.stdout
