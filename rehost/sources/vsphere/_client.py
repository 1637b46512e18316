"""The vSphere API through pyVmomi: one session, renewed when it has expired, and its errors in our words.

Everything of pyVmomi's that is raised leaves this module as a `SourceError`. Thread-safe.
"""

from __future__ import annotations

import functools
import http.client
import ssl
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import structlog
from pyVmomi import SoapStubAdapter, vim, vmodl

from rehost import secrets
from rehost.errors import RehostError
from rehost.sources._errors import (
    CredentialsRefused,
    SourceConfigInvalid,
    SourceUnavailable,
)
from rehost.sources.vsphere import _tls
from rehost.sources.vsphere._config import VSphereConfig
from rehost.sources.vsphere._errors import ObjectGone, TaskFailed, TaskTimedOut

log = structlog.get_logger("rehost.sources.vsphere")

T = TypeVar("T")

#: vSphere 6.7, the oldest that still knows what we ask for (vTPM, encryption); newer ones answer it as well.
API_VERSION = "vim.version.version12"

CALL_TIMEOUT = 120.0  # seconds without an answer
_LOGINS = 3  # for one call, before it is given up
_REMEMBER = 30.0  # seconds; names of machines
POLL = 0.25  # seconds between looks at a task


class Client:
    """Connects at the first call."""

    def __init__(self, config: VSphereConfig) -> None:
        self.config = config
        self._lock = threading.Lock()
        self._stub: Any = None
        self._content: Any = None
        self._names: Sequence[tuple[str, str]] = ()
        self._names_born = 0.0

    @property
    def content(self) -> Any:
        """The ServiceContent: the managers of this vCenter."""
        with self._lock:
            if self._content is None:
                self._connect()
            return self._content

    @property
    def stub(self) -> Any:
        self.content  # noqa: B018 - connects
        return self._stub

    @property
    def cookie(self) -> str:
        """The session's, as a header; for what vCenter serves beside its API."""
        return str(self.stub.cookie)

    @property
    def remembered_names(self) -> Sequence[tuple[str, str]]:
        """(moref, name) of every machine as listed a moment ago; empty where that is too long ago."""
        return self._names if time.monotonic() - self._names_born < _REMEMBER else ()

    def remember_names(self, names: Sequence[tuple[str, str]]) -> None:
        if names is not self._names:
            self._names, self._names_born = names, time.monotonic()

    def session(self) -> Any:
        """The present UserSession."""

        def current() -> Any:
            found = self.content.sessionManager.currentSession
            if found is None:
                raise vim.fault.NotAuthenticated
            return found

        return self.call(current, "asking for the session")

    def managed(self, kind: Any, moref: str) -> Any:
        """A managed object by its id, `managed(vim.VirtualMachine, "vm-12")`; whether it exists shows when it is asked."""
        return kind(moref, self.stub)

    def call(self, what: Callable[[], T], doing: str) -> T:
        """`what()`, and again after a new login where the session had expired; `doing` names it in errors.

        Raises SourceError; ObjectGone where the object has been removed.
        """
        for _ in range(_LOGINS):
            generation = self.content
            try:
                return self._translated(what, doing)
            except vim.fault.NotAuthenticated:
                log.info("the session has expired; logging in again", place=self.config.place)
            with self._lock:
                if self._content is generation:  # else another thread has been here
                    self._login()
        try:
            return self._translated(what, doing)
        except vim.fault.NotAuthenticated:
            raise SourceUnavailable(place=self.config.place, reason=f"{doing}: sessions end at once") from None

    def wait(self, task: Any, doing: str, *, timeout: float) -> Any:
        """The result of a task. Raises TaskFailed, TaskTimedOut; the task goes on after the latter."""
        deadline = time.monotonic() + timeout
        delay = 0.02
        while True:
            info = self.call(lambda: task.info, doing)
            if info.state == vim.TaskInfo.State.success:
                return info.result
            if info.state == vim.TaskInfo.State.error:
                raise TaskFailed(task=doing, fault=fault_name(info.error), reason=fault_text(info.error))
            if time.monotonic() >= deadline:
                raise TaskTimedOut(task=doing, seconds=timeout)
            time.sleep(delay)
            delay = min(POLL, delay * 1.5)

    def close(self) -> None:
        """Log out. What goes wrong with that does not matter: vCenter ends idle sessions by itself."""
        with self._lock:
            content, stub = self._content, self._stub
            self._content = self._stub = None
        if content is None or stub is None:
            return
        try:
            content.sessionManager.Logout()
        except Exception as error:
            log.debug("logging out failed", place=self.config.place, error=type(error).__name__)
        finally:
            stub.DropConnections()

    def credentials(self) -> tuple[str, str]:
        """Resolved anew at each use, and kept nowhere. Raises SourceConfigInvalid."""
        try:
            return secrets.resolve(self.config.username), secrets.resolve(self.config.password)
        except RehostError as error:  # where a secret is kept in AWS, AWS may refuse it
            raise SourceConfigInvalid(detail=f"credentials of {self.config.place}: {error}") from None

    def _connect(self) -> None:
        config = self.config
        stub = SoapStubAdapter(
            host=config.host,
            port=config.port,
            version=API_VERSION,
            sslContext=_tls.context(config),
            poolSize=config.connections,
            httpConnectionTimeout=CALL_TIMEOUT,
        )
        # pyVmomi's own pinning leaves the connection open where it refuses it, and does not say what it saw.
        stub.scheme = functools.partial(_tls.PinnedConnection, config)
        instance = vim.ServiceInstance("ServiceInstance", stub)
        content = self._translated(instance.RetrieveContent, "connecting")
        self._stub, self._content = stub, content
        try:
            self._login()
        except BaseException:
            stub.DropConnections()
            self._stub = self._content = None
            raise

    def _login(self) -> None:
        """Log in on the present connection. Called with the lock held."""
        stub, content = self._stub, self._content
        user, password = self.credentials()
        stub.SetSessionId(None)
        try:
            self._translated(lambda: content.sessionManager.Login(user, password, None), "logging in")
        except (vim.fault.InvalidLogin, vim.fault.NotAuthenticated):
            reason = f"user {user!r} or its password is wrong; correct what `credentials` refers to"
            raise CredentialsRefused(place=self.config.place, reason=reason) from None
        # Whoever waits with the old content sees that somebody has logged in.
        instance = vim.ServiceInstance("ServiceInstance", stub)
        self._content = self._translated(instance.RetrieveContent, "connecting")

    def _translated(self, what: Callable[[], T], doing: str) -> T:
        """`what()`; NotAuthenticated and InvalidLogin pass, everything else of pyVmomi's and the network's becomes ours."""
        place = self.config.place
        try:
            return what()
        except (vim.fault.NotAuthenticated, vim.fault.InvalidLogin):
            raise
        except vim.fault.NoPermission as error:
            reason = f"{doing}: the user lacks the privilege {error.privilegeId}; docs/sources/vsphere.md has the role"
            raise CredentialsRefused(place=place, reason=reason) from None
        except vmodl.fault.ManagedObjectNotFound as error:
            raise ObjectGone(object=str(getattr(error.obj, "_moId", "the object"))) from None
        except vmodl.MethodFault as error:
            raise TaskFailed(task=doing, fault=fault_name(error), reason=fault_text(error)) from None
        except ssl.SSLCertVerificationError as error:
            raise _tls.refused(self.config, error) from None
        except (OSError, http.client.HTTPException) as error:
            raise SourceUnavailable(place=place, reason=f"{doing}: {_plain(error)}") from error


def fault_name(fault: Any) -> str:
    return type(fault).__name__.rpartition(".")[2]


def fault_text(fault: Any) -> str:
    """What vCenter says of a fault: its own message, with those behind it. Some faults have no message at all."""
    messages = [message.message for message in getattr(fault, "faultMessage", None) or [] if message.message]
    told = getattr(fault, "localizedMessage", None) or getattr(fault, "msg", None)
    if told and not str(told).startswith("*types."):
        messages.insert(0, str(told))
    return " ".join(dict.fromkeys(messages)) or fault_name(fault)


def _plain(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "no answer in time"
    text = getattr(error, "strerror", None) or str(error)
    return text or type(error).__name__
