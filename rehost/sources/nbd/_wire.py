"""Numbers and structures of the NBD protocol, and a socket that keeps deadlines.

Source: https://github.com/NetworkBlockDevice/nbd/blob/master/doc/proto.md; all integers are big-endian.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeAlias

from rehost.sources.nbd._errors import NbdProtocolError, NbdTimeout, NbdUnavailable

#: A unix socket's path, or host and port.
Address: TypeAlias = Path | tuple[str, int]

MAGIC = 0x4E42444D41474943  # "NBDMAGIC"
OPTION_MAGIC = 0x49484156454F5054  # "IHAVEOPT"
OPTION_REPLY_MAGIC = 0x3E889045565A9
REQUEST_MAGIC = 0x25609513
SIMPLE_REPLY_MAGIC = 0x67446698
STRUCTURED_REPLY_MAGIC = 0x668E33EF

FLAG_FIXED_NEWSTYLE = 1
FLAG_NO_ZEROES = 2

OPT_GO = 7
OPT_STRUCTURED_REPLY = 8
OPT_SET_META_CONTEXT = 10

REP_ACK = 1
REP_INFO = 3
REP_META_CONTEXT = 4
REP_ERROR = 1 << 31

INFO_EXPORT = 0
INFO_BLOCK_SIZE = 3

CMD_READ = 0
CMD_DISC = 2
CMD_BLOCK_STATUS = 7

CHUNK_DONE = 1
CHUNK_NONE = 0
CHUNK_DATA = 1
CHUNK_HOLE = 2
CHUNK_BLOCK_STATUS = 5
CHUNK_ERROR = 1 << 15

REQUEST = struct.Struct("!IHHQQI")  # magic, flags, command, handle, offset, length
SIMPLE_REPLY = struct.Struct("!IQ")  # error, handle (after the magic)
CHUNK = struct.Struct("!HHQI")  # flags, type, handle, length (after the magic)
OPTION = struct.Struct("!QII")  # magic, option, length
OPTION_REPLY = struct.Struct("!QIII")  # magic, option, type, length

ERRORS = {
    1: errno.EPERM,
    5: errno.EIO,
    12: errno.ENOMEM,
    22: errno.EINVAL,
    28: errno.ENOSPC,
    75: errno.EOVERFLOW,
    95: errno.EOPNOTSUPP,
    108: errno.ESHUTDOWN,
}


def error_text(number: int) -> str:
    return os.strerror(ERRORS[number]) if number in ERRORS else f"error {number}"


@dataclass(frozen=True, slots=True)
class Place:
    """Which server and export, for messages."""

    address: Address
    export: str

    def __str__(self) -> str:
        at = str(self.address) if isinstance(self.address, Path) else f"{self.address[0]}:{self.address[1]}"
        return f"{at} (export {self.export!r})"


class Deadline(Protocol):
    def __call__(self) -> float:
        """When what is waited for has to be there, as `time.monotonic` counts; it may change while one waits."""


class Wire:
    """A connected socket whose every wait ends at a deadline. Receiving and sending may each be one thread's at a time."""

    def __init__(self, place: Place, timeout: float) -> None:
        """Connect. `timeout` is in seconds, for this and for each wait. Raises NbdUnavailable or NbdTimeout."""
        self.place, self.timeout = place, timeout
        unix = isinstance(place.address, Path)
        self._socket = socket.socket(socket.AF_UNIX) if unix else None
        try:
            if self._socket is None:
                self._socket = socket.create_connection(place.address, timeout)  # type: ignore[arg-type]
                self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            else:
                self._socket.settimeout(timeout)
                self._socket.connect(str(place.address))
        except TimeoutError:
            self.close()
            raise NbdTimeout(where=place, what="connecting", seconds=timeout) from None
        except OSError as error:
            self.close()
            raise NbdUnavailable(where=place, reason=error.strerror or str(error)) from error

    def send(self, data: bytes) -> None:
        """Raises NbdUnavailable."""
        assert self._socket is not None  # noqa: S101  # connected by __init__
        try:
            self._socket.sendall(data)
        except OSError as error:
            raise NbdUnavailable(where=self.place, reason=error.strerror or str(error)) from error

    def receive_into(self, buffer: memoryview, deadline: Deadline, what: str) -> None:
        """Fill `buffer`. Raises NbdTimeout, NbdUnavailable."""
        assert self._socket is not None  # noqa: S101  # connected by __init__
        done = 0
        while done < len(buffer):
            left = deadline() - time.monotonic()
            if left <= 0:
                raise NbdTimeout(where=self.place, what=what, seconds=self.timeout)
            try:
                self._socket.settimeout(left)
                got = self._socket.recv_into(buffer[done:])
            except TimeoutError:
                continue  # the deadline may have moved; else the loop's next turn says so
            except OSError as error:
                raise NbdUnavailable(where=self.place, reason=error.strerror or str(error)) from error
            if got == 0:
                raise NbdUnavailable(where=self.place, reason="it closed the connection")
            done += got

    def receive(self, length: int, deadline: Deadline, what: str, *, limit: int = 1 << 16) -> bytes:
        """`length` bytes; more than `limit` is a server that lies. Raises NbdProtocolError too."""
        if length > limit:
            raise NbdProtocolError(where=self.place, detail=f"{what} of {length} bytes")
        buffer = bytearray(length)
        with memoryview(buffer) as view:
            self.receive_into(view, deadline, what)
        return bytes(buffer)

    def close(self) -> None:
        """Any thread may; whoever waits in another one is woken."""
        if self._socket is not None:
            with suppress(OSError):  # not connected, or no longer
                self._socket.shutdown(socket.SHUT_RDWR)
            self._socket.close()
