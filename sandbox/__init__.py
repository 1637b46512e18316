"""A local AWS and a simulated vCenter for the demo, the tests and for trying a spec. Never imported by the product."""

from sandbox._process import Sandbox
from sandbox._vsphere import SimulatedMachine, VSphere

__all__ = ["Sandbox", "SimulatedMachine", "VSphere"]
