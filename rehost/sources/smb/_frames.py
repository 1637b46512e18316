"""Encrypted messages on a socket: what a session of smbprotocol's is once it is logged in. MS-SMB2 2.1, 2.2.1, 2.2.41.

smbprotocol takes a message apart with some ten copies of it and a thread of its own; here the caller's thread receives into one
buffer and decrypts into another. docs/performance.md has what that is worth.
"""

from __future__ import annotations

import contextlib
import os
import socket
import struct
from dataclasses import dataclass
from typing import Protocol

from cryptography.exceptions import InvalidTag

from rehost.sources.smb._status import ChannelLost

HEADER = 64  # bytes of an SMB2 header
_SEALED = 52  # of a transform header
_TAG = 16
_TRANSFORM = struct.Struct("<4s16s16sIHHQ")  # protocol, signature, nonce, size of the message, reserved, flags, session
_HEADER = struct.Struct("<4sHHIHHIIQIIQ16s")
_ANSWER = struct.Struct("<4sHHIHHIIQ")  # protocol, size, charge, status, command, credits, flags, next, message
_ENCRYPTED = 0x0001


class Cipher(Protocol):
    """`cryptography`'s AESGCM and AESCCM."""

    def encrypt(self, nonce: bytes, data: bytes, associated_data: bytes | None) -> bytes: ...
    def decrypt_into(
        self, nonce: bytes, data: memoryview, associated_data: bytes | None, buf: memoryview
    ) -> int: ...  # raises InvalidTag


@dataclass(frozen=True)
class Answer:
    status: int
    command: int
    message: int
    body: memoryview  # of the message after its header, valid until the next `receive`; offsets in it count from the header


class Frames:
    """One logged-in connection, for one thread at a time. Its socket has a timeout of the kernel's, for each call.

    Raises ChannelLost, after which it must be closed.
    """

    def __init__(
        self,
        connection: socket.socket,
        *,
        sealing: Cipher,
        opening: Cipher,
        nonce_size: int,
        session: int,
        tree: int,
        message: int,
        granted: int,
        room: int,
    ) -> None:
        """`room`: bytes of the longest message that may come. `message`: the next number; `granted`: credits that are free."""
        self._socket = connection
        self._sealing, self._opening, self._nonce_size = sealing, opening, nonce_size
        self._session, self._tree = session, tree
        self._message, self.credits = message, granted
        self._sealed = memoryview(bytearray(room + _TAG))
        self._plain = memoryview(bytearray(room))
        self._head = memoryview(bytearray(4 + _SEALED))

    def send(self, command: int, body: bytes, *, charge: int, want: int) -> int:
        """Send a request that costs `charge` credits and asks for `want`; its number."""
        if charge > self.credits:
            raise ChannelLost(f"the server grants {self.credits} credits where a request takes {charge}")
        number = self._message
        self._message += charge
        self.credits -= charge
        plain = (
            _HEADER.pack(b"\xfeSMB", HEADER, charge, 0, command, want, 0, 0, number, 0, self._tree, self._session, b"")
            + body
        )
        nonce = os.urandom(self._nonce_size)
        transform = _TRANSFORM.pack(b"\xfdSMB", b"", nonce, len(plain), 0, _ENCRYPTED, self._session)
        sealed = self._sealing.encrypt(nonce, plain, transform[20:])
        frame = b"".join(
            (struct.pack(">I", _SEALED + len(plain)), transform[:4], sealed[-_TAG:], transform[20:], sealed[:-_TAG])
        )
        try:
            self._socket.sendall(frame)
        except OSError as error:
            raise ChannelLost(_said(error)) from error
        return number

    def receive(self) -> Answer:
        """The next answer, whichever request it is for; waits no longer than the socket's timeout, twice."""
        self._fill(self._head)
        size = int.from_bytes(self._head[:4], "big") - _SEALED
        protocol, tag, nonce, plain_size, _, flags, session = _TRANSFORM.unpack(self._head[4:])
        if protocol != b"\xfdSMB" or flags != _ENCRYPTED or session != self._session:
            # Also what a server that has forgotten the session says, for it has no key any more. Anybody can say it.
            raise ChannelLost("the server answered without encryption")
        if size != plain_size or not HEADER <= size <= len(self._plain):
            raise ChannelLost(
                f"the server sent a message of {size} bytes where {len(self._plain)} at most were asked for"
            )
        self._fill(self._sealed[:size])
        self._sealed[size : size + _TAG] = tag
        try:
            self._opening.decrypt_into(
                nonce[: self._nonce_size], self._sealed[: size + _TAG], bytes(self._head[24:]), self._plain[:size]
            )
        except InvalidTag as error:
            raise ChannelLost("a message was damaged on its way") from error
        protocol, _, _, status, command, granted, _, after, number = _ANSWER.unpack_from(self._plain)
        if protocol != b"\xfeSMB" or after:
            raise ChannelLost("the server sent a message that was not asked for")
        self.credits += granted
        return Answer(status, command, number, self._plain[HEADER:size])

    def _fill(self, view: memoryview) -> None:
        try:
            got = self._socket.recv_into(view, len(view), socket.MSG_WAITALL)
        except OSError as error:
            raise ChannelLost(_said(error)) from error
        if got < len(view):
            raise ChannelLost("the server closed the connection, or stopped in the middle of an answer")

    def shut(self) -> None:
        """Wake up whoever waits in `send` or `receive`, from another thread."""
        with contextlib.suppress(OSError):  # not connected any more
            self._socket.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self._socket.close()


def _said(error: OSError) -> str:
    if isinstance(error, BlockingIOError):
        return "the server did not answer in time"
    return error.strerror or str(error)
