"""A script's param() block, and what a caller gave for it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from sandbox.hyperv.powershell._errors import ErrorInfo, PowerShellError, Unsupported
from sandbox.hyperv.powershell._syntax import Node
from sandbox.hyperv.powershell._types import cast
from sandbox.hyperv.powershell._values import Hashtable


def bind(
    block: Node, given: Mapping[str, Any], value_of: Callable[[Node], Any], keep: Callable[[str, Any], None]
) -> None:
    """`keep` gets each parameter's name and value in the order of the block; `value_of` evaluates a default.

    Raises PowerShellError as binding does: for what is missing, what is not known, what cannot be cast.
    """
    left = Hashtable(given)
    listed = block.first("parameter_list")
    missing: list[str] = []
    for parameter in listed.named if listed is not None else []:
        variable = parameter.first("variable")
        if variable is None:
            raise Unsupported(f"the parameter {parameter.text[:40]}")
        name = variable.text[1:].strip("{}")
        kind, mandatory = _attributes(parameter)
        default = parameter.first("script_parameter_default")
        if name in left:
            keep(name, _transformed(name, kind, left.pop(name)))
        elif mandatory:
            missing.append(name)
        elif default is not None:
            value = value_of(default.named[-1])
            keep(name, cast(kind, value) if kind else value)
        else:
            keep(name, cast(kind, None) if kind and not kind.endswith("[]") else None)
    if missing:
        message = f"Cannot process command because of one or more missing mandatory parameters: {' '.join(missing)}."
        raise _binding(message, "MissingMandatoryParameter")
    refuse(left)


def refuse(given: Mapping[str, Any]) -> None:
    """Nobody knows these parameters."""
    for name in given:
        raise _binding(f"A parameter cannot be found that matches parameter name '{name}'.", "NamedParameterNotFound")


def _attributes(parameter: Node) -> tuple[str, bool]:
    """The type, and whether it must be given."""
    kind, mandatory = "", False
    attributes = parameter.first("attribute_list")
    for attribute in attributes.named if attributes is not None else []:
        literal = attribute.first("type_literal")
        if literal is not None:
            kind = literal.text[1:-1]
        else:
            mandatory = _mandatory(attribute)
    return kind, mandatory


def _transformed(name: str, kind: str, value: Any) -> Any:
    try:
        return cast(kind, value) if kind else value
    except PowerShellError as error:
        message = f"Cannot process argument transformation on parameter '{name}'. {error}"
        raise _binding(message, "ParameterArgumentTransformationError") from None


def _mandatory(attribute: Node) -> bool:
    shown = "".join(attribute.text.split()).lower()
    if shown in ("[parameter(mandatory)]", "[parameter(mandatory=$true)]"):
        return True
    if shown in ("[parameter()]", "[parameter(mandatory=$false)]"):
        return False
    raise Unsupported(f"the attribute {attribute.text}")


def _binding(message: str, error_id: str) -> PowerShellError:
    return PowerShellError(
        ErrorInfo(message, error_id, "InvalidArgument", "System.Management.Automation.ParameterBindingException")
    )
