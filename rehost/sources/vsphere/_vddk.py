"""Reading a snapshot's disks through VMware's VDDK: nbdkit with its plugin `vddk`, one process a disk, and an NBD client.

The library is VMware's and may not be redistributed; the user points to it. The password goes to nbdkit through a pipe: arguments can
be read by every user of a machine. Parameters after nbdkit-vddk-plugin(1).
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

import structlog

from rehost.blocks import Extent
from rehost.sources._certificates import pairs
from rehost.sources._errors import DiskUnreadable, ReadFailed
from rehost.sources.nbd import NbdClient, NbdError, NbdUnavailable
from rehost.sources.vsphere import _tls
from rehost.sources.vsphere._client import Client
from rehost.sources.vsphere._frozen import DiskState, FreezeState

log = structlog.get_logger("rehost.sources.vsphere")

START_TIMEOUT = 60.0  # seconds until nbdkit listens; the library logs in meanwhile
_STOP_TIMEOUT = 10.0


class VddkReader:
    """Starts nbdkit for a disk when its first byte is wanted. Thread-safe."""

    def __init__(self, client: Client, state: FreezeState) -> None:
        self._client = client
        self._state = state
        self._lock = threading.Lock()
        self._servers: dict[str, Nbdkit] = {}

    def read_into(self, disk: DiskState, offset: int, buffer: memoryview) -> int:
        server = self._server(disk)
        try:
            return server.nbd.read_into(offset, buffer)
        except NbdError as error:
            detail = f"{error}{server.last_words()}"
            raise ReadFailed(disk=disk.key, offset=offset, detail=detail) from error

    def allocated(self, disk: DiskState) -> Iterator[Extent] | None:
        try:
            return iter(list(self._server(disk).nbd.allocated()))
        except NbdError as error:
            log.info("VDDK does not say what is allocated", disk=disk.key, reason=str(error))
            return None

    def close(self) -> None:
        with self._lock:
            for server in self._servers.values():
                server.stop()
            self._servers.clear()

    def _server(self, disk: DiskState) -> Nbdkit:
        with self._lock:
            server = self._servers.get(disk.key)
            if server is None or not server.alive:
                if server is not None:
                    log.warning("nbdkit has ended; starting another", disk=disk.key, reason=server.last_words())
                    server.stop()
                server = self._servers[disk.key] = self._started(disk)
            return server

    def _started(self, disk: DiskState) -> Nbdkit:
        config = self._client.config
        user, password = self._client.credentials()
        server = Nbdkit(
            command(
                nbdkit=config.vddk.nbdkit if config.vddk else "nbdkit",
                libdir=config.vddk.libdir if config.vddk else "",
                host=config.host,
                port=config.port,
                user=user,
                thumbprint=self._thumbprint(),
                moref=self._state.moref,
                snapshot=self._state.snapshot,
                file=disk.file,
            ),
            password,
            connections=config.connections,
        )
        try:
            server.start()
            if server.nbd.size != disk.size:
                reason = f"VDDK opens it with {server.nbd.size} bytes, and the snapshot has {disk.size}"
                raise DiskUnreadable(path=disk.file, reason=reason)
        except (OSError, NbdError) as error:
            words = server.last_words()
            server.stop()
            reason = f"nbdkit with VDDK does not serve it: {error}{words}"
            raise DiskUnreadable(path=disk.file, reason=reason) from error
        except BaseException:
            server.stop()
            raise
        return server

    def _thumbprint(self) -> str:
        """SHA-1 of the vCenter's certificate, which is what VDDK compares; of one that has been verified here."""
        config = self._client.config
        connection = _tls.PinnedConnection(
            config, config.host, config.port, context=_tls.context(config), timeout=_tls.CONNECT_TIMEOUT
        )
        try:
            connection.connect()
            certificate = connection.sock.getpeercert(binary_form=True) or b""
        except OSError as error:
            raise ReadFailed(disk=self._state.name, offset=0, detail=f"{config.place}: {error}") from error
        finally:
            connection.close()
        return pairs(hashlib.sha1(certificate, usedforsecurity=False).hexdigest())


def command(
    *,
    nbdkit: str,
    libdir: str,
    host: str,
    port: int,
    user: str,
    thumbprint: str,
    moref: str,
    snapshot: str,
    file: str,
) -> list[str]:
    """What is run, but for the socket and the descriptor of the password, which `Nbdkit` puts in."""
    return [
        nbdkit,
        "--exit-with-parent",
        "--foreground",
        "--readonly",
        "--unix={socket}",
        "--filter=blocksize",
        "vddk",
        f"libdir={libdir}",
        f"server={host}",
        f"port={port}",
        f"user={user}",
        "password=+{password}",
        f"thumbprint={thumbprint}",
        f"vm=moref={moref}",
        f"snapshot={snapshot}",
        "transports=file:nbdssl:nbd",
        "minblock=512",
        "maxdata=2M",
        f"file={file}",
    ]


class Nbdkit:
    """One nbdkit, on a socket in a folder of its own."""

    def __init__(self, arguments: Sequence[str], password: str, *, connections: int) -> None:
        self._arguments = arguments
        self._password = password
        self._folder = tempfile.TemporaryDirectory(prefix="rehost-nbdkit-")
        self._socket = Path(self._folder.name) / "nbd"
        self._log: BinaryIO = tempfile.TemporaryFile()  # noqa: SIM115 - closed by stop
        self._process: subprocess.Popen[bytes] | None = None
        self._failure: OSError | None = None
        self._spawned = threading.Event()
        self.nbd = NbdClient(str(self._socket), connections=connections)

    @property
    def alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Until it answers. Raises OSError, NbdError; `last_words` says more."""
        # Linux's signal for a parent's end comes when the *thread* that started a process ends: this one stays.
        threading.Thread(target=self._run, name="nbdkit", daemon=True).start()
        self._spawned.wait()
        if self._failure is not None:
            raise self._failure
        deadline = time.monotonic() + START_TIMEOUT
        while True:
            try:
                self.nbd.size  # noqa: B018 - connects
                return
            except NbdUnavailable as error:  # the socket is there a moment before somebody listens at it
                if not self.alive:
                    raise OSError("it ended at once") from error
                if time.monotonic() > deadline:
                    raise
            time.sleep(0.02)

    def _run(self) -> None:
        reading, writing = os.pipe()
        filled = [
            each.replace("{socket}", str(self._socket)) if each.startswith("--unix=") else each
            for each in self._arguments
        ]
        filled = [f"password=+{reading}" if each == "password=+{password}" else each for each in filled]
        try:
            os.write(writing, self._password.encode() + b"\n")
            self._password = ""
            self._process = subprocess.Popen(
                filled,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=self._log,
                pass_fds=(reading,),
            )
        except OSError as error:
            self._failure = error
        finally:
            os.close(reading)
            os.close(writing)
            self._spawned.set()
        if self._process is not None:
            self._process.wait()

    def last_words(self) -> str:
        """The end of what it wrote to its standard error, for an error's message."""
        if self._log.closed:
            return ""
        size = os.fstat(self._log.fileno()).st_size
        text = os.pread(self._log.fileno(), 2000, max(0, size - 2000)).decode(errors="replace")
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        return f" ({lines[-1]})" if lines else ""

    def stop(self) -> None:
        self.nbd.close()
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(_STOP_TIMEOUT)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        self._log.close()
        self._folder.cleanup()
