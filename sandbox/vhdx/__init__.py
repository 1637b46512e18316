"""Makes and writes virtual disks of Hyper-V: what the stand-in for a Hyper-V host keeps its machines' disks in, and what the
reader in `rehost.sources.vhd` is tested with. Sizes and offsets are in bytes.

    with create("disk.vhdx", 1 << 30) as disk:
        disk.write(0, data)
    with create("disk_1.avhdx", parent="disk.vhdx") as change:
        change.write(4096, data)
    merge("disk_1.avhdx", "disk.vhdx")
"""

from sandbox.vhdx._create import create_vhdx
from sandbox.vhdx._merge import merge, relink, resize
from sandbox.vhdx._open import Writer, create, open_writer
from sandbox.vhdx._vhd import VhdWriter, create_vhd
from sandbox.vhdx._vhdx import VhdxWriter

__all__ = [
    "VhdWriter",
    "VhdxWriter",
    "Writer",
    "create",
    "create_vhd",
    "create_vhdx",
    "merge",
    "open_writer",
    "relink",
    "resize",
]
