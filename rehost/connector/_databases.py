"""Which database a URL names, and what lies beside it. Imports nothing: `rehost status` asks for no more of a connector."""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import urlsplit

#: The embedded control plane of a project, relative to its root.
DEFAULT_DATABASE = "sqlite:///.rehost/control.db"


def is_embedded(database: str) -> bool:
    """Whether the control plane is a file that this machine's processes share, rather than a database server."""
    return database.startswith("sqlite")


def database_path(database: str, root: Path) -> Path:
    """The file behind a SQLite URL; a relative one (three slashes) starts from `root`."""
    path = urlsplit(database).path
    return root / path.removeprefix("/") if not path.startswith("//") else Path(path[1:])


def absolute_database(database: str, root: Path) -> str:
    """The same database, independent of the folder a process is started in."""
    return f"sqlite:///{database_path(database, root).resolve()}" if is_embedded(database) else database


def state_folder(database: str, root: Path) -> Path:
    """Where manifests and logs live: beside the SQLite file, else `REHOST_STATE` or `.rehost` under the root."""
    if is_embedded(database):
        return database_path(database, root).resolve().parent
    return Path(os.environ.get("REHOST_STATE") or root / ".rehost").resolve()
