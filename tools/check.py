"""Everything that has to hold: style, types, the packages' boundaries, the tests.

    python -m tools.check [ARGUMENTS OF PYTEST ...]

All of it runs even where one part fails; the exit code is 1 then. Says beforehand what this machine lacks, and what is
skipped without it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

from tools import actionlint, azurite, coldsnap, vsphere_sim
from tools._errors import SetupError
from tools._paths import ROOT, VENV
from tools._progress import Progress
from tools.environment import environment

#: Program or file, the Debian package that has it, what is not tested without it.
WANTED = (
    ("qemu-system-x86_64", "qemu-system-x86", "nothing boots: neither the demo's machines nor the sandbox's instances"),
    ("qemu-nbd", "qemu-utils", "no image formats other than raw"),
    ("nbdkit", "nbdkit", "the NBD client is tested against qemu-nbd alone"),
    ("mke2fs", "e2fsprogs", "the demo's machines cannot be made"),
    ("mcopy", "mtools", "it is fetched for the demo's machines"),
    ("smbd", "samba", "no Hyper-V host: its disks are read over SMB"),
    ("krb5kdc", "krb5-kdc", "Hyper-V is logged in to by NTLM and certificates alone"),
    ("kadmin.local", "krb5-admin-server", "the same"),
    ("krb5-config", "libkrb5-dev", "the same: set-up builds Kerberos for Python against it"),
    ("faketime", "faketime", "a clock that differs from the domain's is not tested"),
    ("npm", "npm", "no Azure (its blobs are in Azurite), and no language server of YAML"),
    ("chromium", "chromium", "`rehost report`'s page is not looked at in a browser"),
    ("/usr/lib/postgresql/*/bin/postgres", "postgresql", "the control plane is tested on SQLite alone"),
)


def missing(path: str) -> list[tuple[str, str]]:
    """The Debian packages that this machine lacks, and what each costs; `path` is searched for programs."""
    return [(package, cost) for program, package, cost in WANTED if not _there(program, path)]


def _there(program: str, path: str) -> bool:
    if program.startswith("/"):
        return any(Path("/").glob(program.lstrip("/"))) or shutil.which(Path(program).name, path=path) is not None
    return shutil.which(program, path=path) is not None


def _report(progress: Progress, variables: dict[str, str]) -> None:
    lacking = missing(os.pathsep.join([variables["PATH"], "/usr/sbin", "/sbin"]))
    for package, cost in lacking:
        progress.warn(f"  not here: {package:<16} {cost}")
    if lacking:
        progress.warn(f"  Debian and Ubuntu: apt-get install {' '.join(package for package, _ in lacking)}")
    try:
        vsphere_sim.ensure(progress)
    except SetupError as error:
        progress.warn(f"  the vsphere source is not tested: {error}")
    try:
        azurite.ensure(progress)
    except SetupError as error:
        progress.warn(f"  the azure source is not tested: {error}")
    try:
        actionlint.ensure(progress)
    except SetupError as error:
        progress.warn(f"  the workflows are not held to actionlint: {error}")
    if coldsnap.cargo() is None:
        progress.warn("  not here: cargo            coldsnap is not built, and not tested against the sandbox")
        return
    try:
        coldsnap.ensure(progress)
    except SetupError as error:
        progress.warn(f"  coldsnap is not tested against the sandbox: {error}")


def main(arguments: list[str]) -> int:
    progress = Progress()
    try:
        variables = environment(demo=False)
    except SetupError as error:
        print(error, file=sys.stderr)
        return 1
    _report(progress, variables)
    tools = VENV / "bin"
    parts: dict[str, list[str | Path]] = {
        "style": [tools / "ruff", "check", "."],
        "format": [tools / "ruff", "format", "--check", "."],
        "types": [tools / "mypy"],
        "boundaries": [tools / "lint-imports"],
        "tests": [tools / "python", "-m", "pytest", "-n", "auto", *arguments],
    }
    failed = []
    for name, command in parts.items():
        started = time.monotonic()
        progress.say(progress.paint("36", f"› {name}"))
        code = subprocess.run(command, cwd=ROOT, env=variables, stdin=subprocess.DEVNULL, check=False).returncode
        verdict = progress.paint("31", f"failed with exit code {code}") if code else progress.paint("32", "passed")
        progress.say(f"  {name} {verdict} after {time.monotonic() - started:.0f} s")
        if code:
            failed.append(name)
    if failed:
        progress.say(progress.paint("31", f"Failed: {', '.join(failed)}"))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
