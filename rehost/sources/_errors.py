"""What can go wrong at the place servers live.

SourceError
├── SourceConfigInvalid   the spec's entry of the source does not fit its type
├── SourceUnavailable     the place itself cannot be reached or listed            (retryable)
├── CredentialsRefused    the place does not take the user's name and password, or the user may not do this
├── CertificateRefused    the place shows a certificate that is not trusted
├── ServerNotRunning      its machine does not run, and cannot be read while it does not
├── CommandRefused        the platform would not carry a command out
├── LocatorInvalid        the spec's locator is not one this source understands, or leads outside of it
├── ServerNotFound        there is no such server
├── ServerUnsuitable      it is there, but no run of it could succeed
├── DiskMissing           a disk of the server is not there
├── DiskUnreadable        it is there, but may not or cannot be read
├── DiskUnsuitable        it can be read, but not replicated: format, size, kind of file
├── PowerImpossible       the source has no power over its servers
├── QuiesceImpossible     the guest cannot be quiesced here and the spec requires it
├── FreezeFailed          the source could not take the point in time               (retryable)
├── SourceChanged         bytes of more than one moment may have been read           (a new run may succeed)
├── FreezeLost            an earlier point in time is gone                           (a new run may succeed)
├── ChangesUnknown        the source cannot say what changed: read everything
└── ReadFailed            one read failed                                         (retryable)
"""

from __future__ import annotations

from rehost.errors import RehostError


class SourceError(RehostError):
    """The root of this package's errors."""


class SourceConfigInvalid(SourceError):
    """Attributes: `detail`."""

    template = "the source's configuration is wrong: {detail}"


class SourceUnavailable(SourceError):
    """Attributes: `place`, `reason`."""

    template = "the source {place} cannot be used: {reason}"
    retryable = True


class CredentialsRefused(SourceError):
    """Attributes: `place`, `reason` (ends with what to do). Not tried again: accounts are locked for that."""

    template = "the source {place} refuses: {reason}"


class CertificateRefused(SourceError):
    """Attributes: `place`, `reason` (ends with what to do)."""

    template = "the certificate of the source {place} is not trusted: {reason}"


class ServerNotRunning(SourceError):
    """Attributes: `name`, `reason`."""

    template = "the server {name} is not running: {reason}"


class CommandRefused(SourceError):
    """Attributes: `place`, `command`, `reason` (in the platform's own words), `kind` (its class of error)."""

    template = "{place} refused {command}: {reason}"


class LocatorInvalid(SourceError):
    """Attributes: `locator` (as the spec has it), `reason`."""

    template = "the locator {locator} does not work: {reason}"


class ServerNotFound(SourceError):
    """Attributes: `name`, `place`, `hint`."""

    template = "there is no server {name!r} in {place}; {hint}"


class ServerUnsuitable(SourceError):
    """Attributes: `name`, `problems` (each with what to do)."""

    template = "the server {name} cannot be replicated: {problems}"


class DiskMissing(SourceError):
    """Attributes: `path`."""

    template = "the disk {path} does not exist; correct the server's locator or put the file there"


class DiskUnreadable(SourceError):
    """Attributes: `path`, `reason`."""

    template = "the disk {path} cannot be read: {reason}"


class DiskUnsuitable(SourceError):
    """Attributes: `path`, `reason` (ends with what to do)."""

    template = "the disk {path} cannot be replicated: {reason}"


class PowerImpossible(SourceError):
    """Attributes: `name`, `reason` (ends with what to do)."""

    template = "{name} cannot be powered on or off: {reason}"


class QuiesceImpossible(SourceError):
    """Attributes: `detail`."""

    template = "quiesce is required but not possible: {detail}"


class FreezeFailed(SourceError):
    """Attributes: `server`, `reason`. Nothing is left of the attempt; another one may succeed."""

    template = "no point in time of {server} could be taken: {reason}"
    retryable = True


class SourceChanged(SourceError):
    """Attributes: `path`, `what` (changed), `advice`. Reading on does not help; a new run may."""

    template = "{path} changed while its point in time was needed ({what}); {advice}"


class FreezeLost(SourceError):
    """Attributes: `detail`. Asking again does not help; a new run takes a new point in time."""

    template = "the point in time is gone: {detail}; a new run takes another"


class ChangesUnknown(SourceError):
    """Attributes: `disk`, `reason`. The caller reads what is allocated and sends what differs."""

    template = "what changed on disk {disk} is not known: {reason}; the whole disk is read"


class ReadFailed(SourceError):
    """Attributes: `disk`, `offset` (bytes), `detail`. The same read may succeed."""

    template = "disk {disk}: reading at byte {offset} failed: {detail}"
    retryable = True
