"""The connection: engine settings, transactions, migrations, and foreign errors translated once."""

from __future__ import annotations

import copy
import functools
import re
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, Self, TypeVar

import sqlalchemy as sa

from rehost.control._clock import Clock, ServerClock, utc_now
from rehost.control._errors import ControlError, DatabaseFull, DatabaseUnreachable, DatabaseUnusable

T = TypeVar("T")

_MIGRATIONS = Path(__file__).parent / "migrations"
BUSY_SECONDS = 30  # a SQLite writer waits so long for another one
_LOCK_KEY = 0x7265686F7374  # "rehost": PostgreSQL's advisory lock around migrations
_LONGEST_PAUSE = 2.0  # seconds between two looks for a database that is away


class Database:
    """One SQLAlchemy engine. Thread-safe; usable by any number of processes at once.

    `now` is the given clock; without one the server's with PostgreSQL, and this machine's with SQLite.
    """

    def __init__(self, url: str, clock: Clock | None = None) -> None:
        self.name = _masked(url)
        self.is_sqlite = url.startswith("sqlite")
        self.patience = 0.0  # seconds; see `patient`
        self.now: Clock = clock or (utc_now if self.is_sqlite else ServerClock(self._server_time))
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

    @contextmanager
    def snapshot(self) -> Iterator[sa.Connection]:
        """As `read`; its queries see the database at one moment, whatever others write meanwhile."""
        with self.read() as connection:
            if not self.is_sqlite:  # where a transaction that reads is a snapshot already
                connection.execute(sa.text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY"))
            yield connection

    def waiting(self, seconds: float) -> Self:
        """The same database, of which stores wait for so long while it is away."""
        twin = copy.copy(self)
        twin.patience = seconds
        return twin

    def alone(self, connection: sa.Connection, key: int) -> None:
        """Keep other transactions that ask for the same `key` waiting until this one ends."""
        if not self.is_sqlite:  # a SQLite transaction that writes has the file to itself already
            connection.execute(sa.text("SELECT pg_advisory_xact_lock(:key)"), {"key": key})

    def close(self) -> None:
        self.engine.dispose()

    def migrate(self) -> None:
        """Bring the tables to this program's version; a newer one is refused. Several processes may try at once."""
        known = schema_versions()
        with self.read() as connection:
            if _version(connection) == known[-1]:
                return
        with self.write() as connection:
            self.alone(connection, _LOCK_KEY)
            present = _version(connection)
            if present == known[-1]:
                return
            if present is not None and present not in known:
                raise DatabaseUnusable(
                    database=self.name, reason=f"it was made by a newer rehost (schema {present}); update this one"
                )
            # Only here: alembic takes a third of a second to import, and tables are seldom made.
            import alembic.command
            import alembic.config

            config = alembic.config.Config()
            config.set_main_option("script_location", str(_MIGRATIONS))
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
        if isinstance(error, sa.exc.ProgrammingError | sa.exc.DataError | sa.exc.NotSupportedError):
            return DatabaseUnusable(database=self.name, reason=reason)  # trying again would change nothing
        return DatabaseUnreachable(database=self.name, reason=reason)

    def _server_time(self) -> datetime:
        with self.read() as connection:
            return connection.execute(sa.text("SELECT clock_timestamp()")).scalar_one()  # type: ignore[no-any-return]


def schema_versions() -> list[str]:
    """Oldest first: each is the beginning of the name of its file."""
    return sorted(path.name.partition("_")[0] for path in (_MIGRATIONS / "versions").glob("[0-9]*_*.py"))


def _version(connection: sa.Connection) -> str | None:
    if not sa.inspect(connection).has_table("alembic_version"):
        return None
    return connection.execute(sa.text("SELECT version_num FROM alembic_version")).scalar_one_or_none()


def patient(store: type[T]) -> type[T]:
    """Make the public methods of a store wait while its database is away, for as long as `Database.patience` says.

    A method that met a lost connection is called again: what it does is guarded, so that a transaction that did land is
    not repeated.
    """
    for name, method in list(vars(store).items()):
        if not name.startswith("_") and callable(method):
            setattr(store, name, _waiting(method))
    return store


def _waiting(method: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(method)
    def called(self: Any, *args: Any, **kwargs: Any) -> Any:
        deadline, pause = None, 0.05
        while True:
            try:
                return method(self, *args, **kwargs)
            except DatabaseUnreachable:
                deadline = deadline or time.monotonic() + self._db.patience
                if time.monotonic() >= deadline:
                    raise
            time.sleep(pause)
            pause = min(pause * 2, _LONGEST_PAUSE)

    return called


def _engine(url: str) -> sa.Engine:
    if not url.startswith("sqlite"):
        return sa.create_engine(
            re.sub(r"^postgres(ql)?://", "postgresql+psycopg://", url),
            pool_pre_ping=True,
            pool_size=5,
            max_overflow=10,
            use_native_hstore=False,
        )
    path = sa.make_url(url).database
    if path:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
    engine = sa.create_engine(url, connect_args={"timeout": BUSY_SECONDS})

    @sa.event.listens_for(engine, "connect")
    def _prepare(connection: Any, _record: Any) -> None:
        # The sqlite3 module's own idea of when a transaction begins is not ours: see the next listener.
        connection.isolation_level = None
        _keep_a_write_ahead_log(connection)
        for pragma in ("synchronous=FULL", "foreign_keys=ON"):
            connection.execute(f"PRAGMA {pragma}").close()

    @sa.event.listens_for(engine, "begin")
    def _begin(connection: sa.Connection) -> None:
        # IMMEDIATE: two writers wait for each other, instead of one failing when it turns from reading to writing.
        reads = connection.get_execution_options().get("rehost_reads", False)
        connection.exec_driver_sql("BEGIN" if reads else "BEGIN IMMEDIATE")

    return engine


def _keep_a_write_ahead_log(connection: Any) -> None:
    """Several may open a new file at once: to turn it takes the whole file, and SQLite does not wait for that by itself."""
    deadline = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL").close()
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > deadline:
                raise
            time.sleep(0.01)
        else:
            return


def _masked(url: str) -> str:
    return re.sub(r"(://[^:/@]*):[^@]*@", r"\1:***@", url)


def _first_line(error: object) -> str:
    return _masked(str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__)
