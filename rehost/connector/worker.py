"""The connector's process: registers, claims due runs, keeps their leases, takes over from the dead, and ends when idle.

A thread per duty: the main thread looks for work, DBOS's threads carry runs out, and one thread gives signs of life. When a
lease is lost all the same (this machine slept), the process ends at once: two hands on one run is the one thing that must not be.
"""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from contextlib import ExitStack
from types import FrameType

import structlog
from dbos import DBOS, DBOSConfig, SetWorkflowID
from dbos import error as dbos_error

from rehost import __version__, faults
from rehost.connector import workflow
from rehost.connector._aws_secrets import resolve_from_aws
from rehost.connector._chores import Chores
from rehost.connector._databases import is_embedded
from rehost.connector._forgetting import forget_bases
from rehost.connector._host import addresses
from rehost.connector._settings import ConnectorSettings
from rehost.connector._steps import RunSteps
from rehost.connector._sweep import SWEEP_SECONDS, sweep
from rehost.control import ControlError, ControlPlane, LeaseWatch, Run, RunState, new_id
from rehost.sources import SOURCE_TYPES

log = structlog.get_logger("rehost.connector")

#: Exit code after a lost lease: the service manager starts the connector again (sysexits.h, EX_TEMPFAIL).
EX_TEMPFAIL = 75
DATABASE_PATIENCE = 300.0  # seconds without the control plane before the connector gives up


