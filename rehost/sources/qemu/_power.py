"""The power of a machine.

Its disks are read through its QEMU, so "off" means off with a QEMU that is still there: a guest that has shut down leaves one
behind that waits, and a power cut is a reset of a machine that is stopped. Whether a machine is off is seen from its state:
`prelaunch` (its processors have not run since the last reset) and `shutdown` (its guest has shut down).

libvirt ends QEMU when a guest shuts down. There "off" is a domain that was started paused: its processors have not run.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from typing import Protocol

from rehost.sources._errors import CommandRefused, PowerImpossible, ServerNotRunning, SourceUnavailable
from rehost.sources._power import any_changed
from rehost.sources._protocol import ChangePosition, Power
from rehost.sources.qemu import _agent, _bitmaps, _disks
from rehost.sources.qemu._machines import LibvirtMachine, Machine
from rehost.sources.qemu._monitor import Monitor
from rehost.sources.qemu._scratch import Scratch

#: QEMU's RunState (qapi/run-state.json) where nothing of the guest is left to go on.
OFF_STATES = frozenset({"prelaunch", "shutdown"})
_STILL = frozenset({"paused", "suspended", "io-error", "watchdog", "guest-panicked", "internal-error", "debug"})
_STATE_SECONDS = 20.0  # a reset is carried out by QEMU's main loop within milliseconds
_THAW_SECONDS = 10.0  # a guest that goes on needs a moment until its agent answers


@dataclass(frozen=True)
class Mark:
    """What was done to a machine's power and is to be undone; kept beside the scratch files, for it outlives the process."""

    frozen: bool = False  # the guest's file systems were frozen before it was made to stand still
    stays: bool = False  # QEMU was told to stay when the guest shuts down
    started: bool = False  # libvirt was told to start the domain paused


def power(machine: Machine) -> Power:
    """Raises SourceUnavailable."""
    state = _state(machine)
    if state is None or state in OFF_STATES:
        return Power.OFF
    if state == "running":
        return Power.ON
    return Power.PAUSED if state in _STILL else Power.UNKNOWN


def shut_down(machine: Machine, scratch: Scratch) -> bool:
    if _state(machine) != "running":
        return False
    _switch(machine, scratch).press()
    return True


def power_off(machine: Machine, scratch: Scratch) -> None:
    _switch(machine, scratch).cut()
    write_mark(scratch, replace(mark_of(scratch), frozen=False))  # what was frozen has gone with the guest's memory


def pause(machine: Machine, scratch: Scratch) -> None:
    if _state(machine) != "running":
        return
    agent = machine.agent
    if agent is not None and _agent.answers(agent):
        write_mark(scratch, replace(mark_of(scratch), frozen=True))
        try:
            _agent.freeze(agent)
        except _agent.AgentFailed:
            _thaw(machine, scratch)
    _switch(machine, scratch).hold()


def power_on(machine: Machine, scratch: Scratch, to: Power) -> None:
    switch = _switch(machine, scratch)
    if to is Power.ON:
        switch.go_on()
        if mark_of(scratch).frozen:
            _thaw(machine, scratch)
    switch.undo()


def changed(machine: Machine, since: Mapping[str, ChangePosition]) -> bool | None:
    """By the bitmaps that runs leave; without a QEMU nobody can be asked."""
    try:
        with machine.session() as monitor:
            disks = _disks.inventory(monitor).disks
            return any_changed(_bitmaps.written_since(monitor, disk, since.get(disk.key)) for disk in disks)
    except ServerNotRunning:
        return None


def is_off(monitor: Monitor) -> bool:
    return monitor.execute("query-status")["status"] in OFF_STATES


def holds_frozen(monitor: Monitor, scratch: Scratch) -> bool:
    """Whether the machine stands still with its file systems frozen by `pause`."""
    return mark_of(scratch).frozen and monitor.execute("query-status")["status"] == "paused"


def mark_of(scratch: Scratch) -> Mark:
    try:
        return Mark(**json.loads(scratch.power_mark.read_text("utf-8")))
    except (OSError, ValueError, TypeError):
        return Mark()


def write_mark(scratch: Scratch, mark: Mark) -> None:
    """Raises SourceUnavailable."""
    if mark == mark_of(scratch):
        return
    if mark == Mark():
        scratch.power_mark.unlink(missing_ok=True)
        return
    scratch.prepare()
    scratch.write(scratch.power_mark, asdict(mark))


def _state(machine: Machine) -> str | None:
    """QEMU's; None where there is no QEMU."""
    try:
        with machine.session() as monitor:
            return str(monitor.execute("query-status")["status"])
    except ServerNotRunning:
        return None


