"""A client for Network Block Device servers, reading only: qemu-nbd, QEMU's own server, nbdkit."""

from rehost.sources.nbd._client import NbdClient
from rehost.sources.nbd._errors import (
    NbdError,
    NbdProtocolError,
    NbdRefused,
    NbdRequestFailed,
    NbdTimeout,
    NbdUnavailable,
)
from rehost.sources.nbd._wire import Address

__all__ = [
    "Address",
    "NbdClient",
    "NbdError",
    "NbdProtocolError",
    "NbdRefused",
    "NbdRequestFailed",
    "NbdTimeout",
    "NbdUnavailable",
]