class Connector:
    """One worker process; `run` returns when it is told to stop or has been idle for long enough."""

    def __init__(self, settings: ConnectorSettings) -> None:
        self.settings = settings
        self.id = new_id("connector")
        self.control = ControlPlane.open(settings.database)
        # Steps wait while the database is away; whoever gives signs of life, or can be told to stop, must not.
        self.steps = RunSteps(self.control.waiting(DATABASE_PATIENCE), settings)
        self.chores = Chores(self.id, self.control, settings)
        self._watch = LeaseWatch(settings.lease)
        self._draining = False
        self._stop = threading.Event()
        self._leases = threading.Lock()  # what was let go of must not be renewed by the other thread
        self._queue = self.id

    def run(self) -> None:
        """Serve until SIGTERM, SIGINT or idleness. What is under way then is taken up by the next connector."""
        settings = self.settings
        settings.state.mkdir(parents=True, exist_ok=True)
        signal.signal(signal.SIGTERM, self._on_signal)
        signal.signal(signal.SIGINT, self._on_signal)
        workflow.serve(self.steps)
        DBOS(config=self._dbos_config())
        DBOS.listen_queues([self._queue])
        DBOS.launch()
        DBOS.register_queue(self._queue, polling_interval_sec=0.2)
        self._sign_on()
        resolve_from_aws()
        self.chores.start()
        life = threading.Thread(target=self._signs_of_life, name="signs-of-life", daemon=True)
        life.start()
        threading.Thread(target=self._housekeeping, name="housekeeping", daemon=True).start()
        log.info("connector is up", id=self.id, sources=sorted(settings.sources or ["all"]))
        with ExitStack() as serving:
            if settings.metrics_port is not None:
                served = self.steps.metrics.served(settings.metrics_address, settings.metrics_port)
                log.info("metrics", address=settings.metrics_address, port=serving.enter_context(served))
            try:
                self._serve()
            finally:
                self._leave()

    def _sign_on(self) -> None:
        settings = self.settings
        self.control.connectors.register(
            self.id,
            version=__version__,
            host=socket.gethostname(),
            pid=os.getpid(),
            sources=sorted(settings.sources) if settings.sources is not None else None,
            log_path=str(settings.state / "connector.log"),
            addresses=addresses(),
            capabilities=SOURCE_TYPES,
            max_runs=settings.max_runs,
        )

    def _serve(self) -> None:
        idle_since = time.monotonic()
        while not self._stop.is_set():
            try:
                busy = self._look_for_work()
            except ControlError as error:
                if not error.retryable:
                    raise
                log.warning("the control plane cannot be reached; trying again", error=str(error))
                busy = False
            if self._draining and not self.steps.active:
                log.info("drained; ending")
                return
            if busy or self.steps.active or self.chores.busy:
                idle_since = time.monotonic()
            elif self.settings.idle_exit is not None and time.monotonic() - idle_since > self.settings.idle_exit:
                log.info("nothing to do; ending", idle_seconds=self.settings.idle_exit)
                return
            self._stop.wait(self.settings.poll)

    def _look_for_work(self) -> bool:
        """Take over what the dead left, then claim what is due, as far as there is room; whether anything was found."""
        control, sources = self.control, self.settings.sources
        if self._draining:
            return False
        control.runs.schedule_due(sources)
        found = False
        for dead in control.connectors.dead():
            # Its runs need not wait for their leases: nobody is left to renew them.
            control.runs.let_go_all(dead.id)
            control.power.let_go_all(dead.id)
            control.connectors.deregister(dead.id)
        for orphan in control.runs.orphans(sources, self._watch):
            if orphan.id in self.steps.active:
                continue  # ours; the next sign of life renews it
            if len(self.steps.active) >= self.settings.max_runs:
                break
            if control.runs.adopt(orphan, self.id, lease_seconds=self.settings.lease):
                log.info("taking over a run", run=orphan.id, earlier=orphan.connector_id)
                self._start(orphan)
                found = True
        while len(self.steps.active) < self.settings.max_runs:
            run = control.runs.claim(self.id, sources, lease_seconds=self.settings.lease)
            if run is None:
                break
            faults.point("run-claimed")
            self._start(run)
            found = True
        return found

    def _start(self, run: Run) -> None:
        """Begin the run's workflow, or go on with the one that another connector (or this one's earlier life) began."""
        self.steps.enter(run.id)
        try:
            DBOS.resume_workflow(run.id, queue_name=self._queue)
        except dbos_error.DBOSNonExistentWorkflowError:
            with SetWorkflowID(run.id):
                DBOS.start_workflow(workflow.replication_run, run.id)

    def _signs_of_life(self) -> None:
        """Renew the heartbeat and the leases, several times within a lease."""
        unheard_since: float | None = None
        while not self._stop.wait(self.settings.lease / 6):
            try:
                self._heartbeat()
                for run_id in list(self.steps.active):
                    with self._leases:
                        if self._stop.is_set():
                            return
                        self._renew(run_id)
                unheard_since = None
            except ControlError as error:
                unheard_since = unheard_since or time.monotonic()
                log.warning("no sign of life could be given", error=str(error))
                if time.monotonic() - unheard_since > DATABASE_PATIENCE:
                    log.error("the control plane has been away for too long; ending", seconds=DATABASE_PATIENCE)
                    os._exit(EX_TEMPFAIL)

    def _heartbeat(self) -> None:
        """Say that we are there, and hear what was decided meanwhile."""
        known = self.control.connectors.heartbeat(self.id)
        if known is None:
            self._sign_on()  # silent for so long that we were forgotten
        elif known.disassociated_at is not None:
            log.info("disassociated; giving up what is under way")
            self._stop.set()
        elif known.draining_at is not None and not self._draining:
            log.info("draining: no further run is taken")
            self._draining = True

    def _housekeeping(self) -> None:
        """In a thread of its own: AWS may take its time, and claiming must not wait for it."""
        told: set[str] = set()
        while not self._stop.wait(SWEEP_SECONDS):
            try:
                for snapshot_id in sweep(self.control, self.steps.aws_for, self.settings.sources):
                    self.steps.manifests.discard(snapshot_id)
                forget_bases(self.control, self.settings.sources, base=self.settings.base, told=told)
            except ControlError as error:
                log.warning("leftovers could not be looked for", error=str(error))

    def _renew(self, run_id: str) -> None:
        if self.control.runs.renew(run_id, self.id, lease_seconds=self.settings.lease):
            if self.control.runs.get(run_id).cancel_requested:
                self.steps.cancel(run_id)
            return
        run = self.control.runs.get(run_id)
        if run.state is RunState.ACTIVE and run.connector_id != self.id:
            log.error("the lease of a run is lost; ending at once", run=run_id, now=run.connector_id)
            os._exit(EX_TEMPFAIL)
        # Else the run has just ended; its last step is about to leave.

    def _leave(self) -> None:
        """Sign off. Runs under way are let go of at once, so that another connector need not wait for their leases."""
        self._stop.set()
        under_way = list(self.steps.active)
        try:
            self.chores.stop()
            with self._leases:
                for run_id in under_way:
                    self.control.runs.let_go(run_id, self.id)
            self.control.connectors.deregister(self.id)
            DBOS.delete_queue(self._queue)
        except ControlError as error:
            log.warning("could not sign off", error=str(error))
        if under_way:
            # Their threads are in the middle of a step. Ending like a crash is the one way out that is tested at every point.
            log.info("leaving runs for the next connector", runs=under_way)
            os._exit(0)
        DBOS.destroy()
        self.control.close()

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        self._stop.set()

    def _dbos_config(self) -> DBOSConfig:
        """DBOS keeps its tables beside ours: in its own file with SQLite, in its own schema with PostgreSQL."""
        url = (
            f"sqlite:///{self.settings.state / 'dbos.sqlite'}"
            if is_embedded(self.settings.database)
            else self.settings.database
        )
        return {
            "name": "rehost",
            "system_database_url": url,
            "executor_id": self.id,
            "application_version": workflow.APPLICATION_VERSION,
            "log_level": "WARNING",
            "use_listen_notify": False,
        }
