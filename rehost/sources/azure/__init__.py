"""Machines of an Azure subscription: snapshots and restore points by Azure Resource Manager, bytes from page blobs."""

from rehost.sources.azure._source import AzureSource

__all__ = ["AzureSource"]
