"""A Hyper-V host, failover cluster, or the hosts that SCVMM knows, as a source."""

from rehost.sources.hyperv._source import HyperVSource

__all__ = ["HyperVSource"]
