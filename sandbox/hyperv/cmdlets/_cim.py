"""The CimCmdlets module (learn.microsoft.com/powershell/module/cimcmdlets) on a host's classes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from sandbox.hyperv.model import (
    CIMV2,
    CimClass,
    CimClassObject,
    CimInstance,
    Node,
    Serializer,
    associated,
    cim_class,
    cim_error,
    condition,
    fetch,
    instances,
    invoke,
)
from sandbox.hyperv.powershell import (
    STATIC_METHODS,
    STATIC_PROPERTIES,
    Bound,
    Cmdlet,
    EnumValue,
    Hashtable,
    PowerShellError,
    Unsupported,
    text,
    type_of,
)

_NOT_FOUND, _INVALID_CLASS, _INVALID_NAMESPACE = 0x80041002, 0x80041010, 0x8004100E


# The types that a script makes embedded instances with.
STATIC_METHODS["microsoft.management.infrastructure.serialization.cimserializer"] = {"create": Serializer}
STATIC_PROPERTIES["microsoft.management.infrastructure.serialization.instanceserializationoptions"] = {
    "none": lambda: EnumValue(
        "None", 0, "Microsoft.Management.Infrastructure.Serialization.InstanceSerializationOptions"
    )
}


def cim_cmdlets(node: Node) -> Sequence[Cmdlet]:
    def defined(bound: Bound, name: str, command: str) -> CimClass:
        namespace = text(bound["Namespace"] or CIMV2).replace("\\", "/").lower()
        definition = cim_class(name)
        if namespace not in ("root/cimv2", "root/virtualization/v2"):
            raise cim_error("Invalid namespace ", _INVALID_NAMESPACE, "MetadataError", command, namespace)
        if definition.namespace != namespace or not node.has_class(name):
            raise cim_error("Invalid class ", _INVALID_CLASS, "MetadataError", command, f"{namespace}:{name}")
        return definition

    def get_instance(bound: Bound) -> Iterable[Any]:
        if "InputObject" in bound:
            given = _instance(bound["InputObject"], "Get-CimInstance")
            found = fetch(node, given)
            if found is None:
                raise cim_error("Not found ", _NOT_FOUND, "ObjectNotFound", "GetCimInstanceCommand", given.text())
            return [found]
        name = text(bound["ClassName"])
        definition = defined(bound, name, "GetCimInstanceCommand")
        node.estate.faults.take("class", definition.name)
        made = instances(node, name)
        if "Filter" in bound:
            holds = condition(text(bound["Filter"]), definition)
            return [instance for instance in made if holds(instance)]
        return made

    def get_associated(bound: Bound) -> Iterable[Any]:
        given = _instance(bound["InputObject"], "Get-CimAssociatedInstance")
        current = fetch(node, given)
        return associated(node, given if current is None else current, text(bound["ResultClassName"]))

    def call(bound: Bound) -> Iterable[Any]:
        given = _instance(bound["InputObject"], "Invoke-CimMethod")
        arguments = bound["Arguments"] if "Arguments" in bound else Hashtable()
        if not isinstance(arguments, Hashtable):
            raise Unsupported(f"{type_of(arguments)} for -Arguments of Invoke-CimMethod")
        current = fetch(node, given)
        if current is None:
            raise cim_error("Not found ", _NOT_FOUND, "ObjectNotFound", "InvokeCimMethodCommand", given.text())
        return [invoke(node, current, text(bound["MethodName"]), arguments)]

    def get_class(bound: Bound) -> Iterable[Any]:
        return [CimClassObject(defined(bound, text(bound["ClassName"]), "GetCimClassCommand"))]

    def new_instance(bound: Bound) -> Iterable[Any]:
        if not bound["ClientOnly"]:
            raise Unsupported("New-CimInstance without -ClientOnly")
        if "CimClass" in bound:
            made = bound["CimClass"]
            if not isinstance(made, CimClassObject):
                raise Unsupported(f"{type_of(made)} for -CimClass of New-CimInstance")
            definition = made.definition
        else:
            definition = defined(bound, text(bound["ClassName"]), "NewCimInstanceCommand")
        values = bound["Property"] if "Property" in bound else Hashtable()
        return [CimInstance(definition.name, {text(key): value for key, value in values.items()})]

    return (
        Cmdlet("Get-CimInstance", get_instance, ["Namespace", "ClassName", "Filter", "InputObject"], ["ClassName"]),
        Cmdlet("Get-CimAssociatedInstance", get_associated, ["InputObject", "ResultClassName"], ["InputObject"]),
        Cmdlet("Invoke-CimMethod", call, ["InputObject", "MethodName", "Arguments"], ["InputObject"]),
        Cmdlet("Get-CimClass", get_class, ["Namespace", "ClassName"], ["ClassName"]),
        Cmdlet("New-CimInstance", new_instance, ["Namespace", "ClassName", "CimClass", "ClientOnly?", "Property"]),
    )


def _instance(value: Any, command: str) -> CimInstance:
    if isinstance(value, CimInstance):
        return value
    if value is None:
        raise PowerShellError(
            cim_error(
                "Cannot bind argument to parameter 'InputObject' because it is null.",
                0x80041008,
                "InvalidData",
                f"{command.replace('-', '')}Command",
            ).info
        )
    raise Unsupported(f"{type_of(value)} for -InputObject of {command}")
