"""The connection: engine settings, transactions, migrations, and foreign errors translated once."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import alembic.command
import alembic.config
import sqlalchemy as sa
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from rehost.control._errors import ControlError, DatabaseFull, DatabaseUnreachable, DatabaseUnusable

Clock = Callable[[], datetime]

BUSY_SECONDS = 30  # a SQLite writer waits so long for another one
_LOCK_KEY = 0x7265686F7374  # "rehost": PostgreSQL's advisory lock around migrations


def utc_now() -> datetime:
    return datetime.now(UTC)


class Database:
    """One SQLAlchemy engine. Thread-safe; usable by any number of processes at once."""

    def __init__(self, url: str, clock: Clock = utc_now) -> None:
        self.now = clock
        self.name = _masked(url)
        self._sqlite = url.startswith("sqlite")
        try:
            self.engine = _engine(url)
        except OSError as error:
            raise DatabaseUnusable(database=self.name, reason=f"its folder cannot be made: {error.strerror}") from None
        except (sa.exc.ArgumentError, sa.exc.NoSuchModuleError, ImportError) as error:
            raise DatabaseUnusable(
                database=self.name, reason=f"{_first_line(error)}; use sqlite:///PATH or postgresql://HOST/NAME"
            ) from None

    @contextmanager
    def write(self) -> Iterator[sa.Connection]:
        """A transaction that commits at the end of the block. With SQLite it is the only writer from its start."""
        with self._translated(), self.engine.begin() as connection:
            yield connection

    @contextmanager
    def read(self) -> Iterator[sa.Connection]:
        with self._translated(), self.engine.connect().execution_options(rehost_reads=True) as connection:
            yield connection

    def close(self) -> None:
        self.engine.dispose()

    def migrate(self) -> None:
        """Bring the tables to this program's version; a newer one is refused. Several processes may try at once."""
        with self.write() as connection:
            if not self._sqlite:  # a SQLite transaction has the file to itself already
                connection.execute(sa.text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK_KEY})
            script = ScriptDirectory(str(Path(__file__).parent / "migrations"))
            present = MigrationContext.configure(connection).get_current_revision()
            head = script.get_current_head()
            if present == head:
                return
            if present is not None and present not in {revision.revision for revision in script.walk_revisions()}:
                raise DatabaseUnusable(
                    database=self.name, reason=f"it was made by a newer rehost (schema {present}); update this one"
                )
            config = alembic.config.Config()
            config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
            config.attributes["connection"] = connection
            alembic.command.upgrade(config, "head")

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except sa.exc.IntegrityError:
            raise  # the stores mean these
        except (sa.exc.DBAPIError, sa.exc.OperationalError, sqlite3.Error) as error:
            raise self._translate(error) from None

    def _translate(self, error: Exception) -> ControlError:
        reason = _first_line(getattr(error, "orig", None) or error)
        lowered = reason.lower()
        if "full" in lowered or "no space" in lowered:
            return DatabaseFull(database=self.name, reason=reason)
        if any(
            word in lowered
            for word in ("readonly", "not a database", "malformed", "no such table", "undefinedtable", "unable to open")
        ):
            return DatabaseUnusable(database=self.name, reason=reason)
        return DatabaseUnreachable(database=self.name, reason=reason)


def _engine(url: str) -> sa.Engine:
    if not url.startswith("sqlite"):
        return sa.create_engine(
            re.sub(r"^postgres(ql)?://", "postgresql+psycopg://", url), pool_pre_ping=True, pool_size=5, max_overflow=10
        )
    path = sa.make_url(url).database
    if path:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
    engine = sa.create_engine(url, connect_args={"timeout": BUSY_SECONDS})

    @sa.event.listens_for(engine, "connect")
    def _prepare(connection: Any, _record: Any) -> None:
        # The sqlite3 module's own idea of when a transaction begins is not ours: see the next listener.
        connection.isolation_level = None
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
            connection.execute(f"PRAGMA {pragma}").close()

    @sa.event.listens_for(engine, "begin")
    def _begin(connection: sa.Connection) -> None:
        # IMMEDIATE: two writers wait for each other, instead of one failing when it turns from reading to writing.
        reads = connection.get_execution_options().get("rehost_reads", False)
        connection.exec_driver_sql("BEGIN" if reads else "BEGIN IMMEDIATE")

    return engine


def _masked(url: str) -> str:
    return re.sub(r"(://[^:/@]*):[^@]*@", r"\1:***@", url)


def _first_line(error: object) -> str:
    return _masked(str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__)
