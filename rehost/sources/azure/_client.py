"""Azure Resource Manager: JSON over HTTPS, by azure-core's pipeline.

The generated clients are not used: azure-mgmt-compute and azure-mgmt-network take 340 MiB of memory when they are imported, and a
connector has 250 for everything. What they would send stands in the REST reference (learn.microsoft.com/rest/api).
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

import structlog
from azure.core import PipelineClient
from azure.core.exceptions import AzureError
from azure.core.pipeline.policies import BearerTokenCredentialPolicy, RequestIdPolicy, UserAgentPolicy
from azure.core.pipeline.transport import RequestsTransport
from azure.core.rest import HttpRequest, HttpResponse

from rehost.sources._errors import CredentialsRefused, SourceConfigInvalid, SourceUnavailable
from rehost.sources.azure import _answers, _credentials
from rehost.sources.azure._config import AzureConfig
from rehost.sources.azure._errors import OperationTimedOut

log = structlog.get_logger("rehost.sources.azure")

# They say on standard error, with a traceback, what the errors here say already.
for _name in ("azure", "msal"):
    logging.getLogger(_name).addHandler(logging.NullHandler())

CONNECT_TIMEOUT, READ_TIMEOUT = 30.0, 60.0  # seconds
#: The most that one call waits for, in all, where Azure throttles it or is not well; whoever called may try again later.
PATIENCE = 60.0  # seconds
_BACKOFF = (0.5, 2.0, 5.0)  # seconds, where Azure names no time
_POLL = (0.1, 5.0)  # seconds between two looks at an operation: the first, and the longest
_REMEMBER = 5.0  # seconds for which a list of machines serves another locator


class Client:
    """Thread-safe; logs in at the first call."""

    def __init__(self, config: AzureConfig) -> None:
        self.config = config
        self._lock = threading.Lock()
        self._pipeline: PipelineClient[HttpRequest, HttpResponse] | None = None
        self._credential: Any = None
        self._remembered: dict[str, tuple[float, Any]] = {}

    def get(self, path: str, version: str, doing: str, **query: str) -> Mapping[str, Any]:
        """One resource. `doing` names the call in errors. Raises SourceError; ResourceGone where there is none."""
        return _answers.body(self._send("GET", path, version, doing, query))

    def pages(self, path: str, version: str, doing: str, **query: str) -> Iterator[Mapping[str, Any]]:
        """All that a list has, whatever its pages."""
        answer = self.get(path, version, doing, **query)
        while True:
            yield from answer.get("value") or ()
            following = answer.get("nextLink")
            if not following:
                return
            answer = _answers.body(self._send("GET", self._ours(following, doing), None, doing, {}))

    def call(
        self,
        method: str,
        path: str,
        version: str,
        doing: str,
        content: Mapping[str, Any] | None = None,
        *,
        timeout: float | None = None,
        query: Mapping[str, str] | None = None,
    ) -> Mapping[str, Any]:
        """Call something that Azure may go on with for a while, and wait; its result.

        Raises SourceError; OperationTimedOut after `timeout` seconds (those of the configuration), CallRefused.
        """
        deadline = time.monotonic() + (timeout or self.config.snapshot_timeout)
        return self._ended(self._send(method, path, version, doing, query or {}, content), doing, deadline)

    def begin(self, method: str, path: str, version: str, doing: str, **query: str) -> None:
        """Call something, and do not wait for its end."""
        self._send(method, path, version, doing, query)

    def remembered(self, what: str, ask: Callable[[], Any], *, seconds: float = _REMEMBER) -> Any:
        """What was asked a moment ago, or is asked now."""
        with self._lock:
            born, known = self._remembered.get(what, (0.0, None))
        if known is not None and time.monotonic() - born < seconds:
            return known
        known = ask()
        with self._lock:
            self._remembered[what] = time.monotonic(), known
        return known

    def forget(self, what: str) -> None:
        with self._lock:
            self._remembered.pop(what, None)

    def forget_all(self) -> None:
        with self._lock:
            self._remembered.clear()

    def close(self) -> None:
        with self._lock:
            pipeline, credential = self._pipeline, self._credential
            self._pipeline = self._credential = None
        for each in (pipeline, credential):
            if each is not None:
                each.close()

    # The calls themselves

    def _send(
        self,
        method: str,
        path: str,
        version: str | None,
        doing: str,
        query: Mapping[str, str],
        content: Mapping[str, Any] | None = None,
    ) -> HttpResponse:
        """An answer that is a success; throttled calls and Azure's own trouble are waited for, within `PATIENCE`."""
        parameters = {**({"api-version": version} if version else {}), **query}
        url = path if path.startswith("https://") else self.config.endpoints.resource_manager + path
        waited, attempt, renewed = 0.0, 0, False
        while True:
            request = HttpRequest(method, url, params=parameters, json=content)
            try:
                answer = self._connected().send_request(request)
            except AzureError as error:
                trouble = _credentials.trouble(self.config, doing, error)
                pause = _BACKOFF[min(attempt, len(_BACKOFF) - 1)]
                if not trouble.retryable or attempt >= len(_BACKOFF):
                    raise trouble from None
            else:
                if answer.status_code < 400:
                    return answer
                if answer.status_code == 401 and not renewed:
                    renewed = True
                    self.close()  # with its token, which Azure no longer takes
                    continue
                if not _answers.may_be_repeated(answer):
                    raise _answers.refused(self.config, doing, answer)
                pause = _answers.asked_to_wait(answer) or _BACKOFF[min(attempt, len(_BACKOFF) - 1)]
                trouble = _answers.busy(self.config, doing, answer, pause)
            if waited + pause > PATIENCE:
                raise trouble
            log.info("waiting for Azure", doing=doing, seconds=pause, reason=str(trouble))
            time.sleep(pause)
            waited, attempt = waited + pause, attempt + 1

    def _ended(self, answer: HttpResponse, doing: str, deadline: float) -> Mapping[str, Any]:
        """Wait for an operation (learn.microsoft.com/azure/azure-resource-manager/management/async-operations)."""
        url = answer.headers.get("Azure-AsyncOperation")
        location = answer.headers.get("Location")
        method = answer.request.method
        made = None if method in ("POST", "DELETE") else answer.request.url
        pause = _POLL[0]
        while True:
            told = _answers.body(answer)
            state = str(told.get("status") or "") if url else _provisioning(told)
            waits = answer.status_code == 202 if not url and location else state not in _answers.ENDED
            if not waits:
                break
            wanted = _answers.asked_to_wait(answer)
            if time.monotonic() >= deadline:
                raise OperationTimedOut(doing=doing, seconds=self.config.snapshot_timeout)
            time.sleep(min(max(pause, wanted or 0.0), max(0.0, deadline - time.monotonic())))
            pause = min(_POLL[1], pause * 1.5)
            look = url or location or made
            if look is None:
                return told
            answer = self._send("GET", self._ours(look, doing), None, doing, {})
        if state in _answers.FAILED:
            raise _answers.failed(doing, told)
        if url and made:
            return _answers.body(self._send("GET", made, None, doing, {}))
        output = (told.get("properties") or {}).get("output")
        if url and location and method == "POST" and not isinstance(output, Mapping):
            return _answers.body(self._send("GET", self._ours(location, doing), None, doing, {}))
        return output if isinstance(output, Mapping) else told

    def _ours(self, url: str, doing: str) -> str:
        """A URL that Azure gave; the token goes nowhere else than to where it is for."""
        wanted, given = urlsplit(self.config.endpoints.resource_manager), urlsplit(url)
        if (given.scheme, given.netloc.lower()) != (wanted.scheme, wanted.netloc.lower()):
            reason = f"{doing}: Azure refers to {given.netloc}, which is not its Resource Manager"
            raise SourceUnavailable(place=self.config.place, reason=reason)
        return url

    def _connected(self) -> PipelineClient[HttpRequest, HttpResponse]:
        with self._lock:
            if self._pipeline is None:
                config = self.config
                if config.ca_file is not None and not config.ca_file.is_file():
                    raise SourceConfigInvalid(detail=f"`tls.caFile` {config.ca_file} is not there")
                self._credential = _credentials.make(config)
                transport = RequestsTransport(
                    connection_timeout=CONNECT_TIMEOUT,
                    read_timeout=READ_TIMEOUT,
                    connection_verify=str(config.ca_file) if config.ca_file else True,
                )
                policies = [
                    RequestIdPolicy(),
                    UserAgentPolicy("rehost"),
                    BearerTokenCredentialPolicy(self._credential, f"{config.endpoints.audience}/.default"),
                ]
                self._pipeline = PipelineClient(
                    config.endpoints.resource_manager, policies=policies, transport=transport
                )
            return self._pipeline


def _provisioning(told: Mapping[str, Any]) -> str:
    return str((told.get("properties") or {}).get("provisioningState") or "Succeeded")


def or_refused(call: Callable[[], Any]) -> Any:
    """The result; None where the account may not know it."""
    try:
        return call()
    except CredentialsRefused as error:
        log.info("something is not known", reason=str(error))
        return None
