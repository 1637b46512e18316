"""Reading a snapshot's disks by export: one sequential stream a disk, kept in a temporary file while it is copied.

Slow, and it needs room for the allocated blocks of one disk, but it works where nothing else does: chains of snapshots, vSAN,
no VDDK.
"""

from __future__ import annotations

import hashlib
import http.client
import os
import re
import ssl
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, BinaryIO
from urllib.parse import urlsplit

import structlog
from pyVmomi import vim

from rehost.blocks import Extent
from rehost.sources._errors import (
    CertificateRefused,
    DiskUnreadable,
    FreezeLost,
    ReadFailed,
    SourceError,
)
from rehost.sources.vsphere import _tls
from rehost.sources.vsphere._client import Client
from rehost.sources.vsphere._errors import ObjectGone
from rehost.sources.vsphere._frozen import DiskState, FreezeState
from rehost.sources.vsphere._sparse import data_extents
from rehost.sources.vsphere._stream_vmdk import Stream, StreamDamaged

log = structlog.get_logger("rehost.sources.vsphere")

LEASE_TIMEOUT = 300.0  # seconds until a lease is ready
_KEEP_ALIVE = 30.0  # seconds; a lease ends after 300 without a sign of life
_READ_TIMEOUT = 120.0
_SAY_EVERY = 10.0


