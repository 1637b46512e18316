"""Debian's PostgreSQL, started by the tests themselves: a temporary directory, a Unix socket, no port."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg


def programs() -> Path | None:
    """The folder with initdb and pg_ctl; Debian keeps them off PATH."""
    found = shutil.which("initdb")
    folders = [Path(found).resolve().parent] if found else []
    folders += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    return next((folder for folder in folders if (folder / "initdb").exists() and (folder / "postgres").exists()), None)


@contextmanager
def server(bin_folder: Path) -> Iterator[Path]:
    """A running server; yields the folder of its socket. PostgreSQL refuses to run as root: then it runs as nobody."""
    # Not under pytest's folder: a socket's path may have 107 characters, and nobody may not enter root's directories.
    with tempfile.TemporaryDirectory(prefix="rehost-pg-") as name:
        folder = Path(name)
        user = None
        if os.geteuid() == 0:
            user = pwd.getpwnam("nobody").pw_uid
            os.chown(folder, user, -1)
        data, socket = folder / "data", folder
        run: dict[str, Any] = {"user": user, "cwd": folder, "check": True, "capture_output": True}
        initdb = [bin_folder / "initdb", "-D", data, "-U", "rehost", "-A", "trust", "-E", "UTF8", "--no-locale", "-N"]
        subprocess.run([*map(str, initdb)], **run)
        options = f"-c listen_addresses='' -c unix_socket_directories={socket} -c fsync=off -c max_connections=200"
        start = [bin_folder / "pg_ctl", "-D", data, "-w", "-l", folder / "log", "-o", options, "start"]
        subprocess.run([*map(str, start)], **{**run, "capture_output": False, "stdout": subprocess.DEVNULL})
        try:
            yield socket
        finally:
            stop = [bin_folder / "pg_ctl", "-D", data, "-w", "-m", "immediate", "stop"]
            subprocess.run([*map(str, stop)], **run)


@contextmanager
def database(socket: Path) -> Iterator[str]:
    """An empty database of the server; yields its URL, as a user would write it."""
    name = f"test_{uuid4().hex}"
    admin = f"host={socket} user=rehost dbname=postgres"
    with psycopg.connect(admin, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    try:
        yield f"postgresql://rehost@/{name}?host={socket}"
    finally:
        with psycopg.connect(admin, autocommit=True) as connection:
            connection.execute(f"DROP DATABASE {name} WITH (FORCE)")
