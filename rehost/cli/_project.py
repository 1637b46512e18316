"""Which project, which control plane: what the subcommands take from options, the environment and the folder they run in."""

from __future__ import annotations

import os
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from rehost.cli._output import Exit, fail
from rehost.connector import DEFAULT_DATABASE, absolute_database, database_path, is_embedded, state_folder
from rehost.control import ControlError, ControlPlane


@dataclass(frozen=True)
class Project:
    root: Path
    database: str

    @property
    def state(self) -> Path:
        return state_folder(self.database, self.root)

    def control(self, *, make: bool = False) -> ControlPlane:
        """The control plane; where it is a file that does not exist, nothing was ever declared: say so, unless `make`."""
        if not make and is_embedded(self.database) and not database_path(self.database, self.root).exists():
            fail(
                f"there is no control plane at {database_path(self.database, self.root)}. Declare servers and run `pulumi up` "
                "first, or name another one with --database or REHOST_DATABASE",
                Exit.USAGE,
            )
        try:
            return ControlPlane.open(self.database)
        except ControlError as error:
            fail(error)


def find_project(database: str | None) -> Project:
    """The folder with a Pulumi.yaml at or above the present one, and its control plane."""
    here = Path.cwd()
    root = next((folder for folder in (here, *here.parents) if (folder / "Pulumi.yaml").is_file()), here)
    url = database or os.environ.get("REHOST_DATABASE") or DEFAULT_DATABASE
    return Project(root, absolute_database(url, root))


def refuse_password(database: str | None) -> None:
    """For what runs on and on: its arguments can be read by every user of the machine."""
    if not database or is_embedded(database) or "@" not in database:
        return
    if ":" in database.rsplit("@", 1)[0].split("//", 1)[-1]:
        fail(
            "--database holds a password, which every user of this machine can read; set REHOST_DATABASE instead",
            Exit.USAGE,
        )


def no_such_server(server: str, known: Collection[str]) -> str:
    """That there is no job of that name, with the nearest name, or all of them."""
    import difflib

    near = difflib.get_close_matches(server, known, n=1)
    hint = f"did you mean {near[0]}?" if near else f"known servers: {', '.join(sorted(known)) or 'none'}"
    return f"there is no replication job for {server!r}; {hint}"
