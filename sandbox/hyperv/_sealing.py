"""Messages over HTTP, encrypted by the login of their connection: [MS-WSMV] 2.2.9.1, without TLS and with a service that has
`AllowUnencrypted` off, as Windows has it.
"""

from __future__ import annotations

import re
import struct
from typing import Any, Protocol

BOUNDARY = "Encrypted Boundary"
#: What a message is encrypted by, by the scheme that the connection logged in with.
PROTOCOLS = {
    "Negotiate": "application/HTTP-SPNEGO-session-encrypted",
    "Kerberos": "application/HTTP-Kerberos-session-encrypted",
}
_PART = re.compile(
    rb"--Encrypted Boundary\r\n\tContent-Type: (?P<protocol>[^\r]+)\r\n"
    rb"\tOriginalContent: type=application/soap\+xml;charset=UTF-8;Length=(?P<length>[0-9]+)\r\n"
    rb"--Encrypted Boundary\r\n\tContent-Type: application/octet-stream\r\n"
)
_END = b"--Encrypted Boundary--\r\n"


class NotSealed(ValueError):
    """A body that is none, or that this login did not encrypt."""


class Context(Protocol):
    """Of a login that is done: pyspnego's, or `KerberosContext`."""

    def wrap_winrm(self, data: bytes) -> Any: ...

    def unwrap_winrm(self, header: bytes, data: bytes) -> bytes: ...


class KerberosContext:
    """A context of Python's gssapi, as pyspnego's are."""

    def __init__(self, context: Any) -> None:
        self._context = context

    def wrap_winrm(self, data: bytes) -> tuple[bytes, bytes, int]:
        """Header, data, and how much of it is padding."""
        from gssapi.raw import IOV, IOVBufferType, wrap_iov

        buffers = IOV(IOVBufferType.header, data, IOVBufferType.padding, std_layout=False)
        wrap_iov(self._context, buffers, confidential=True)
        header, body, padding = (each.value or b"" for each in buffers)
        return header, body + padding, len(padding)

    def unwrap_winrm(self, header: bytes, data: bytes) -> bytes:
        from gssapi.raw import IOV, IOVBufferType, unwrap_iov

        buffers = IOV((IOVBufferType.header, False, header), data, IOVBufferType.data, std_layout=False)
        if not unwrap_iov(self._context, buffers).encrypted:
            raise NotSealed
        return buffers[1].value or b""


def unseal(content_type: str, body: bytes, context: Context, scheme: str) -> bytes:
    """The message in a body of one part. Raises NotSealed."""
    protocol = PROTOCOLS[scheme]
    if content_type != f'multipart/encrypted;protocol="{protocol}";boundary="{BOUNDARY}"':
        raise NotSealed
    head = _PART.match(body)
    if head is None or head["protocol"] != protocol.encode() or not body.endswith(_END):
        raise NotSealed
    payload = body[head.end() : -len(_END)]
    if len(payload) < 4 or len(payload) < 4 + (size := struct.unpack("<I", payload[:4])[0]):
        raise NotSealed
    try:
        message = context.unwrap_winrm(payload[4 : 4 + size], payload[4 + size :])
    except Exception as error:  # pyspnego's and gssapi's have no ancestor of their own in common
        raise NotSealed from error
    if len(message) != int(head["length"]):
        raise NotSealed
    return message


def seal(message: bytes, context: Context, scheme: str, piece: int = 0) -> tuple[str, bytes]:
    """Content type and body. `piece`: bytes of a part, where it is sent in several."""
    protocol = PROTOCOLS[scheme]
    body = bytearray()
    for at in range(0, len(message), piece or len(message)):
        header, data, padding = context.wrap_winrm(message[at : at + (piece or len(message))])
        length = min(piece or len(message), len(message) - at) + padding
        body += (
            f"--{BOUNDARY}\r\n\tContent-Type: {protocol}\r\n"
            f"\tOriginalContent: type=application/soap+xml;charset=UTF-8;Length={length}\r\n"
            f"--{BOUNDARY}\r\n\tContent-Type: application/octet-stream\r\n"
        ).encode()
        body += struct.pack("<I", len(header)) + header + data
    return f'multipart/encrypted;protocol="{protocol}";boundary="{BOUNDARY}"', bytes(body + _END)
