"""Azure on loopback for the tests and the demo of the Azure source: login, Resource Manager and managed disks over Azurite."""

from sandbox.azure._azurite import Azurite
from sandbox.azure._cloud import GROUP, LOCATION, AzureCloud, MachineHandle
from sandbox.azure._faults import Fault
from sandbox.azure._resources import DiskSpec, NicSpec, Settings

__all__ = ["GROUP", "LOCATION", "AzureCloud", "Azurite", "DiskSpec", "Fault", "MachineHandle", "NicSpec", "Settings"]
