"""One session of PowerShell remoting with a host: a runspace that runs our scripts, one after the other.

pypsrp is not thread-safe, so a session belongs to one thread at a time; `_host.py` keeps several.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping
from typing import Any
from xml.etree.ElementTree import ParseError

import requests
import structlog
from pypsrp.complex_objects import PSInvocationState
from pypsrp.exceptions import AuthenticationError, WinRMError, WinRMTransportError, WSManFaultError
from pypsrp.powershell import PowerShell, RunspacePool
from pypsrp.wsman import WSMan
from spnego.exceptions import FeatureMissingError, SpnegoError

from rehost.sources._errors import CredentialsRefused, SourceConfigInvalid, SourceError, SourceUnavailable
from rehost.sources.hyperv import _scripts, _sealed, _tls
from rehost.sources.hyperv._config import Endpoint, HyperVConfig
from rehost.sources.hyperv._errors import MachineGone, NotEncrypted, ScriptFailed

log = structlog.get_logger("rehost.sources.hyperv")

CONNECT_TIMEOUT = 15  # seconds
#: WinRM answers at least this often while a script runs (operation timeout), so that a dead host is noticed soon after.
OPERATION_TIMEOUT, READ_TIMEOUT = 20, 30  # seconds
_UNKNOWN_MACHINE = "invalidparameter,microsoft.hyperv.powershell.commands.getvm"
_ACCESS_DENIED = 5  # WSMan's fault of that name
#: Everything that pypsrp and what is below it raise.
FOREIGN = (
    WinRMError,
    SpnegoError,
    FeatureMissingError,
    ImportError,
    requests.RequestException,
    ParseError,
    OSError,
    ValueError,
    KeyError,
)


#: What MIT Kerberos says where clocks differ: the host's, and the domain controller's.
_CLOCKS = ("clock skew", "not yet valid")


def _of_kerberos(error: BaseException) -> bool:
    """pyspnego passes some errors of these packages on as they are; they are not everywhere, so their types cannot be named."""
    return type(error).__module__.partition(".")[0] in ("krb5", "gssapi")


def _foreign(error: Exception) -> bool:
    return isinstance(error, FOREIGN) or _of_kerberos(error)


class Session:
    """Connects when it is made. What it raises is a SourceError."""

    def __init__(self, config: HyperVConfig, endpoint: Endpoint, username: str, password: str) -> None:
        self._config = config
        self._endpoint = endpoint
        self._username = username
        options: dict[str, Any] = {}
        if config.cert_file and config.key_file:
            options = {"certificate_pem": str(config.cert_file), "certificate_key_pem": str(config.key_file)}
        self._wsman: Any = WSMan(
            endpoint.host,
            port=endpoint.port,
            username=username,
            password=password,
            ssl=config.https,
            encryption="auto" if config.https else "always",
            auth=config.auth.value,
            no_proxy=True,
            connection_timeout=CONNECT_TIMEOUT,
            operation_timeout=OPERATION_TIMEOUT,
            read_timeout=READ_TIMEOUT,
            **options,
        )
        self._pool: Any = None
        try:
            self._wsman.transport.session = self._wsman.transport._build_session()
            _tls.trust(config, self._wsman.transport.session)
            if not config.https:
                _sealed.seal(self._wsman.transport)
            self._pool = RunspacePool(self._wsman, configuration_name=config.configuration)
            self._pool.open()
        except Exception as error:
            self._wsman.close()
            if not _foreign(error):
                raise
            raise self._translated(error, "connecting") from error

    def run(self, script: str, parameters: Mapping[str, Any]) -> Any:
        """What a script answers. Raises SourceError: ScriptFailed and MachineGone leave the session usable."""
        try:
            shell = PowerShell(self._pool)
            shell.add_script(_scripts.text(script))
            if parameters:
                shell.add_parameters(dict(parameters))
            output = shell.invoke()
        except Exception as error:
            if not _foreign(error):
                raise
            raise self._translated(error, script) from error
        if shell.state != PSInvocationState.COMPLETED or not output:
            raise self._failed(script, shell.streams.error, parameters)
        answer = "".join(str(part) for part in output)
        try:
            return _plain(json.loads(answer))
        except ValueError:
            reason = f"its answer is no JSON: {answer[:200]!r}"
            raise ScriptFailed(place=str(self._endpoint), script=script, reason=reason, kind="answer") from None

    def close(self) -> None:
        """The host ends what is left of it by itself, when it has been idle for long."""
        with contextlib.suppress(*FOREIGN):
            self._pool.close()
        self.drop()

    def drop(self) -> None:
        """Let go of the connection without a word to the host."""
        self._wsman.close()

    def _failed(self, script: str, errors: Any, parameters: Mapping[str, Any]) -> SourceError:
        place = str(self._endpoint)
        record = errors[-1] if errors else None
        reason = str(record).strip() if record is not None else "it ended without an answer"
        kind = str(getattr(record, "fq_error", "") or "")
        category = str(getattr(record, "category", "") or "")
        lowered = f"{kind} {category} {reason}".lower()
        if "accessdenied" in lowered.replace(" ", "") or "permissiondenied" in lowered.replace(" ", ""):
            told = f"{script}: {reason}; docs/sources/hyperv.md lists what the account {self._username!r} needs"
            return CredentialsRefused(place=place, reason=told)
        # The text is in the host's language; an id that Get-VM does not know is an invalid parameter of it in every language.
        unknown = _UNKNOWN_MACHINE in kind.lower() or "unable to find a virtual machine" in lowered
        if "Id" in parameters and (unknown or "objectnotfound" in lowered):
            return MachineGone(place=place, machine=str(parameters["Id"]))
        return ScriptFailed(place=place, script=script, reason=reason, kind=kind)

    def _translated(self, error: Exception, doing: str) -> SourceError:
        place, text = str(self._endpoint), _text(error)
        if any(each in text.lower() for each in _CLOCKS):
            reason = (
                f"{doing}: Kerberos refuses as the clocks differ by more than it allows (5 minutes by default): "
                "set the clocks of this machine, the host and the domain controller by the same time server"
            )
            return SourceUnavailable(place=place, reason=reason)
        if isinstance(error, (ImportError, FeatureMissingError)):
            detail = (
                f"`auth: {self._config.auth.value}` cannot be had here: {text}; install Python's gssapi and krb5 "
                "(docs/sources/hyperv.md), or set `auth: ntlm`"
            )
            return SourceConfigInvalid(detail=detail)
        if isinstance(error, requests.exceptions.SSLError):
            return _tls.refused(self._config, self._endpoint, error)
        if isinstance(error, _sealed.AnsweredInClear):
            return NotEncrypted(place=place, reason=f"{doing}: {error}")
        if isinstance(error, AuthenticationError):
            reason = (
                f"{doing}: user {self._username!r} or its password is wrong, or {self._config.auth.value} is off there; "
                "correct what `credentials` refers to, or `auth`"
            )
            return CredentialsRefused(place=place, reason=reason)
        if isinstance(error, SpnegoError) or _of_kerberos(error):
            reason = f"{doing}: {self._config.auth.value} cannot log {self._username!r} in: {text}; correct `credentials` or `auth`"
            return CredentialsRefused(place=place, reason=reason)
        denied = isinstance(error, WSManFaultError) and error.code == _ACCESS_DENIED
        if denied or (isinstance(error, WinRMTransportError) and error.code == 403):
            reason = f"{doing}: the account {self._username!r} may not use PowerShell remoting there; docs/sources/hyperv.md lists what it needs"
            return CredentialsRefused(place=place, reason=reason)
        return SourceUnavailable(place=place, reason=f"{doing}: {text}")


def _text(error: Exception) -> str:
    """The last of what is told: errors of requests quote all those below them, with their addresses in memory."""
    if isinstance(error, requests.Timeout):
        return "no answer in time"
    if isinstance(error, WSManFaultError):
        return str(error.reason or error.provider_fault or error.message)
    if isinstance(error, WinRMTransportError):
        return f"it answered with HTTP {error.code}"
    if isinstance(error, requests.ConnectionError):
        inner = _tls.innermost(error)
        told = str(inner.args[-1]) if inner.args else type(inner).__name__
        return told.rpartition(">: ")[2] or told
    return str(error) or type(error).__name__


def _plain(value: Any) -> Any:
    """Windows PowerShell 5.1 writes some lists as {"value": [...], "Count": n}."""
    if isinstance(value, dict):
        if set(value) == {"value", "Count"}:
            return _plain(value["value"])
        return {key: _plain(each) for key, each in value.items()}
    return [_plain(each) for each in value] if isinstance(value, list) else value
