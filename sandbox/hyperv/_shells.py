"""Runspace pools behind WinRM's PowerShell plugin: shells with pipelines, PSRP in the fragments of WSMan's streams.

The protocol's state machine is psrpcore's; here are the queues between it, the requests and the threads that run scripts.
"""

from __future__ import annotations

import threading
import time
import uuid
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import psrpcore
from psrpcore.types import ErrorRecord, PSInvocationState, RunspacePoolState

from sandbox.hyperv._soap import WsmanFault, shell_not_found, timed_out, too_many_operations, too_many_shells


class Output(Protocol):
    """Where a running script writes."""

    def write(self, value: Any) -> None: ...
    def error(self, record: ErrorRecord) -> None: ...
    def warning(self, message: str) -> None: ...
    @property
    def stopped(self) -> bool: ...


#: Runs the commands of a pipeline. Raises PipelineFailed where the script ends with a terminating error.
Runner = Callable[[Sequence[psrpcore.Command], Output], None]


class PipelineFailed(Exception):
    def __init__(self, record: ErrorRecord) -> None:
        super().__init__(record)
        self.record = record


@dataclass
class _Queue:
    """What a Receive takes: whole payloads, no larger than an envelope holds."""

    payloads: deque[bytes] = field(default_factory=deque)
    done: bool = False


class Shell:
    def __init__(self, shell: str, user: str, runner: Runner, payload_bytes: int, runspaces: int) -> None:
        self.id = shell
        self.user = user
        self._runner = runner
        self._payload_bytes = payload_bytes
        self._changed = threading.Condition()
        self._pool = psrpcore.ServerRunspacePool()
        self._queues: dict[uuid.UUID | None, _Queue] = {None: _Queue()}
        self._waiting: list[uuid.UUID] = []
        self._running: dict[uuid.UUID, _Running] = {}
        self._runspaces = runspaces
        self._closed = False
        self._threads: list[threading.Thread] = []

    @property
    def operations(self) -> int:
        with self._changed:
            return sum(1 for queue, state in self._queues.items() if queue is not None and not state.done)

    def feed(self, data: bytes, command: uuid.UUID | None = None) -> None:
        """Fragments from the client. Raises WsmanFault for what is no PSRP."""
        with self._changed:
            if command is not None and command not in self._queues:
                pipeline = psrpcore.ServerPipeline(self._pool, command)
                self._queues[command] = _Queue()
                assert pipeline.pipeline_id == command  # noqa: S101 - psrpcore keeps the id it is given
            self._pool.receive_data(psrpcore.PSRPPayload(data, psrpcore.StreamType.default, command))
            try:
                while (event := self._pool.next_event()) is not None:
                    if isinstance(event, psrpcore.CreatePipelineEvent):
                        self._waiting.append(event.pipeline_id)
                    elif isinstance(event, psrpcore.GetAvailableRunspacesEvent):
                        self._pool.runspace_availability_response(event.ci, self._runspaces - len(self._running))
                    elif isinstance(event, (psrpcore.SetMaxRunspacesEvent, psrpcore.SetMinRunspacesEvent)):
                        self._pool.runspace_availability_response(event.ci, True)
            except psrpcore.PSRPCoreError as error:
                message = f"The PowerShell plugin cannot process the request: {error} "
                raise WsmanFault(2150858817, message, subcode="w:SchemaValidationError", sender=True) from None
            self._start_waiting()
            self._drain()

    def receive(self, command: uuid.UUID | None, seconds: float, most: int) -> tuple[list[bytes], bool]:
        """Payloads of at most so many bytes together, and whether the command is done. Raises WsmanFault after `seconds`."""
        deadline = time.monotonic() + seconds
        with self._changed:
            while True:
                if self._closed:
                    raise shell_not_found(self.id)
                queue = self._queues.get(command)
                if queue is None:
                    message = (
                        f"The request for the Windows Remote Shell with ShellId {self.id} failed: no such command. "
                    )
                    raise WsmanFault(2150858843, message, subcode="w:InvalidSelectors", sender=True)
                if queue.payloads or queue.done:
                    taken: list[bytes] = []
                    while queue.payloads and (not taken or len(taken[0]) + len(queue.payloads[0]) <= most):
                        taken.append(queue.payloads.popleft())
                        most -= len(taken[-1])
                    ended = queue.done and not queue.payloads
                    if ended and command is not None:
                        del self._queues[command]  # nobody asks after its end
                    return taken, ended
                left = deadline - time.monotonic()
                if left <= 0:
                    raise timed_out()
                self._changed.wait(left)

    def stop(self, command: uuid.UUID, *, terminate: bool) -> None:
        with self._changed:
            running = self._running.get(command)
            if running is not None:
                running.stopped = True
            elif command in self._waiting:
                self._waiting.remove(command)
                self._queues[command].done = True
            if terminate:
                self._queues.pop(command, None)
            self._changed.notify_all()

    def close(self) -> None:
        with self._changed:
            self._closed = True
            self._waiting.clear()
            for running in self._running.values():
                running.stopped = True
            self._changed.notify_all()

    def join(self) -> None:
        for thread in self._threads:
            thread.join()

    def _start_waiting(self) -> None:
        while self._waiting and len(self._running) < max(1, self._pool.max_runspaces):
            command = self._waiting.pop(0)
            pipeline = self._pool.pipeline_table[command]
            running = self._running[command] = _Running(self, pipeline)
            pipeline.start()
            thread = threading.Thread(target=self._run, args=(command, running), name=f"powershell-{command}")
            self._threads = [other for other in self._threads if other.is_alive()]
            self._threads.append(thread)
            thread.start()

    def _run(self, command: uuid.UUID, running: _Running) -> None:
        failure: ErrorRecord | None = None
        try:
            self._runner(_commands(running.pipeline), running)
        except PipelineFailed as error:
            failure = error.record
        finally:
            with self._changed:
                if running.stopped:
                    running.pipeline.stop()
                elif failure is not None:
                    # psrpcore's server has no public way to end a pipeline as failed.
                    running.pipeline._change_state(PSInvocationState.Failed, failure)
                else:
                    running.pipeline.complete()
                running.pipeline.close()
                del self._running[command]
                self._drain()
                if command in self._queues:
                    self._queues[command].done = True
                if not self._closed:
                    self._start_waiting()
                self._changed.notify_all()

    def _drain(self) -> None:
        """Sort what psrpcore wants to send by the stream that a client asks for it."""
        while (payload := self._pool.data_to_send(self._payload_bytes)) is not None:
            queue = self._queues.get(payload.pipeline_id)
            if queue is not None:
                queue.payloads.append(payload.data)
        self._changed.notify_all()

    def written(self, write: Callable[[], None]) -> None:
        with self._changed:
            write()
            self._drain()

    @property
    def opened(self) -> bool:
        return self._pool.state == RunspacePoolState.Opened


