"""`rehost doctor`: what is missing on this machine, and what that costs; with a source, its self-test."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from rehost.cli._output import Exit, out, print_json
from rehost.cli._project import find_project
from rehost.connector import database_path, is_embedded
from rehost.control import ControlError, ControlPlane

#: Program, Debian package, what cannot be done without it, and whether anything can be done without it.
_PROGRAMS = (
    ("pulumi", None, "nothing can be previewed or carried out; `make setup` installs it into the clone", True),
    ("pulumi-language-python", None, "the engine cannot run this project's program; `make setup` installs it", True),
    (
        "qemu-system-x86_64",
        "qemu-system-x86",
        "the sandbox's instances do not boot, so there is no console to read",
        False,
    ),
    ("qemu-nbd", "qemu-utils", "a source of type images reads raw images alone", False),
    ("virsh", "libvirt-clients", "a source of type qemu takes QMP sockets alone, no libvirt", False),
    ("mke2fs", "e2fsprogs", "`make demo` cannot make its machines' file systems", False),
    ("mcopy", "mtools", "`make demo` cannot make its machine bootable", False),
    ("initdb", "postgresql", "the tests leave PostgreSQL out (the product needs only a database's URL)", False),
    ("smbd", "samba", "the tests of Hyper-V and `make demo SOURCE=hyperv` have no file server", False),
    ("npm", "npm", "no Azurite: the tests of Azure and `make demo SOURCE=azure` are left out", False),
    ("coldsnap", None, "the tests leave coldsnap out; `make coldsnap` builds it where cargo is", False),
)


@dataclass(frozen=True)
class Check:
    name: str
    ok: bool
    needed: bool
    found: str
    remedy: str = ""


def doctor(
    source: Annotated[
        str | None, typer.Argument(help="A source of the spec, to be tested; this machine's programs without.")
    ] = None,
    server: Annotated[
        str | None, typer.Argument(help="One of its servers: two points in time of it are taken.")
    ] = None,
    specs: Annotated[Path, typer.Option(help="The folder with the spec's YAML files.")] = Path("migration_specs"),
    quiesce: Annotated[
        str | None, typer.Option(help="none, try or require; default: as the spec has it for the server, else try.")
    ] = None,
    sample: Annotated[int, typer.Option(min=1, help="MiB of what is allocated that are read twice.")] = 256,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask before points in time are taken.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the checks as JSON.")] = False,
) -> None:
    """Say what is missing on this machine, what that costs, and how to get it; or whether a source works as it should.

    With SOURCE: its entry, whether it is reached and takes the credentials, its servers and their concerns; it is only asked.
    With SERVER, too: two points in time, their bytes and what changed between them, and that nothing is left behind.
    Exit code 0 where all is well, 1 where something is missing or failed, 2 where the spec or the command line is wrong.
    Example: [dim]rehost doctor dc1 web-01[/]
    """
    if source is not None:
        from rehost.cli._doctor_source import examine

        examine(source, server, specs=specs, quiesce=quiesce, sample_mib=sample, yes=yes, as_json=as_json)
    checks = list(_checks())
    if as_json:
        print_json({"checks": [asdict(check) for check in checks]})
    else:
        table = Table("", "what", "found", "without it", box=None, pad_edge=False)
        for check in checks:
            mark = "[green]ok[/]" if check.ok else "[red]missing[/]" if check.needed else "[yellow]absent[/]"
            table.add_row(mark, check.name, check.found, "" if check.ok else check.remedy)
        out.print(table)
    if any(check.needed and not check.ok for check in checks):
        raise typer.Exit(Exit.FAILED)


def _checks() -> Iterator[Check]:
    version = ".".join(map(str, sys.version_info[:3]))
    yield Check("python >= 3.11", sys.version_info >= (3, 11), True, version, "install a newer Python")
    for program, package, cost, needed in _PROGRAMS:
        path = _which(program)
        remedy = cost + (f"; Debian package {package}" if package else "")
        yield Check(program, path is not None, needed, _version(path) if path else "-", remedy)
    yield Check(
        "KVM",
        os.access("/dev/kvm", os.R_OK | os.W_OK),
        False,
        "/dev/kvm",
        "the sandbox's guests boot some ten times slower",
    )
    yield _control_plane()
    yield _aws()


def _which(program: str) -> str | None:
    """On PATH, or where Debian keeps what only administrators have on theirs."""
    folders = [
        os.environ.get("PATH", ""),
        "/usr/sbin",
        "/sbin",
        *map(str, sorted(Path("/usr/lib/postgresql").glob("*/bin"))),
    ]
    folders += map(str, Path(".cache").glob("coldsnap/*/bin"))
    return shutil.which(program, path=os.pathsep.join(folders))


def _version(path: str) -> str:
    # A word that a program does not know may be ignored, and smbd would start to serve: only Pulumi wants one.
    asked = "version" if Path(path).name == "pulumi" else "--version"
    try:
        done = subprocess.run([path, asked], capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return "yes"
    said = done.stdout.strip()
    return said.splitlines()[0][:60] if done.returncode == 0 and said else "yes"


def _control_plane() -> Check:
    project = find_project(None)
    if is_embedded(project.database) and not database_path(project.database, project.root).exists():
        return Check("control plane", True, True, "none yet: the first `pulumi up` makes it")
    try:
        ControlPlane.open(project.database).close()
    except ControlError as error:
        return Check("control plane", False, True, "-", str(error))
    return Check("control plane", True, True, "SQLite" if is_embedded(project.database) else "PostgreSQL")


def _aws() -> Check:
    from rehost.aws import Aws, AwsError, AwsSettings  # the SDK is not quick to import: only who uses it pays

    try:
        identity = Aws(AwsSettings()).check_access()
    except AwsError as error:
        return Check("AWS", False, False, "-", str(error))
    return Check("AWS", True, False, f"{identity.arn} in {identity.region}")
