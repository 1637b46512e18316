r"""Files of one host, by UNC path. A lost session is made again behind the reader's back, and the file is known again or refused."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Self, TypeVar

from rehost.sources._errors import (
    CredentialsRefused,
    ReadFailed,
    SourceChanged,
    SourceError,
    SourceUnavailable,
)
from rehost.sources.smb._credentials import SmbCredentials
from rehost.sources.smb._names import UncPath, parse_unc
from rehost.sources.smb._pool import Pool, PoolClosed
from rehost.sources.smb._status import LOST, MISSING, ChannelLost, StatusError, file_error

if TYPE_CHECKING:
    from rehost.sources.smb._channel import Channel, Identity

_T = TypeVar("_T")

CONNECTIONS = 4  # to a share
READ_SIZE = 1 << 20  # bytes of a request at most; the server may take fewer

_FIRST_PAUSE = 0.1  # seconds before a second attempt, doubled for each further one, and a random part of it waited
_LONGEST_PAUSE = 5.0


class SmbFiles:
    """A `Files` over SMB 3. Thread-safe; `close` ends its connections, and whatever reads over them fails then.

    The host in a path is not looked at: hosts have many names, and all paths are asked of this one. Every wait ends:
    with one answer after `timeout` seconds, with all attempts to come back to a lost server after about `patience` seconds more.
    """

    def __init__(
        self,
        host: str,
        credentials: SmbCredentials,
        *,
        port: int = 445,
        timeout: float = 30.0,
        patience: float = 60.0,
        connections: int = CONNECTIONS,
        read_size: int = READ_SIZE,
        place: str | None = None,
    ) -> None:
        """`place`: what error messages call this host. Nothing is connected to before the first `open`."""
        self._host, self._port, self._credentials = host, port, credentials
        self._timeout, self._patience = timeout, patience
        self._connections, self._read_size = connections, read_size
        self._place = place or host
        self._pools: dict[str, Pool] = {}
        self._lock = threading.Lock()
        self._login = threading.Lock()
        self._refused: SourceError | None = None
        self._closing = threading.Event()

    def open(self, path: str) -> SmbFile:
        r"""Open `\\host\share\folder\file` for reading; others may go on writing, renaming and deleting it.

        Raises SourceUnavailable (a retry is safe), CredentialsRefused, NotEncrypted, DiskMissing and DiskUnreadable.
        """
        name = parse_unc(path)
        with self._lock:
            if self._closing.is_set():
                raise SourceUnavailable(place=self._place, reason="its files were closed")
            share = name.share.upper()
            if (pool := self._pools.get(share)) is None:
                pool = self._pools[share] = Pool(lambda: self._connect(name.share), self._connections)
        file = SmbFile(self, pool, name)
        try:
            file._open(patient=pool.served)
        except ChannelLost as lost:
            raise SourceUnavailable(place=self._place, reason=f"{lost} ({name})") from lost
        return file

    def close(self) -> None:
        """Idempotent; waits for a server that does not answer no longer than one `timeout` a share."""
        self._closing.set()
        with self._lock:
            pools, self._pools = self._pools, {}
        for pool in pools.values():
            pool.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _connect(self, share: str) -> Channel:
        from rehost.sources.smb._login import log_in

        # One after the other: a password that has become wrong is tried once, not once a connection.
        if not self._login.acquire(timeout=self._timeout):
            raise ChannelLost("the login of another connection takes too long")
        try:
            if self._refused is not None:
                raise self._refused
            return log_in(
                self._host,
                self._port,
                share,
                self._credentials,
                timeout=self._timeout,
                read_size=self._read_size,
                place=self._place,
            )
        except CredentialsRefused as error:
            self._refused = error
            raise
        finally:
            self._login.release()

    def _retry(self, pool: Pool, call: Callable[[Channel], _T], *, patient: bool = True) -> _T:
        """Carry out `call` on some channel, on others where they are lost. Raises ChannelLost in the end, and what is no loss."""
        deadline = time.monotonic() + (self._patience if patient else 0.0)
        pause = _FIRST_PAUSE
        while True:
            try:
                with pool.use(max(deadline, time.monotonic() + self._timeout)) as channel:
                    return call(channel)
            except ChannelLost as error:
                lost = error
            except StatusError as error:
                if error.status not in LOST:
                    raise
                lost = ChannelLost(f"the server refuses for the moment ({error})")
            except SourceUnavailable as error:
                if not patient:
                    raise
                lost = ChannelLost(str(error))
            except PoolClosed:
                raise ChannelLost("the files of this host were closed") from None
            if time.monotonic() >= deadline or self._closing.wait(random.uniform(0.0, pause)):
                raise lost
            pause = min(pause * 2, _LONGEST_PAUSE)


class SmbFile:
    """A `ByteSource`: one file, opened on as many connections as there are readers at a time."""

    def __init__(self, files: SmbFiles, pool: Pool, name: UncPath) -> None:
        self._files, self._pool, self._name = files, pool, name
        self._identity: Identity | None = None
        self._closed = False

    @property
    def path(self) -> str:
        return str(self._name)

    @property
    def size(self) -> int:
        """Bytes."""
        return 0 if self._identity is None else self._identity.size

    def read_into(self, offset: int, buffer: memoryview) -> int:
        """Fill `buffer` from `offset`; fewer bytes only at the end of the file, 0 from there on. Thread-safe.

        Raises ReadFailed (a retry is safe), and SourceChanged where the file is not the one that was opened any more.
        """
        if self._closed:
            raise ReadFailed(disk=self.path, offset=offset, detail="it was closed")
        view = memoryview(buffer).cast("B")[: max(0, self.size - offset)]
        if not view:
            return 0
        try:
            got = self._files._retry(self._pool, lambda channel: channel.read(self._handle(channel), offset, view))
        except (ChannelLost, StatusError) as error:
            if isinstance(error, StatusError):
                raise file_error(error.status, self.path) from error
            raise ReadFailed(disk=self.path, offset=offset, detail=str(error)) from error
        if got < len(view):
            raise self._changed("it has become shorter")
        return got

    def close(self) -> None:
        """Idempotent. The server lets go of the file: what waits to merge or remove it there can go on."""
        if not self._closed:
            self._closed = True
            self._pool.forget(self)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _open(self, *, patient: bool) -> None:
        try:
            self._files._retry(self._pool, self._handle, patient=patient)
        except StatusError as error:
            raise file_error(error.status, self.path) from error

    def _handle(self, channel: Channel) -> bytes:
        if (handle := channel.handles.get(self)) is not None:
            return handle
        try:
            handle, found = channel.open(self._name.name)
        except StatusError as error:
            if self._identity is not None and error.status in MISSING:
                raise self._changed("it was removed or renamed") from error
            raise
        channel.handles[self] = handle
        if self._closed:  # by another thread, which may not have seen this channel
            channel.forget.add(self)
        if self._identity is None:
            self._identity = found
        elif found != self._identity:
            raise self._changed("another file is there now, or it was written to")
        return handle

    def _changed(self, what: str) -> SourceChanged:
        return SourceChanged(path=self.path, what=what, advice="take a new point in time")
