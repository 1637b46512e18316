"""Taking a point in time of a running machine: all of its disks in one transaction of QEMU.

For each disk a scratch file is laid over it, empty at first; from the transaction on, QEMU copies there what the guest is
about to overwrite (`blockdev-backup` with `sync: none`). So the scratch file, with the disk behind it, reads as the disk was.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from rehost.sources._errors import (
    CommandRefused,
    FreezeLost,
    QuiesceImpossible,
    SourceError,
    SourceUnavailable,
)
from rehost.sources._protocol import Consistency, Quiesce
from rehost.sources.qemu import _agent, _bitmaps, _disks, _names
from rehost.sources.qemu._clear import clear, serves
from rehost.sources.qemu._disks import Disk
from rehost.sources.qemu._frozen import FrozenMachine, Moment, reopen
from rehost.sources.qemu._machines import Machine
from rehost.sources.qemu._monitor import Monitor
from rehost.sources.qemu._power import holds_frozen, is_off
from rehost.sources.qemu._scratch import Note, Scratch

_MIN_ROOM = 1 << 30  # bytes that must be free in the scratch folder, or as many as the disks have
_CREATE_SECONDS = 30.0
_THAW_ATTEMPTS = 3


def freeze(machine: Machine, scratch: Scratch, *, quiesce: Quiesce, run: str) -> FrozenMachine:
    """The point in time of `run`: the one that it took before, if that still stands. Raises SourceError."""
    scratch.prepare()
    freezing = scratch.lock_freezing()
    try:
        note = scratch.note()
        if note is not None and note.run == run and note.token is not None:
            with suppress(FreezeLost):
                return reopen(machine, scratch, Moment.parse(note.token))
        elif note is not None:
            scratch.check_unused(note.run)
        with machine.session() as monitor:
            clear(monitor, machine, scratch)
            try:
                moment = _freeze(monitor, machine, scratch, quiesce, run)
            except BaseException:
                with suppress(SourceError):
                    clear(monitor, machine, scratch)
                raise
        return FrozenMachine(machine, scratch, moment, scratch.lock_using(run))
    finally:
        freezing.close()


def _freeze(monitor: Monitor, machine: Machine, scratch: Scratch, quiesce: Quiesce, run: str) -> Moment:
    disks = _disks.inventory(monitor).disks
    _disks.check(machine.name, disks)
    _check_room(scratch, disks)
    scratch.write_note(Note(run))
    _start_server(monitor, machine, scratch)
    for index, disk in enumerate(disks):
        _bitmaps.make_room(monitor, disk, run)
        _add_scratch(monitor, scratch, disk, run, index)
    actions: list[dict[str, Any]] = []
    for index, disk in enumerate(disks):
        actions += [_bitmaps.add_action(disk, run), _backup_action(disk, run, index)]
    try:
        consistency = _point_in_time(monitor, machine, scratch, quiesce, run, actions)
        for index in range(len(disks)):
            _add_export(monitor, run, index)
        moment = Moment(machine.name, run, consistency, tuple(disks))
        scratch.write_note(Note(run, moment.token))
    except BaseException:
        with suppress(SourceError):
            for disk in disks:
                _bitmaps.make_room(monitor, disk, run)  # takes this run's own bitmap away again
        raise
    return moment


def _check_room(scratch: Scratch, disks: Sequence[Disk]) -> None:
    wanted = min(_MIN_ROOM, sum(disk.size for disk in disks))
    room = scratch.room()
    if room < wanted:
        reason = (
            f"its scratch folder {scratch.folder} has {room >> 20} MiB left and needs {wanted >> 20}: what the guest "
            "overwrites during a run goes there; make room, or set another `scratch`"
        )
        raise SourceUnavailable(place=scratch.stem.removeprefix(_names.PREFIX), reason=reason)


def _start_server(monitor: Monitor, machine: Machine, scratch: Scratch) -> None:
    if serves(scratch):
        return
    address = {"type": "unix", "data": {"path": str(scratch.socket)}}
    try:
        monitor.execute("nbd-server-start", addr=address)
    except CommandRefused as refused:
        reason = f"QEMU would not start its NBD server at {scratch.socket}: {refused.reason}"
        if "already" in refused.reason:
            reason = "somebody else (a backup tool?) uses QEMU's one NBD server; let it finish, or `nbd-server-stop` it"
        raise SourceUnavailable(place=machine.name, reason=reason) from refused


def _add_scratch(monitor: Monitor, scratch: Scratch, disk: Disk, run: str, index: int) -> None:
    """QEMU makes the file itself, so that it is the one who may use it."""
    path, file, top = scratch.disk(run, index), _names.node(run, index, "f"), _names.node(run, index, "s")
    _create(monitor, run, {"driver": "file", "filename": str(path), "size": 0})
    monitor.execute("blockdev-add", driver="file", node_name=file, filename=str(path))
    _create(monitor, run, {"driver": "qcow2", "file": file, "size": disk.size})
    monitor.execute("blockdev-add", driver="qcow2", node_name=top, file=file, backing=disk.node)


def _create(monitor: Monitor, run: str, options: dict[str, Any]) -> None:
    job = _names.job(run, 0) + "-create"
    monitor.execute("blockdev-create", job_id=job, options=options)
    deadline = time.monotonic() + _CREATE_SECONDS
    while True:
        state = next(each for each in monitor.execute("query-jobs") if each["id"] == job)
        if state["status"] == "concluded":
            break
        if time.monotonic() > deadline:
            reason = f"QEMU has not made its scratch file within {_CREATE_SECONDS:g} s"
            raise SourceUnavailable(place=options.get("filename", "QEMU"), reason=reason)
        time.sleep(0.002)
    monitor.execute("job-dismiss", id=job)
    if "error" in state:
        reason = f"QEMU cannot make its scratch file: {state['error']}; its user must be allowed to write to `scratch`"
        raise SourceUnavailable(place=options.get("filename", "QEMU"), reason=reason)


def _backup_action(disk: Disk, run: str, index: int) -> dict[str, Any]:
    return {
        "type": "blockdev-backup",
        "data": {
            "job-id": _names.job(run, index),
            "device": disk.node,
            "target": _names.node(run, index, "s"),
            "sync": "none",
            "filter-node-name": _names.node(run, index, "c"),
            "auto-dismiss": False,  # a job that fails stays to be seen by `check`
        },
    }


def _add_export(monitor: Monitor, run: str, index: int) -> None:
    name = _names.export(run, index, "disk")
    node = _names.node(run, index, "s")
    monitor.execute("block-export-add", type="nbd", id=name, node_name=node, name=name)


def _point_in_time(
    monitor: Monitor, machine: Machine, scratch: Scratch, quiesce: Quiesce, run: str, actions: Sequence[dict[str, Any]]
) -> Consistency:
    """Carry the transaction out, with the guest's file systems frozen where that is wanted and can be done."""
    if is_off(monitor):
        monitor.execute("transaction", actions=actions)
        return Consistency.OFFLINE
    if holds_frozen(monitor, scratch):
        monitor.execute("transaction", actions=actions)
        return Consistency.FILESYSTEM
    agent = machine.agent if quiesce is not Quiesce.NONE else None
    if agent is None or not _frozen_guest(agent, scratch, quiesce, run):
        if quiesce is Quiesce.REQUIRE:
            raise QuiesceImpossible(detail=f"{machine.name} has no guest agent; give it one, or set `quiesce: try`")
        monitor.execute("transaction", actions=actions)
        return Consistency.CRASH
    try:
        monitor.execute("transaction", actions=actions)
        lasted = _agent.still_frozen(agent)
    finally:
        _thaw(agent, machine)
        scratch.write_note(Note(run))
    if lasted:
        return Consistency.FILESYSTEM
    if quiesce is Quiesce.REQUIRE:
        raise QuiesceImpossible(detail=f"the guest of {machine.name} thawed by itself before its point in time stood")
    return Consistency.CRASH


