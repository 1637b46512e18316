"""Snapshots of machines: found again by name, taken, removed, and the disks of removed ones consolidated."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import structlog
from pyVmomi import vim

from rehost.sources._errors import FreezeFailed, QuiesceImpossible, SourceError, SourceUnavailable
from rehost.sources._protocol import Quiesce
from rehost.sources.vsphere._client import Client
from rehost.sources.vsphere._errors import ObjectGone, TaskFailed, TaskTimedOut
from rehost.sources.vsphere._inventory import MachineRecord, SnapshotEntry, retrieve, snapshots
from rehost.sources.vsphere._names import description, run_of, snapshot_name

log = structlog.get_logger("rehost.sources.vsphere")

#: A snapshot of ours that is older belongs to nobody any more: no run takes that long to be taken up again.
STALE = 24 * 3600.0  # seconds

#: (vCenter's place, run) of snapshots that were given up by this process, and may appear yet.
_given_up: set[tuple[str, str]] = set()

#: Seconds between attempts to remove a snapshot or to consolidate: a backup or a migration may hold the machine for a while.
REMOVE_DELAYS = (0.5, 2.0, 8.0)

#: Faults of CreateSnapshot that mean that the guest could not be quiesced, not that no snapshot can be taken.
_QUIESCE_FAULTS = frozenset(
    {"ApplicationQuiesceFault", "FilesystemQuiesceFault", "SnapshotCopyNotSupported", "ToolsUnavailable"}
)


def listed(client: Client, machine: Any) -> list[SnapshotEntry]:
    return list(
        snapshots(retrieve(client, machine, ["snapshot.rootSnapshotList"]).get("snapshot.rootSnapshotList") or ())
    )


def ours(entries: Sequence[SnapshotEntry], run: str) -> SnapshotEntry | None:
    return next((each for each in entries if run_of(each) == run), None)


def take(client: Client, machine: MachineRecord, *, run: str, quiesce: Quiesce) -> SnapshotEntry:
    """A snapshot for `run`; the guest's file systems are quiesced where that is asked for and can be done.

    Raises FreezeFailed, QuiesceImpossible.
    """
    target = client.managed(vim.VirtualMachine, machine.moref)
    can_quiesce = machine.powered_on and machine.tools_running
    if quiesce is Quiesce.REQUIRE and machine.power != "poweredOff" and not can_quiesce:
        what = "VMware Tools do not run in" if machine.powered_on else "nobody can be asked in the suspended"
        detail = f"{what} {machine.name}; start them, or set `quiesce: try`"
        raise QuiesceImpossible(detail=detail)
    wanted = quiesce is not Quiesce.NONE and can_quiesce
    try:
        _create(client, target, machine, run, quiesce=wanted)
    except TaskFailed as error:
        if not wanted or error.fault not in _QUIESCE_FAULTS:
            _remove_late(client, target, run)
            raise FreezeFailed(server=machine.name, reason=f"{error.reason} ({error.fault})") from error
        if quiesce is Quiesce.REQUIRE:
            detail = f"the tools of {machine.name} could not quiesce it: {error.reason}"
            raise QuiesceImpossible(detail=detail) from error
        log.warning("the guest could not be quiesced; going on without", server=machine.name, reason=error.reason)
        _retry_unquiesced(client, target, machine, run)
    entry = ours(listed(client, target), run)
    if entry is None:
        raise FreezeFailed(server=machine.name, reason="its snapshot was removed as soon as it was made")
    if quiesce is Quiesce.REQUIRE and machine.powered_on and not entry.quiesced:
        remove(client, target, entry.moref, timeout=client.config.snapshot_timeout)
        raise QuiesceImpossible(detail=f"vCenter took the snapshot of {machine.name} without quiescing it")
    return entry


def _create(client: Client, target: Any, machine: MachineRecord, run: str, *, quiesce: bool) -> None:
    task = client.call(
        lambda: target.CreateSnapshot_Task(
            name=snapshot_name(run), description=description(run), memory=False, quiesce=quiesce
        ),
        f"taking a snapshot of {machine.name}",
    )
    try:
        client.wait(task, f"the snapshot of {machine.name}", timeout=client.config.snapshot_timeout)
    except TaskTimedOut as error:
        _given_up.add((client.config.place, run))
        _cancel(client, task)
        _remove_late(client, target, run)
        raise FreezeFailed(server=machine.name, reason=str(error)) from error


def _retry_unquiesced(client: Client, target: Any, machine: MachineRecord, run: str) -> None:
    try:
        _create(client, target, machine, run, quiesce=False)
    except TaskFailed as error:
        _remove_late(client, target, run)
        raise FreezeFailed(server=machine.name, reason=f"{error.reason} ({error.fault})") from error


def _cancel(client: Client, task: Any) -> None:
    try:
        client.call(task.CancelTask, "cancelling a snapshot")
    except SourceError as error:
        log.info("the snapshot's task cannot be cancelled", reason=str(error))


def _remove_late(client: Client, target: Any, run: str) -> None:
    """Remove what a failed attempt has left after all. One that appears later still is found by the next run."""
    try:
        entry = ours(listed(client, target), run)
        if entry is not None:
            remove(client, target, entry.moref, timeout=client.config.snapshot_timeout)
    except SourceError as error:
        log.warning("what a failed snapshot left is not removed yet; the next run does it", reason=str(error))


def remove(client: Client, machine: Any, snapshot: str, *, timeout: float) -> None:
    """Remove a snapshot and consolidate; one that is gone already is fine. Raises SourceUnavailable after some attempts."""
    target = client.managed(vim.vm.Snapshot, snapshot)
    last: SourceError | None = None
    for delay in (*REMOVE_DELAYS, None):
        try:
            task = client.call(
                lambda: target.RemoveSnapshot_Task(removeChildren=False, consolidate=True), "removing a snapshot"
            )
            client.wait(task, "the removal of a snapshot", timeout=timeout)
            break
        except ObjectGone:
            break
        except (TaskFailed, TaskTimedOut) as error:
            last = error
            log.warning("a snapshot cannot be removed yet", snapshot=snapshot, reason=str(error))
        if delay is None:
            advice = "remove it in the vSphere Client; the next run tries again"
            raise SourceUnavailable(place=client.config.place, reason=f"snapshot {snapshot} stays: {last}; {advice}")
        time.sleep(delay)
    consolidate(client, machine, timeout=timeout)


def consolidate(client: Client, machine: Any, *, timeout: float) -> bool:
    """Consolidate the machine's disks if that is needed; False where it is still needed afterwards, which is logged.

    Nothing that was read is wrong for it: the deltas cost space and speed, and the next run tries again.
    """
    for delay in (*REMOVE_DELAYS, None):
        try:
            needed = retrieve(client, machine, ["runtime.consolidationNeeded"]).get(
                "runtime.consolidationNeeded", False
            )
            if not needed:
                return True
            task = client.call(machine.ConsolidateVMDisks_Task, "consolidating disks")
            client.wait(task, "the consolidation of disks", timeout=timeout)
        except ObjectGone:
            return True
        except (TaskFailed, TaskTimedOut) as error:
            log.warning("the disks are not consolidated yet", machine=machine._moId, reason=str(error))
        if delay is not None:
            time.sleep(delay)
    log.warning("the disks need a consolidation still; the next run tries again", machine=machine._moId)
    return False


def remove_stale(client: Client, machine: Any, entries: Sequence[SnapshotEntry], run: str, now: float) -> bool:
    """Remove snapshots that other runs of ours have left behind: long ago, or after this process gave them up. True if there were any."""
    found = False
    for entry in entries:
        other = run_of(entry)
        given_up = (client.config.place, str(other)) in _given_up
        if other is not None and other != run and (given_up or now - entry.created > STALE):
            log.warning("removing a snapshot that an earlier run left behind", snapshot=entry.name, run=other)
            remove(client, machine, entry.moref, timeout=client.config.snapshot_timeout)
            found = True
    return found