def _commands(pipeline: psrpcore.ServerPipeline) -> Sequence[psrpcore.Command]:
    metadata = pipeline.metadata
    if not isinstance(metadata, psrpcore.PowerShell):
        return []  # GetCommandMetadata, which nobody here asks for
    return metadata.commands


class _Running:
    """A pipeline that runs: what its script writes goes to the client at once."""

    def __init__(self, shell: Shell, pipeline: psrpcore.ServerPipeline) -> None:
        self._shell = shell
        self.pipeline = pipeline
        self.stopped = False

    def write(self, value: Any) -> None:
        self._shell.written(lambda: self.pipeline.write_output(value))

    def error(self, record: ErrorRecord) -> None:
        self._shell.written(
            lambda: self.pipeline.write_error(
                record.Exception,
                category_info=record.CategoryInfo,
                target_object=record.TargetObject,
                fully_qualified_error_id=record.FullyQualifiedErrorId,
                error_details=record.ErrorDetails,
            )
        )

    def warning(self, message: str) -> None:
        self._shell.written(lambda: self.pipeline.write_warning(message))


@dataclass
class Quotas:
    """WinRM's own, by default those of Windows Server 2012 and newer (winrm/config/winrs)."""

    shells_per_user: int = 30
    operations_per_user: int = 1500
    envelope_bytes: int = 500 * 1024


class Shells:
    """All shells of a host."""

    def __init__(self, quotas: Quotas) -> None:
        self.quotas = quotas
        self._lock = threading.Lock()
        self._shells: dict[str, Shell] = {}
        self._gone: list[Shell] = []

    def add(self, shell: Shell) -> None:
        with self._lock:
            if sum(1 for other in self._shells.values() if other.user == shell.user) >= self.quotas.shells_per_user:
                raise too_many_shells(self.quotas.shells_per_user)
            self._shells[shell.id] = shell

    def get(self, shell: str, user: str) -> Shell:
        with self._lock:
            found = self._shells.get(shell)
        if found is None or found.user != user:
            raise shell_not_found(shell)
        return found

    def admit(self, user: str) -> None:
        with self._lock:
            theirs = [shell for shell in self._shells.values() if shell.user == user]
        if sum(shell.operations for shell in theirs) >= self.quotas.operations_per_user:
            raise too_many_operations(self.quotas.operations_per_user)

    def remove(self, shell: str) -> None:
        with self._lock:
            found = self._shells.pop(shell)
            self._gone.append(found)
        found.close()

    def clear(self) -> None:
        """All are gone, as after a restart of the host. Their scripts are told to stop and waited for."""
        with self._lock:
            gone = [*self._gone, *self._shells.values()]
            self._shells.clear()
            self._gone.clear()
        for shell in gone:
            shell.close()
        for shell in gone:
            shell.join()

    def open_ids(self) -> list[str]:
        with self._lock:
            return sorted(self._shells)
