"""Power requests, carried out beside the runs: a thread each, for a guest may take minutes to shut down.

Each step may be repeated: what a server was is written down before anything is done to it, and a connector that takes over from
a dead one looks at what the server is now and goes on from there.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import timedelta
from typing import TypeVar

import structlog

from rehost import faults
from rehost.connector._settings import ConnectorSettings
from rehost.control import ControlPlane, Job, LeaseWatch, PowerAction, PowerRequest
from rehost.errors import RehostError
from rehost.sources import Power, Source, SourceError, open_source

log = structlog.get_logger("rehost.connector")

T = TypeVar("T")

AT_ONCE = 8  # requests of a connector; they wait more than they work
LOOK_SECONDS = 0.5  # between two looks whether a guest has shut down
_PATIENCE = 300.0  # seconds without the database


class _Lost(Exception):
    """Another connector has the request, or this one is about to end: no further step is ours."""


class PowerDuty:
    """`look` is called about once a second, by one thread."""

    def __init__(self, connector_id: str, control: ControlPlane, settings: ConnectorSettings) -> None:
        self._id, self._control, self._settings = connector_id, control, settings
        self._waiting = control.waiting(_PATIENCE)
        self._watch = LeaseWatch(settings.lease)
        self._held: dict[str, threading.Event] = {}  # set: stop, it is not ours any more
        self._any_open = True  # until the first look

    @property
    def busy(self) -> bool:
        """Whether there is anything open at its sources, held by it or not: one that would end when idle stays for that."""
        return bool(self._held) or self._any_open

    def look(self) -> bool:
        """Keep what is held, and take what waits; whether anything was taken."""
        control, lease, took = self._control, self._settings.lease, False
        for request_id, lost in list(self._held.items()):
            if not control.power.renew(request_id, self._id, lease_seconds=lease):
                lost.set()
        found = control.power.open(self._settings.sources)
        self._any_open = bool(found)
        gone = {each.id for each in self._watch.orphans(each for each in found if not each.is_pending)}
        for each in found:
            if len(self._held) >= AT_ONCE:
                return False
            if each.id in self._held or not (each.is_pending or each.id in gone):
                continue
            request = control.power.take(each, self._id, lease_seconds=lease)
            if request is not None:
                faults.point("power-taken")
                lost = self._held[request.id] = threading.Event()
                threading.Thread(target=self._carry_out, args=(request, lost), name=request.id, daemon=True).start()
                took = True
        return took

    def stop(self) -> None:
        """Let go of all: the next connector goes on."""
        for lost in list(self._held.values()):
            lost.set()
        self._control.power.let_go_all(self._id)

    def _carry_out(self, request: PowerRequest, lost: threading.Event) -> None:
        try:
            job = self._waiting.jobs.get(request.job_id)
            source = open_source(job.spec.source, base=self._settings.base)
            try:
                _Carrying(self._id, self._waiting, self._settings, request, job, source, lost).out()
            finally:
                source.close()
        except _Lost:
            log.info("a power request is left to another connector", id=request.id)
        except Exception as error:
            ours = isinstance(error, RehostError)
            log.warning("a power request failed", id=request.id, error=str(error), exc_info=not ours)
            self._fail(request, str(error) if ours else f"{type(error).__name__}: {error}")
        finally:
            self._held.pop(request.id, None)

    def _fail(self, request: PowerRequest, reason: str) -> None:
        try:
            self._waiting.power.failed(request.id, self._id, reason)
        except RehostError as error:  # whoever takes it over when its lease stands still fails it again, or does it
            log.warning("the control plane does not know that a power request failed", id=request.id, error=str(error))


class _Carrying:
    def __init__(
        self,
        connector_id: str,
        control: ControlPlane,
        settings: ConnectorSettings,
        request: PowerRequest,
        job: Job,
        source: Source,
        lost: threading.Event,
    ) -> None:
        self._id, self._control, self._settings = connector_id, control, settings
        self._request, self._job, self._source, self._lost = request, job, source, lost

    def out(self) -> None:
        request, locator = self._request, self._job.spec.locator
        if request.action is PowerAction.LOOK:
            self._look()
            return
        before = self._step(lambda: self._source.power(locator))
        self._request = self._control.power.found(request.id, self._id, before.value)
        faults.point("power-found")
        how = {PowerAction.OFF: self._off, PowerAction.QUIESCE: self._quiesce, PowerAction.ON: self._on}[
            request.action
        ]()
        faults.point("power-done")
        after = self._step(lambda: self._source.power(locator))
        self._end(how, Power(self._request.before or before.value), after)

    def _end(self, how: str, before: Power, after: Power) -> None:
        name = self._job.spec.server
        result = {"before": before.value, "after": after.value, "how": how}
        text = f"{name} {_SAID[how]}"
        if after not in _WANTED[how]:
            self._control.power.failed(self._request.id, self._id, f"{text}, but it is {after.value} now", result)
            return
        if self._control.power.done(self._request.id, self._id, result, text):
            log.info(text, id=self._request.id, job=self._job.id)

    def _off(self) -> str:
        locator, source = self._job.spec.locator, self._source
        if self._step(lambda: source.power(locator)) is Power.OFF:
            how = "already" if self._request.before == Power.OFF else "shutdown"
        else:
            how = self._shut_down()
        # Where the guest shut itself down there may be something to do still: keep its disks readable.
        self._step(lambda: source.power_off(locator))
        return how

    def _shut_down(self) -> str:
        """Ask the guest, and wait; what came of it."""
        locator, source, seconds = self._job.spec.locator, self._source, self._request.shutdown_seconds
        started = self._request.started_at or self._control.now()
        left = (started + timedelta(seconds=seconds) - self._control.now()).total_seconds()
        if seconds > 0 and not self._step(lambda: source.shut_down(locator)):
            return "unasked"
        self._say(f"waiting up to {max(0, left):.0f} s for the guest to shut down")
        ends = time.monotonic() + left
        while time.monotonic() < ends:
            if self._step(lambda: source.power(locator)) is Power.OFF:
                return "shutdown"
            if self._lost.wait(LOOK_SECONDS):
                raise _Lost
        return "forced"

    def _quiesce(self) -> str:
        locator, source = self._job.spec.locator, self._source
        now = self._step(lambda: source.power(locator))
        if now is Power.OFF:
            return "already"
        self._step(lambda: source.pause(locator))
        return "paused"

    def _on(self) -> str:
        locator, source = self._job.spec.locator, self._source
        earlier = self._control.power.before(self._job.id) if self._request.restore else None
        if earlier == Power.UNKNOWN:
            return "left"  # its source has no power over it: nothing was done to it
        to = Power(earlier or Power.ON)
        ran = self._request.before == Power.ON
        self._step(lambda: source.power_on(locator, to=to))
        if to is not Power.ON:
            return "left"
        return "running" if ran else "on"

    def _look(self) -> None:
        locator, source, run_id = self._job.spec.locator, self._source, self._request.run_id
        power = self._step(lambda: source.power(locator))
        changed = None
        if run_id is not None:
            since = {disk.key: disk.position for disk in self._control.runs.disks(run_id)}
            changed = self._step(lambda: source.changed(locator, since)) if since else None
        told = {
            True: "its disks changed",
            False: "its disks did not change",
            None: "whether its disks changed is not known",
        }
        since_run = f"; {told[changed]} since {run_id}" if run_id else ""
        text = f"{self._job.spec.server} is {power.value}{since_run}"
        self._control.power.done(self._request.id, self._id, {"power": power.value, "changed": changed}, text)

    def _step(self, step: Callable[[], T]) -> T:
        """One call of the source, tried again while it is away. Raises SourceError, and _Lost."""
        if self._lost.is_set():
            raise _Lost
        patience = self._settings.patience
        try:
            return patience.call(step, name="power", run=self._request.id, stop=self._lost, say=self._say)
        except SourceError:
            if self._lost.is_set():
                raise _Lost from None
            raise

    def _say(self, message: str) -> None:
        self._control.power.say(self._request.id, self._id, message)


_SAID = {
    "already": "was off already",
    "shutdown": "has shut itself down",
    "forced": "was powered off by force: its guest did not shut down in the time that it had",
    "unasked": "was powered off by force: nobody in its guest could be asked to shut down",
    "paused": "stands still",
    "on": "is powered on again",
    "running": "runs, and did already",
    "left": "did not run before, and is left so",
}
#: What it has to be then; anything else is a failure, whatever the source said.
_WANTED = {
    **dict.fromkeys(("already", "shutdown", "forced", "unasked"), (Power.OFF,)),
    **dict.fromkeys(("on", "running"), (Power.ON,)),
    "paused": (Power.PAUSED,),
    "left": tuple(Power),
}
