"""Running QEMU machines: a point in time by a backup job, changed blocks by dirty bitmaps, bytes over NBD."""

from rehost.sources.qemu._monitor import Monitor, qmp_session
from rehost.sources.qemu._names import PREFIX
from rehost.sources.qemu._source import QemuSource

__all__ = ["PREFIX", "Monitor", "QemuSource", "qmp_session"]
