"""A local AWS, a simulated vCenter and a simulated Azure for the demo, the tests and for trying a spec. Never imported by the product."""

from sandbox._azure import AzureProcess, CloudMachine
from sandbox._process import Sandbox
from sandbox._vsphere import SimulatedMachine, VSphere

__all__ = ["AzureProcess", "CloudMachine", "Sandbox", "SimulatedMachine", "VSphere"]
