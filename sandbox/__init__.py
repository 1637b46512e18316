"""A local AWS, a simulated vCenter, a stand-in for Hyper-V and a file server, for the demo, the tests and for trying a spec. Never imported by the product."""

from sandbox._hyperv import HyperV
from sandbox._process import Sandbox
from sandbox._samba import Samba, SambaMissing
from sandbox._vsphere import SimulatedMachine, VSphere

__all__ = ["HyperV", "Samba", "SambaMissing", "Sandbox", "SimulatedMachine", "VSphere"]
