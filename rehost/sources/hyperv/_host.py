"""A host that scripts are run on: a few sessions, kept for the next script and renewed when they are lost. Thread-safe."""

from __future__ import annotations

import threading
import time
from typing import Any

import structlog

from rehost import secrets
from rehost.errors import RehostError
from rehost.sources._errors import SourceConfigInvalid, SourceUnavailable
from rehost.sources.hyperv import _scripts
from rehost.sources.hyperv._config import Endpoint, HyperVConfig
from rehost.sources.hyperv._errors import MachineGone, ScriptFailed
from rehost.sources.hyperv._session import Session

log = structlog.get_logger("rehost.sources.hyperv")

_AT_ONCE = 4  # sessions; WinRM's quota of shells a user is 30 (MaxShellsPerUser)
_IDLE = 300.0  # seconds; a session that was not used for so long is not trusted


class Host:
    """Connects at the first script."""

    def __init__(self, config: HyperVConfig, name: str, endpoint: Endpoint) -> None:
        self.config = config
        self.name = name  # as its cluster or SCVMM calls it
        self.endpoint = endpoint
        self._slots = threading.BoundedSemaphore(_AT_ONCE)
        self._lock = threading.Lock()
        self._idle: list[tuple[float, Session]] = []

    def run(self, script: str, **parameters: Any) -> Any:
        """What a script of `scripts/` answers. Raises SourceError; MachineGone where the host has no machine `Id`.

        A script that changes nothing is sent again when its session turns out to be lost.
        """
        with self._slots:
            session = self._take()
            kept = session is not None
            session = session or self._connect()
            try:
                return self._run(session, script, parameters)
            except SourceUnavailable as error:
                self._drop_idle()
                if not kept or script not in _scripts.READ_ONLY:
                    raise
                log.info("the session is lost; opening another", host=self.name, reason=str(error))
            return self._run(self._connect(), script, parameters)

    def credentials(self) -> tuple[str, str]:
        """Resolved anew at each use, and kept nowhere. Raises SourceConfigInvalid."""
        try:
            return secrets.resolve(self.config.username or {}), secrets.resolve(self.config.password or {})
        except RehostError as error:  # where a secret is kept in AWS, AWS may refuse it
            raise SourceConfigInvalid(detail=f"credentials of {self.config.place}: {error}") from None

    def close(self) -> None:
        with self._lock:
            idle, self._idle = self._idle, []
        for _, session in idle:
            session.close()

    def _run(self, session: Session, script: str, parameters: dict[str, Any]) -> Any:
        try:
            answer = session.run(script, parameters)
        except (ScriptFailed, MachineGone):
            self._keep(session)
            raise
        except BaseException:
            session.drop()
            raise
        self._keep(session)
        return answer

    def _connect(self) -> Session:
        return Session(self.config, self.endpoint, *self.credentials())

    def _take(self) -> Session | None:
        with self._lock:
            if not self._idle:
                return None
            born, session = self._idle.pop()
        if time.monotonic() - born < _IDLE:
            return session
        session.close()
        return None

    def _keep(self, session: Session) -> None:
        with self._lock:
            self._idle.append((time.monotonic(), session))

    def _drop_idle(self) -> None:
        """When one is lost, the others are as well: the host was restarted, or cannot be reached."""
        with self._lock:
            idle, self._idle = self._idle, []
        for _, session in idle:
            session.drop()
