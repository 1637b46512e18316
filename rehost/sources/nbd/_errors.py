"""What can go wrong between us and an NBD server. Callers translate these into their source's errors.

NbdError
├── NbdUnavailable     nobody answers there, or the connection broke              (retryable)
├── NbdTimeout         the server did not answer in time                          (retryable)
├── NbdRefused         the server will not do it: no such export, no such context
├── NbdProtocolError   the server said what the protocol does not allow           (retryable, over a new connection)
└── NbdRequestFailed   the server could not carry one request out                 (retryable)
"""

from __future__ import annotations

from rehost.errors import RehostError


class NbdError(RehostError):
    """The root; `where` is the server's address and export in all of them."""


class NbdUnavailable(NbdError):
    """Attributes: `where`, `reason`."""

    template = "the NBD server {where} cannot be reached: {reason}"
    retryable = True


class NbdTimeout(NbdError):
    """Attributes: `where`, `what`, `seconds`."""

    template = "the NBD server {where} did not answer within {seconds:g} s ({what})"
    retryable = True


class NbdRefused(NbdError):
    """Attributes: `where`, `what`, `reason`."""

    template = "the NBD server {where} refused {what}: {reason}"


class NbdProtocolError(NbdError):
    """Attributes: `where`, `detail`. The connection is of no more use."""

    template = "the NBD server {where} broke the protocol: {detail}"
    retryable = True


class NbdRequestFailed(NbdError):
    """Attributes: `where`, `what`, `reason`. The connection goes on."""

    template = "the NBD server {where} failed {what}: {reason}"
    retryable = True