def _thaw(machine: Machine, scratch: Scratch) -> None:
    """Raises SourceUnavailable where the guest may still be frozen."""
    deadline = time.monotonic() + _THAW_SECONDS
    agent = machine.agent
    while agent is not None:
        try:
            _agent.thaw(agent)
            break
        except _agent.AgentFailed as failed:
            if time.monotonic() > deadline:
                reason = f"its file systems may still be frozen ({failed}): run `fsfreeze --unfreeze` in the guest"
                raise SourceUnavailable(place=machine.name, reason=reason) from failed
        time.sleep(0.2)
    write_mark(scratch, replace(mark_of(scratch), frozen=False))


class _Switch(Protocol):
    def press(self) -> None:
        """The power button: the guest may do what it likes with that."""

    def cut(self) -> None:
        """Off, whatever it is now, with a QEMU whose disks can be read where there can be one."""

    def hold(self) -> None: ...

    def go_on(self) -> None: ...

    def undo(self) -> None:
        """Take back what kept its QEMU; what runs goes on."""


def _switch(machine: Machine, scratch: Scratch) -> _Switch:
    return _LibvirtSwitch(machine, scratch) if isinstance(machine, LibvirtMachine) else _QmpSwitch(machine, scratch)


class _QmpSwitch:
    """By QMP alone: whoever started this QEMU is not here to start another."""

    def __init__(self, machine: Machine, scratch: Scratch) -> None:
        self._machine, self._scratch = machine, scratch

    def press(self) -> None:
        with self._machine.session() as monitor:
            self._stay(monitor)
            monitor.execute("system_powerdown")

    def cut(self) -> None:
        try:
            with self._machine.session() as monitor:
                if is_off(monitor):
                    return
                self._stay(monitor)
                monitor.execute("stop")
                _reset(monitor, self._machine.name, OFF_STATES)
        except ServerNotRunning:
            return  # there is nothing to cut, and nobody to keep its disks readable

    def hold(self) -> None:
        with self._machine.session() as monitor:
            monitor.execute("stop")

    def go_on(self) -> None:
        with self._machine.session() as monitor:
            state = monitor.execute("query-status")["status"]
            if state == "shutdown":
                _reset(monitor, self._machine.name, frozenset({"prelaunch"}))
            if state != "running":
                monitor.execute("cont")

    def undo(self) -> None:
        if mark_of(self._scratch).stays:
            with suppress(ServerNotRunning), self._machine.session() as monitor:
                monitor.execute("set-action", shutdown="poweroff")
            write_mark(self._scratch, replace(mark_of(self._scratch), stays=False))

    def _stay(self, monitor: Monitor) -> None:
        write_mark(self._scratch, replace(mark_of(self._scratch), stays=True))
        monitor.execute("set-action", shutdown="pause")


class _LibvirtSwitch:
    def __init__(self, machine: LibvirtMachine, scratch: Scratch) -> None:
        self._machine, self._scratch = machine, scratch

    def press(self) -> None:
        self._check_persistent()
        self._machine.virsh("shutdown")

    def cut(self) -> None:
        state = _state(self._machine)
        if state == "prelaunch":
            return
        self._check_persistent()
        if state is not None:
            self._machine.virsh("destroy")
        write_mark(self._scratch, replace(mark_of(self._scratch), started=True))
        self._machine.virsh("start", "--paused")

    def hold(self) -> None:
        self._machine.virsh("suspend")

    def go_on(self) -> None:
        state = _state(self._machine)
        if state == "shutdown":  # kept by the domain's own on_poweroff
            self._machine.virsh("destroy")
        if state is None or state == "shutdown":
            self._machine.virsh("start")
        elif state != "running":
            self._machine.virsh("resume")

    def undo(self) -> None:
        if mark_of(self._scratch).started:
            if _state(self._machine) == "prelaunch":
                self._machine.virsh("destroy")
            write_mark(self._scratch, replace(mark_of(self._scratch), started=False))

    def _check_persistent(self) -> None:
        """libvirt forgets a transient domain when it ends: nobody could start it again."""
        told = self._machine.virsh("dominfo")
        fields = {name.strip(): value.strip() for name, _, value in (line.partition(":") for line in told.splitlines())}
        if fields.get("Persistent") == "no":
            reason = "libvirt keeps no configuration of it, so that it could not be started again; `virsh define` it"
            raise PowerImpossible(name=self._machine.name, reason=reason)


def _reset(monitor: Monitor, name: str, until: frozenset[str]) -> None:
    """Back to before its first instruction; it stays stopped. With `-no-reboot`, QEMU takes that for a shutdown."""
    monitor.execute("system_reset")
    deadline = time.monotonic() + _STATE_SECONDS
    while monitor.execute("query-status")["status"] not in until:
        if time.monotonic() > deadline:
            raise CommandRefused(place=name, command="system_reset", reason="it has no effect", kind="timeout")
        time.sleep(0.01)
