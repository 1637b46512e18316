"""The database as a thing that can be missing, full, broken or of another version."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from rehost.control import ControlError, ControlPlane, DatabaseFull, DatabaseUnreachable, DatabaseUnusable
from rehost.control._database import _MIGRATIONS, schema_versions
from rehost.control._tables import whole_metadata

from .conftest import spec


def test_the_migrations_make_the_tables_that_the_code_expects(url: str) -> None:
    ControlPlane.open(url).close()
    engine = sa.create_engine(url.replace("postgresql://", "postgresql+psycopg://"))
    with engine.connect() as connection:
        differences = compare_metadata(MigrationContext.configure(connection), whole_metadata())
    engine.dispose()
    assert differences == []


def test_the_newest_migration_is_what_alembic_takes_for_it() -> None:
    script = ScriptDirectory(str(_MIGRATIONS))
    assert schema_versions()[-1] == script.get_current_head()
    assert set(schema_versions()) == {each.revision for each in script.walk_revisions()}


def test_a_newer_database_is_refused(url: str) -> None:
    ControlPlane.open(url).close()
    engine = sa.create_engine(url.replace("postgresql://", "postgresql+psycopg://"))
    with engine.begin() as connection:
        connection.execute(sa.text("UPDATE alembic_version SET version_num = '9999'"))
    engine.dispose()
    with pytest.raises(DatabaseUnusable, match="newer rehost"):
        ControlPlane.open(url)


def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    (tmp_path / "control.db").write_bytes(b"not a database, " * 1000)
    with pytest.raises(DatabaseUnusable):
        ControlPlane.open(f"sqlite:///{tmp_path / 'control.db'}")


def test_a_full_disk_is_said_and_loses_nothing(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'control.db'}"
    control = ControlPlane.open(url)
    job = control.jobs.put(spec())
    connection = control._db.engine.pool.connect()
    pages = connection.execute("PRAGMA page_count").fetchone()[0]
    connection.execute(f"PRAGMA max_page_count={pages + 2}")
    connection.close()
    with pytest.raises(DatabaseFull, match="free space"):
        control.events.add("note", "x" * 1_000_000)
    control.close()
    again = ControlPlane.open(url)
    assert again.jobs.get(job.id).spec.server == "web-01"
    again.close()
    check = sqlite3.connect(tmp_path / "control.db")
    assert check.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    check.close()


def test_a_server_that_is_away_is_an_error_that_may_be_tried_again(tmp_path: Path) -> None:
    with pytest.raises(DatabaseUnreachable) as caught:
        ControlPlane.open(f"postgresql://rehost:s3cret@/none?host={tmp_path}")
    assert caught.value.retryable
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize("url", ["mysql://host/db", "nonsense", "sqlite:////proc/none/control.db"])
def test_a_url_that_cannot_be_used_is_said_in_a_line(url: str) -> None:
    with pytest.raises(ControlError) as caught:
        ControlPlane.open(url)
    assert "\n" not in str(caught.value)
