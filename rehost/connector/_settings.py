"""Where a connector works and how much it takes on."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from rehost.connector._patience import Patience


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
