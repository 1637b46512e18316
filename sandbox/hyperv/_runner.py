"""Between PowerShell remoting and the interpreter: commands and parameters in, objects and error records out."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

import psrpcore
from psrpcore.types import (
    ErrorCategory,
    ErrorCategoryInfo,
    ErrorRecord,
    NETException,
    PSCustomObject,
    PSGuid,
    PSInt64,
    PSUInt64,
)

from sandbox.hyperv._shells import Output, PipelineFailed
from sandbox.hyperv.powershell import (
    CommandTable,
    ErrorInfo,
    Hashtable,
    PowerShellError,
    Record,
    Session,
    Stopped,
    Unsupported,
    text,
)

_INT32, _INT64 = 2**31, 2**63


def runner(table: Callable[[], CommandTable], unsupported: Callable[[str], None]) -> Callable[..., None]:
    """What runs a pipeline's commands. `unsupported` hears what the interpreter does not know, for whoever looks for it."""

    def run(commands: Sequence[psrpcore.Command], output: Output) -> None:
        try:
            for command in commands:
                if not command.is_script:
                    raise Unsupported(f"the command {command.command_text} outside of a script")
                session = Session(table(), _Streams(output))
                session.run(
                    str(command.command_text), _parameters(command), lambda value: output.write(outgoing(value))
                )
        except PowerShellError as error:
            raise PipelineFailed(record(error.info)) from None
        except Unsupported as error:
            unsupported(str(error))
            info = ErrorInfo(str(error), "StandInUnsupported", "NotImplemented", "System.NotSupportedException")
            raise PipelineFailed(record(info)) from None
        except Stopped:
            return
        except Exception as error:
            # A mistake of the stand-in's own: the client is told, rather than left waiting.
            unsupported(f"{type(error).__name__}: {error}")
            info = ErrorInfo(f"the stand-in failed: {error!r}", "StandInFailed", "NotSpecified", "System.Exception")
            raise PipelineFailed(record(info)) from error

    return run


class _Streams:
    def __init__(self, output: Output) -> None:
        self._output = output

    def error(self, info: ErrorInfo) -> None:
        self._output.error(record(info))

    def warning(self, message: str) -> None:
        self._output.warning(message)

    @property
    def stopped(self) -> bool:
        return self._output.stopped


def _parameters(command: psrpcore.Command) -> Mapping[str, Any]:
    found: dict[str, Any] = {}
    for name, value in command.parameters:
        if name is None:
            raise Unsupported("arguments of a script without names")
        found[str(name).lstrip("-")] = incoming(value)
    return found


def incoming(value: Any) -> Any:
    """What a client sent as a value of the interpreter's. Raises Unsupported."""
    if value is None or isinstance(value, (bool, float)):
        return value
    if isinstance(value, int):
        return int(value)
    if isinstance(value, str):
        return str(value)
    if isinstance(value, uuid.UUID):
        return uuid.UUID(str(value))
    if isinstance(value, Mapping):
        return Hashtable((incoming(key), incoming(item)) for key, item in value.items())
    if isinstance(value, (list, tuple)):
        return [incoming(item) for item in value]
    raise Unsupported(f"a parameter of type {type(value).__name__}")


def outgoing(value: Any) -> Any:
    """As it goes over the wire."""
    if value is None or isinstance(value, (bool, float, str, datetime)):
        return value
    if isinstance(value, int):
        return value if -_INT32 <= value < _INT32 else PSInt64(value) if value < _INT64 else PSUInt64(value)
    if isinstance(value, uuid.UUID):
        return PSGuid(str(value))
    if isinstance(value, (list, tuple)):
        return [outgoing(item) for item in value]
    if isinstance(value, Record):
        return PSCustomObject(**{text(key): outgoing(item) for key, item in value.items()})
    if isinstance(value, Hashtable):
        return {text(key): outgoing(item) for key, item in value.items()}
    return text(value)


def record(info: ErrorInfo) -> ErrorRecord:
    exception = NETException(Message=info.message, HResult=info.hresult)
    exception.PSObject.type_names = [info.exception, "System.Exception", "System.Object"]
    return ErrorRecord(
        Exception=exception,
        CategoryInfo=ErrorCategoryInfo(
            Category=ErrorCategory[info.category],
            Activity=info.activity,
            Reason=info.exception.rsplit(".", 1)[-1],
            TargetName=text(info.target) if isinstance(info.target, (str, int)) else "",
            TargetType=type(info.target).__name__ if info.target is not None else "",
        ),
        TargetObject=info.target if isinstance(info.target, str) else None,
        FullyQualifiedErrorId=info.error_id,
    )
