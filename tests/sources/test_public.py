"""What the package promises: its names, and errors that survive pickle."""

from __future__ import annotations

import pickle

import pytest

import rehost.sources as sources
from rehost.errors import RehostError
from rehost.sources import SourceError, _errors
from rehost.sources.azure import _errors as _azure_errors
from rehost.sources.vsphere import _errors as _vsphere_errors

PUBLIC = """
SOURCE_TYPES CertificateRefused ChangePosition ChangesUnknown CommandRefused Concern Consistency CredentialsRefused
DiscoveredDisk DiscoveredServer DiskMissing DiskUnreadable DiskUnsuitable FreezeFailed FreezeLost FrozenDisk
FrozenServer ImagesSource Locator LocatorInvalid MemorySource Power PowerImpossible QemuSource Quiesce
QuiesceImpossible ReadFailed ServerNotFound ServerNotRunning ServerUnsuitable Severity Source SourceChanged SourceConfigInvalid SourceError
SourceUnavailable Tidy open_source
"""


def test_the_public_names() -> None:
    assert sources.__all__ == PUBLIC.split()
    assert all(hasattr(sources, name) for name in sources.__all__)


ERRORS: list[SourceError] = [
    sources.SourceConfigInvalid(detail="no path"),
    sources.SourceUnavailable(place="dc1", reason="refused"),
    sources.CredentialsRefused(place="dc1", reason="wrong password"),
    sources.CertificateRefused(place="dc1", reason="self-signed"),
    sources.ServerNotRunning(name="a", reason="no socket"),
    sources.CommandRefused(place="a", command="transaction", reason="busy", kind="GenericError"),
    sources.LocatorInvalid(locator={"nme": "a"}, reason="give its name"),
    sources.ServerNotFound(name="a", place="dc1", hint="known: b"),
    sources.ServerUnsuitable(name="a", problems="no disks"),
    sources.DiskMissing(path="a.raw"),
    sources.DiskUnreadable(path="a.raw", reason="denied"),
    sources.DiskUnsuitable(path="a.raw", reason="empty"),
    sources.PowerImpossible(name="a", reason="a folder of images"),
    sources.QuiesceImpossible(detail="no agent"),
    sources.FreezeFailed(server="a", reason="no space"),
    sources.SourceChanged(path="a.raw", what="written", advice="stop it"),
    sources.FreezeLost(detail="gone"),
    sources.ChangesUnknown(disk="sda", reason="reset"),
    sources.ReadFailed(disk="sda", offset=512, detail="EIO"),
]
VSPHERE_ERRORS: list[SourceError] = [
    _vsphere_errors.TaskFailed(task="a snapshot", fault="FileLocked", reason="locked"),
    _vsphere_errors.TaskTimedOut(task="a snapshot", seconds=3.0),
    _vsphere_errors.ObjectGone(object="vm-1"),
    _vsphere_errors.FlatFileMissing(path="[ds] a/a.vmdk", reason="vSAN"),
]


AZURE_ERRORS: list[SourceError] = [
    _azure_errors.CallRefused(doing="taking a snapshot", code="QuotaExceeded", reason="too many"),
    _azure_errors.OperationTimedOut(doing="taking a snapshot", seconds=3.0),
    _azure_errors.ResourceGone(doing="asking for a disk", resource="web-01-os"),
]


@pytest.mark.parametrize("error", ERRORS + VSPHERE_ERRORS + AZURE_ERRORS, ids=lambda error: type(error).__name__)
def test_errors_survive_pickle(error: SourceError) -> None:
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is type(error)
    assert (str(again), again.attributes, again.retryable) == (str(error), error.attributes, error.retryable)


def test_every_error_is_in_the_list_above() -> None:
    classes = {each for each in vars(_errors).values() if isinstance(each, type) and issubclass(each, RehostError)}
    assert classes - {RehostError, SourceError} == {type(error) for error in ERRORS}


def test_retryable_are_those_that_the_tree_says() -> None:
    marked = {line.split()[1] for line in str(_errors.__doc__).splitlines() if line.endswith("(retryable)")}
    assert {type(error).__name__ for error in ERRORS if error.retryable} == marked
