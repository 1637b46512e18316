"""A local AWS, a simulated vCenter and a file server for the demo, the tests and for trying a spec. Never imported by the product."""

from sandbox._process import Sandbox
from sandbox._samba import Samba, SambaMissing
from sandbox._vsphere import SimulatedMachine, VSphere

__all__ = ["Samba", "SambaMissing", "Sandbox", "SimulatedMachine", "VSphere"]