class ExportReader:
    """Downloads each disk when its first byte is wanted. Thread-safe: whoever comes meanwhile waits."""

    def __init__(self, client: Client, state: FreezeState) -> None:
        self._client = client
        self._state = state
        self._files: dict[str, BinaryIO] = {}
        self._locks = {disk.key: threading.Lock() for disk in state.disks}

    def read_into(self, disk: DiskState, offset: int, buffer: memoryview) -> int:
        return os.preadv(self._file(disk).fileno(), [buffer], offset)

    def allocated(self, disk: DiskState) -> Iterator[Extent] | None:
        return data_extents(self._file(disk).fileno(), disk.size)

    def close(self) -> None:
        for lock in self._locks.values():
            lock.acquire()
        try:
            for file in self._files.values():
                file.close()
            self._files.clear()
        finally:
            for lock in self._locks.values():
                lock.release()

    def _file(self, disk: DiskState) -> BinaryIO:
        with self._locks[disk.key]:
            if disk.key not in self._files:
                self._files[disk.key] = self._download(disk)
            return self._files[disk.key]

    def _download(self, disk: DiskState) -> BinaryIO:
        spool = self._client.config.spool
        try:
            # Without a name from the beginning: a killed process leaves nothing.
            file: BinaryIO = tempfile.TemporaryFile(dir=spool)  # noqa: SIM115 - kept open
        except OSError as error:
            where = spool or tempfile.gettempdir()
            reason = f"the export cannot be kept in {where}: {error.strerror}; set `spool` to a folder with room"
            raise DiskUnreadable(path=disk.file, reason=reason) from error
        try:
            os.ftruncate(file.fileno(), disk.size)
            with self._lease() as (lease, devices), self._stream(disk, self._url(disk, devices)) as stream:
                self._receive(disk, stream, file, lease)
        except OSError as error:
            file.close()
            reason = f"the export cannot be kept: {error.strerror}; set `spool` to a folder with more room"
            raise DiskUnreadable(path=disk.file, reason=reason) from error
        except BaseException:
            file.close()
            raise
        return file

    def _receive(self, disk: DiskState, stream: http.client.HTTPResponse, file: BinaryIO, lease: Any) -> None:
        said = time.monotonic()
        alive = _KeepAlive(lambda percent: self._client.call(lambda: lease.HttpNfcLeaseProgress(percent), "exporting"))
        received = 0
        with alive:
            try:
                decoder = Stream(stream)
                if decoder.header.size != disk.size:
                    reason = f"the export has {decoder.header.size} bytes, and the disk {disk.size}"
                    raise DiskUnreadable(path=disk.file, reason=reason)
                for offset, content in decoder.grains():
                    os.pwrite(file.fileno(), content, offset)
                    received += len(content)
                    alive.percent = min(99, offset * 100 // disk.size)
                    if time.monotonic() - said > _SAY_EVERY:
                        said = time.monotonic()
                        log.info("exporting", server=self._state.name, disk=disk.key, percent=alive.percent)
            except (StreamDamaged, http.client.HTTPException, ssl.SSLError, ConnectionError, TimeoutError) as error:
                detail = f"the export broke off after {received} bytes: {error or type(error).__name__}"
                raise ReadFailed(disk=disk.key, offset=received, detail=detail) from error

    @contextmanager
    def _lease(self) -> Iterator[tuple[Any, Sequence[Any]]]:
        """A ready lease and its devices; completed afterwards, or aborted where something went wrong."""
        client = self._client
        snapshot = client.managed(vim.vm.Snapshot, self._state.snapshot)
        try:
            lease = client.call(snapshot.ExportSnapshot, f"exporting {self._state.name}")
        except ObjectGone as error:
            raise FreezeLost(detail=f"the snapshot of {self._state.name} was removed") from error
        try:
            yield lease, self._ready(lease)
        except BaseException:
            _quietly(lambda: client.call(lambda: lease.HttpNfcLeaseAbort(None), "ending an export"))
            raise
        _quietly(lambda: client.call(lease.HttpNfcLeaseComplete, "ending an export"))

    def _ready(self, lease: Any) -> Sequence[Any]:
        deadline = time.monotonic() + LEASE_TIMEOUT
        while True:
            state = self._client.call(lambda: lease.state, "exporting")
            if state == vim.HttpNfcLease.State.ready:
                return list(self._client.call(lambda: lease.info, "exporting").deviceUrl)
            if state == vim.HttpNfcLease.State.error or time.monotonic() > deadline:
                error = self._client.call(lambda: lease.error, "exporting")
                reason = getattr(error, "localizedMessage", None) or f"the lease is {state}"
                raise DiskUnreadable(path=self._state.name, reason=f"vCenter does not export it: {reason}")
            time.sleep(0.1)

    def _url(self, disk: DiskState, devices: Sequence[Any]) -> Any:
        """The device of a disk: by its place on its bus where the lease names it, else by its order."""
        urls = [each for each in devices if each.disk]
        named = [each for each in urls if place_of(str(each.key)) == disk.key]
        if len(named) == 1:
            return named[0]
        in_order = sorted(self._state.disks, key=lambda each: each.device_key)
        if len(urls) != len(in_order):
            reason = f"vCenter exports {len(urls)} disks of {len(in_order)}"
            raise DiskUnreadable(path=disk.file, reason=reason)
        return urls[in_order.index(disk)]

    @contextmanager
    def _stream(self, disk: DiskState, device: Any) -> Iterator[http.client.HTTPResponse]:
        config = self._client.config
        url = urlsplit(device.url)
        host = config.host if url.hostname in (None, "*") else url.hostname
        port = url.port or (config.port if host == config.host else 443)
        connection = self._connection(host, port, str(device.sslThumbprint or ""))
        headers = {"Cookie": self._client.cookie} if host == config.host else {}
        try:
            connection.request("GET", url.path + (f"?{url.query}" if url.query else ""), headers=headers)
            answer = connection.getresponse()
            if answer.status != http.client.OK:
                raise ReadFailed(disk=disk.key, offset=0, detail=f"{host} answered {answer.status} to an export")
            yield answer
        except ssl.SSLCertVerificationError as error:
            raise _tls.refused(config, error) from None
        except (ConnectionError, TimeoutError, http.client.HTTPException) as error:
            detail = str(error) or type(error).__name__
            raise ReadFailed(disk=disk.key, offset=0, detail=f"exporting from {host}: {detail}") from error
        finally:
            connection.close()

    def _connection(self, host: str, port: int, thumbprint: str) -> http.client.HTTPSConnection:
        """To vCenter as ever; to a host, which may have a certificate of its own, by the thumbprint that vCenter tells."""
        config = self._client.config
        if host == config.host and port == config.port:
            return _tls.PinnedConnection(config, host, port, context=_tls.context(config), timeout=_READ_TIMEOUT)
        if not thumbprint:
            tls = ssl.create_default_context(cafile=str(config.ca_file) if config.ca_file else None)
            return http.client.HTTPSConnection(host, port, context=tls, timeout=_READ_TIMEOUT)
        tls = ssl.create_default_context()
        tls.check_hostname, tls.verify_mode = False, ssl.CERT_NONE
        connection = http.client.HTTPSConnection(host, port, context=tls, timeout=_READ_TIMEOUT)
        connection.connect()
        certificate = connection.sock.getpeercert(binary_form=True) or b""
        wanted = thumbprint.replace(":", "").lower()
        digests = {
            hashlib.sha1(certificate, usedforsecurity=False).hexdigest(),
            hashlib.sha256(certificate).hexdigest(),
        }
        if wanted not in digests:
            connection.close()
            reason = f"host {host} shows another certificate than vCenter says it has; look for somebody in between"
            raise CertificateRefused(place=host, reason=reason)
        return connection


class _KeepAlive:
    """Tells vCenter every while that an export goes on."""

    def __init__(self, tell: Callable[[int], object]) -> None:
        self.percent = 0
        self._tell = tell
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, name="export-lease", daemon=True)

    def _run(self) -> None:
        while not self._end.wait(_KEEP_ALIVE):
            _quietly(lambda: self._tell(self.percent))

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()


def place_of(key: str) -> str:
    """`/vm-12/ParaVirtualSCSIController0:1` -> scsi0-1; empty where the key is of another form."""
    found = re.search(r"/Virtual(\w+?)Controller(\d+):(\d+)$|/(\w+?)Controller(\d+):(\d+)$", key)
    if found is None:
        return ""
    kind, bus, unit = (each for each in found.groups() if each is not None)
    kind = kind.lower()
    for bus_name, words in (
        ("nvme", ("nvme",)),
        ("sata", ("ahci", "sata")),
        ("ide", ("ide",)),
        ("scsi", ("scsi", "lsilogic", "buslogic")),
    ):
        if any(word in kind for word in words):
            return f"{bus_name}{bus}-{unit}"
    return ""


def _quietly(what: Callable[[], object]) -> None:
    try:
        what()
    except SourceError as error:
        log.info("an export's lease did not answer", reason=str(error))
