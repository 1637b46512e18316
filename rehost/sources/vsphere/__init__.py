"""vCenter as a source: snapshots, changed block tracking, and disks read over HTTPS, through VDDK or by export."""

from rehost.sources.vsphere._source import VSphereSource

__all__ = ["VSphereSource"]
