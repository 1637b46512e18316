"""Where a connector works and how much it takes on."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from rehost.connector._patience import Patience

#: The embedded control plane of a project, relative to its root.
DEFAULT_DATABASE = "sqlite:///.rehost/control.db"


@dataclass(frozen=True)
class ConnectorSettings:
    """`state` holds manifests, and with SQLite DBOS's own database; relative source paths start from `base`."""

    database: str
    state: Path
    base: Path
    sources: frozenset[str] | None = None  # names of sources to serve; None serves all
    idle_exit: float | None = None  # seconds without work after which the connector ends; None stays
    max_runs: int = 2  # at once
    in_flight: int = 128  # blocks of a disk at once, at most; how many there are follows what they achieve
    metrics_port: int | None = None  # 0 lets the system choose; None serves none
    metrics_address: str = "127.0.0.1"
    lease: float = 30.0  # seconds a run stays ours without a sign of life
    poll: float = 0.5  # seconds between looks for work
    patience: Patience = field(default_factory=Patience)


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
