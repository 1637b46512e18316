"""A small PowerShell: as much of Windows PowerShell 5.1 as rehost's scripts use. What it does not know is an error that names it."""

from sandbox.hyperv.powershell._cmdlets import CORE, Bound, Cmdlet, CommandTable
from sandbox.hyperv.powershell._errors import (
    ErrorInfo,
    PowerShellError,
    Stopped,
    Unsupported,
    command_not_found,
    runtime_error,
)
from sandbox.hyperv.powershell._interpreter import Session, Streams
from sandbox.hyperv.powershell._operators import like
from sandbox.hyperv.powershell._types import STATIC_METHODS, STATIC_PROPERTIES
from sandbox.hyperv.powershell._values import (
    VOID,
    EnumValue,
    Hashtable,
    NetObject,
    Record,
    TypeName,
    equal,
    items,
    number,
    order,
    plain,
    text,
    truth,
    type_of,
)

__all__ = [
    "CORE",
    "STATIC_METHODS",
    "STATIC_PROPERTIES",
    "VOID",
    "Bound",
    "Cmdlet",
    "CommandTable",
    "EnumValue",
    "ErrorInfo",
    "Hashtable",
    "NetObject",
    "PowerShellError",
    "Record",
    "Session",
    "Stopped",
    "Streams",
    "TypeName",
    "Unsupported",
    "command_not_found",
    "equal",
    "items",
    "like",
    "number",
    "order",
    "plain",
    "runtime_error",
    "text",
    "truth",
    "type_of",
]