def _frozen_guest(agent: _agent.Agent, scratch: Scratch, quiesce: Quiesce, run: str) -> bool:
    """Whether the guest's file systems are frozen now. The note says so beforehand, for whoever finds this process dead."""
    if not _agent.answers(agent):
        if quiesce is Quiesce.REQUIRE:
            raise QuiesceImpossible(
                detail="the guest agent does not answer; start it in the guest, or set `quiesce: try`"
            )
        return False
    scratch.write_note(Note(run, guest_frozen=True))
    try:
        _agent.freeze(agent)
    except _agent.AgentFailed as failed:
        with suppress(_agent.AgentFailed):
            _agent.thaw(agent)
        scratch.write_note(Note(run))
        if quiesce is Quiesce.REQUIRE:
            raise QuiesceImpossible(detail=str(failed)) from failed
        return False
    return True


def _thaw(agent: _agent.Agent, machine: Machine) -> None:
    for attempt in range(_THAW_ATTEMPTS):
        try:
            _agent.thaw(agent)
        except _agent.AgentFailed as failed:
            if attempt + 1 == _THAW_ATTEMPTS:
                reason = f"its file systems may still be frozen ({failed}): run `fsfreeze --unfreeze` in the guest"
                raise SourceUnavailable(place=machine.name, reason=reason) from failed
        else:
            return
