"""Hyper-V as its WMI provider and its cmdlets show it: hosts, machines, disks, checkpoints, reference points."""

from sandbox.hyperv.model._associations import associated
from sandbox.hyperv.model._cim import (
    CIMV2,
    VIRTUALIZATION,
    CimClass,
    CimClassObject,
    CimInstance,
    Serializer,
    cim_class,
    cim_error,
    condition,
    from_text,
    to_text,
)
from sandbox.hyperv.model._disks import Disk, DiskFile, Drive, make
from sandbox.hyperv.model._estate import Estate, Failed, Job
from sandbox.hyperv.model._instances import fetch, instances
from sandbox.hyperv.model._machines import Adapter, Checkpoint, Machine, ReferencePoint, Service
from sandbox.hyperv.model._methods import invoke
from sandbox.hyperv.model._node import VERSIONS, Cluster, Node

__all__ = [
    "CIMV2",
    "VERSIONS",
    "VIRTUALIZATION",
    "Adapter",
    "Checkpoint",
    "CimClass",
    "CimClassObject",
    "CimInstance",
    "Cluster",
    "Disk",
    "DiskFile",
    "Drive",
    "Estate",
    "Failed",
    "Job",
    "Machine",
    "Node",
    "ReferencePoint",
    "Serializer",
    "Service",
    "associated",
    "cim_class",
    "cim_error",
    "condition",
    "fetch",
    "from_text",
    "instances",
    "invoke",
    "make",
    "to_text",
]
