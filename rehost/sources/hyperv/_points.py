"""Points in time on the host: recovery checkpoints, which hold a moment's disks, and reference points, which later changes
are counted from.

A run makes its reference point just before its checkpoint. So the changes since the one are those since the other and a few
more, which are read for nothing; and the run's position is known when it begins, though the checkpoint goes when it ends.
Which of them is needed no longer, the connector says when it has a run's copy (`HyperVSource.forget`).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import structlog

from rehost.sources._errors import FreezeFailed, QuiesceImpossible, SourceError, SourceUnavailable
from rehost.sources._protocol import Consistency, Power, Quiesce
from rehost.sources.hyperv import _names
from rehost.sources.hyperv._errors import ScriptFailed, TooSlow, told
from rehost.sources.hyperv._host import Host
from rehost.sources.hyperv._inventory import CheckpointRecord, MachineRecord, Slot, checkpoint, power_of
from rehost.sources.hyperv._names import Note

log = structlog.get_logger("rehost.sources.hyperv")

#: A checkpoint of ours that is older belongs to nobody any more: no run takes that long to be taken up again.
STALE = 24 * 3600.0  # seconds
#: Build of Windows Server 2016, the first with recovery checkpoints of this kind and Resilient Change Tracking.
TRACKING_BUILD = 14393
#: The first configuration version with them (8.0 is Windows Server 2016's own, 5.0 that of 2012 R2).
_TRACKING_VERSION = (6, 2)
#: At most so many reference points of ours a machine; first runs that fail one after the other leave one each.
MOST = 8
_APPLICATION, _CRASH, _STANDARD = 1, 2, 0
#: (machine, run) of checkpoints whose script this process lost sight of: they may appear yet.
_given_up: set[tuple[str, str]] = set()
_POLL = 0.25  # seconds, growing
_SLOWEST_POLL = 5.0
_LOG_EVERY = 60.0


@dataclass(frozen=True)
class Points:
    """What `points.ps1` tells of a machine."""

    power: Power
    merging: bool
    snapshotting: bool  # a checkpoint is being taken
    checkpoints: Sequence[CheckpointRecord]
    references: Mapping[str, Mapping[str, str]]  # of whoever: id -> WMI's id of a disk -> its tracking id
    slots: Mapping[str, Slot]  # where the disk with an id of WMI's is attached
    notes: Sequence[Note]  # ours

    def of(self, run: str) -> CheckpointRecord | None:
        return next((each for each in self.checkpoints if run_of(each) == run), None)

    def note(self, run: str) -> Note | None:
        return next((each for each in self.notes if each.run == run), None)

    def tracking(self, run: str) -> dict[Slot, tuple[str, str]]:
        """By slot: (tracking id, WMI's id of the disk), as the reference point of `run` has them; empty where there is none."""
        note = self.note(run)
        found = self.references.get(note.reference, {}) if note else {}
        return {
            self.slots[disk]: (tracking, disk) for disk, tracking in found.items() if disk in self.slots and tracking
        }


def tracks(machine: MachineRecord) -> bool:
    """Whether its host and its configuration version know recovery checkpoints and Resilient Change Tracking."""
    version = tuple(int(part) for part in machine.version.split(".") if part.isdigit())
    return machine.build >= TRACKING_BUILD and (not version or version >= _TRACKING_VERSION)


def run_of(each: CheckpointRecord) -> str | None:
    parsed = _names.parse_checkpoint(each.name)
    return parsed[0] if parsed else None


def read(host: Host, machine: str) -> Points:
    told = host.run("points", Id=machine)
    by_path = {str(each["path"]).lower(): Slot.of(each) for each in _each(told, "disks") if each.get("path")}
    drives = {str(each["id"]): str(each.get("path") or "").lower() for each in _each(told, "drives")}
    return Points(
        power=power_of(str(told.get("state") or "")),
        merging="MergingDisks" in _each(told, "status"),
        snapshotting="CreatingSnapshot" in _each(told, "status"),
        checkpoints=[checkpoint(each) for each in _each(told, "checkpoints")],
        references={
            str(each["id"]): dict(zip(_each(each, "disks"), _each(each, "tracking"), strict=False))
            for each in _each(told, "references")
        },
        slots={disk: by_path[path] for disk, path in drives.items() if path in by_path},
        notes=_names.parse_notes(told.get("notes")),
    )


def _each(told: Mapping[str, Any], key: str) -> list[Any]:
    """A list of an answer; null, and nulls in it, are nothing."""
    return [each for each in told.get(key) or () if each is not None]


def begin_tracking(host: Host, machine: MachineRecord, points: Points, run: str) -> bool:
    """Make a reference point for `run`; False where there cannot be one, which is logged: the run works without."""
    if not tracks(machine):
        return False
    try:
        _make_room(host, machine.id, points, run)
        host.run("reference", Id=machine.id, Note=_names.note_name(run))
    except ScriptFailed as error:
        log.warning("changes are not tracked: each run reads whole disks", server=machine.name, reason=str(error))
        return False
    return True


def end_tracking(host: Host, machine: str, note: Note) -> None:
    """Destroy the reference point of a note, and the note. One that is gone is fine."""
    host.run("forget", Id=machine, Note=_names.note_name(note.run), Reference=note.reference)


def take(host: Host, machine: MachineRecord, power: Power, *, run: str, quiesce: Quiesce) -> Points:
    """Take a checkpoint for `run`, as consistent as is asked for and can be had; what there is then, it among them.

    Raises FreezeFailed, QuiesceImpossible.
    """
    tries = _tries(machine, power, quiesce)
    reason = ""
    for level, consistency in tries:
        name = _names.checkpoint_name(run, consistency)
        try:
            answer = host.run("checkpoint", Id=machine.id, Name=name, Level=level)
        except ScriptFailed as error:
            reason = str(error.attributes["reason"])
        except SourceUnavailable:
            _given_up.add((machine.id, run))
            raise
        else:
            reason = told(str(answer["failed"]), int(answer["code"])) if answer["failed"] else ""
        if not reason:
            found = read(host, machine.id)
            if found.of(run) is None:
                raise FreezeFailed(server=machine.name, reason="its checkpoint was removed as soon as it was made")
            return found
        if level == _APPLICATION and quiesce is Quiesce.REQUIRE:
            detail = f"{host.name} could not quiesce {machine.name}: {reason}"
            raise QuiesceImpossible(detail=detail)
        log.warning("no checkpoint could be taken", server=machine.name, wanted=consistency.value, reason=reason)
    raise FreezeFailed(server=machine.name, reason=reason)


def _tries(machine: MachineRecord, power: Power, quiesce: Quiesce) -> list[tuple[int, Consistency]]:
    standard = not tracks(machine)
    if power is Power.OFF:
        return [(_STANDARD if standard else _CRASH, Consistency.OFFLINE)]
    if quiesce is Quiesce.REQUIRE and (standard or power is not Power.ON):
        what = (
            "its host or its configuration version is too old for production checkpoints"
            if standard
            else "it does not run, and keeps its memory"
        )
        detail = f"{machine.name} cannot be quiesced: {what}; shut it down, or set `quiesce: try`"
        raise QuiesceImpossible(detail=detail)
    if standard:
        return [(_STANDARD, Consistency.CRASH)]
    crash = [(_CRASH, Consistency.CRASH)]
    if quiesce is Quiesce.NONE or power is not Power.ON:
        return crash
    application = (_APPLICATION, Consistency.FILESYSTEM)
    return [application] if quiesce is Quiesce.REQUIRE else [application, *crash]


def remove(host: Host, machine: str, each: CheckpointRecord, *, timeout: float) -> None:
    """Remove a checkpoint of ours, and wait until its disks are merged. Raises TooSlow, ScriptFailed; a retry is safe."""
    host.run("remove", Id=machine, Checkpoint=each.id, Name=each.name)
    wait_merged(host, machine, timeout=timeout)


def remove_all(host: Host, machine: str, run: str, *, timeout: float) -> None:
    """Remove the checkpoint of a run; there are two where a connection broke while it was taken, and it was taken again."""
    for each in read(host, machine).checkpoints:
        if run_of(each) == run:
            remove(host, machine, each, timeout=timeout)


def wait_merged(host: Host, machine: str, *, timeout: float) -> None:
    _wait(host, machine, lambda points: points.merging, f"merging the disks of {machine}", timeout)


def settled(host: Host, machine: str, *, timeout: float) -> Points:
    """What there is once no checkpoint is being taken: by a script of ours whose connection was lost, or by somebody else."""
    return _wait(host, machine, lambda points: points.snapshotting, f"taking a checkpoint of {machine}", timeout)


def _wait(host: Host, machine: str, busy: Callable[[Points], bool], what: str, timeout: float) -> Points:
    begun = time.monotonic()
    delay, logged = _POLL, begun
    while busy(points := read(host, machine)):
        now = time.monotonic()
        if now - begun > timeout:
            raise TooSlow(task=f"{what} on {host.name}", seconds=timeout)
        if now - logged > _LOG_EVERY:
            logged = now
            log.info("waiting", task=what, host=host.name, seconds=round(now - begun))
        time.sleep(delay)
        delay = min(delay * 1.5, _SLOWEST_POLL)
    return points


def remove_stale(host: Host, machine: MachineRecord, points: Points, run: str, *, timeout: float) -> None:
    """Remove checkpoints that other runs of ours have left behind: long ago, or after this process lost sight of them."""
    for each in points.checkpoints:
        other = run_of(each)
        given_up = (machine.id, other) in _given_up
        if other is not None and other != run and (given_up or time.time() - each.created > STALE):
            log.warning("removing a checkpoint that an earlier run left behind", checkpoint=each.name, run=other)
            try:
                remove(host, machine.id, each, timeout=timeout)
                note = points.note(other)
                if given_up and note is not None:
                    end_tracking(host, machine.id, note)
                _given_up.discard((machine.id, other))
            except SourceError as error:
                log.warning(
                    "it cannot be removed yet; the next run tries again", checkpoint=each.name, reason=str(error)
                )


def _make_room(host: Host, machine: str, points: Points, run: str) -> None:
    """Remove what this very run left when it was interrupted, what has lost its reference point, and the oldest beyond `MOST`."""
    keep = []
    for each in points.notes:
        if each.run == run or each.reference not in points.references:
            end_tracking(host, machine, each)
        else:
            keep.append(each)
    for each in keep[: max(0, len(keep) - MOST + 1)]:
        end_tracking(host, machine, each)
