"""A local AWS for the demo, the tests and for trying a spec. Never imported by the product."""

from sandbox._process import Sandbox

__all__ = ["Sandbox"]
