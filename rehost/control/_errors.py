"""What the control plane refuses or cannot do.

RehostError
└── ControlError
    ├── DatabaseUnreachable   retryable: the server is away, the file is locked for too long
    ├── DatabaseFull          the disk under the file, or the server's, is full
    ├── DatabaseUnusable      not a database, read-only, newer than this program, an unknown scheme
    ├── Unknown               no such job, run or image
    ├── RunIsOpen             a job has a run that has not ended
    ├── NothingToRetry        the last run of a job has not failed
    ├── PhaseRefused          an application cannot go to that phase from where it stands
    └── ApplicationHeld       retryable: somebody cuts the application over at this moment
"""

from __future__ import annotations

from rehost.errors import RehostError


class ControlError(RehostError):
    """Root of this package's errors."""


class DatabaseUnreachable(ControlError):
    template = "the control plane {database} cannot be reached: {reason}"
    retryable = True


class DatabaseFull(ControlError):
    template = "the control plane {database} cannot grow: {reason}; free space there, then try again. Nothing was lost"
    retryable = True


class DatabaseUnusable(ControlError):
    template = "the control plane {database} cannot be used: {reason}"


class Unknown(ControlError):
    template = "the control plane has no {kind} {id}"


class RunIsOpen(ControlError):
    template = "job {job} has run {run} under way; wait for it, or cancel it"


class NothingToRetry(ControlError):
    template = "the last run of {server} has not failed; `rehost run {server}` starts another one"


class PhaseRefused(ControlError):
    template = "application {application}: {reason}"


class ApplicationHeld(ControlError):
    """`until` moves on while its holder lives."""

    template = "application {application} is cut over by {holder} at this moment"
    retryable = True
