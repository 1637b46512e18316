"""An initramfs with busybox and the kernel modules that a disk needs, written as the kernel documents it.

The format is "newc" cpio, see Documentation/driver-api/early-userspace/buffer-format.rst in the kernel's source.
"""

from __future__ import annotations

import gzip
import lzma
from collections.abc import Iterable, Iterator
from pathlib import Path

from sandbox.machines._guest import INITRAMFS_INIT

#: What the guest may meet: NVMe and ENA on EC2; NVMe, virtio, IDE and AHCI in QEMU. A module that this kernel has built
#: in, or does not have, is passed over. crc32c is a soft dependency of ext4: it appears in no `depends=`.
MODULES = (
    *("nvme", "virtio_pci", "virtio_blk", "virtio_scsi", "ata_piix", "ahci", "sd_mod"),
    *("crc32c_generic", "crc32c_intel", "ext4"),
    *("af_packet", "ena", "virtio_net", "e1000", "button", "evdev"),
)


def build(busybox: Path, modules: Path) -> bytes:
    """The compressed initramfs; `modules` is a kernel's directory below /lib/modules."""
    found = {_name(path): path for path in modules.rglob("*.ko*")}
    loaded = [found[name] for name in load_order(MODULES, found)]
    entries: list[tuple[str, int, bytes]] = [
        ("bin", 0o040755, b""),
        ("modules", 0o040755, b""),
        ("bin/busybox", 0o100755, busybox.read_bytes()),
        ("init", 0o100755, INITRAMFS_INIT.encode()),
        ("modules/order", 0o100644, "".join(f"{_name(path)}.ko\n" for path in loaded).encode()),
        *((f"modules/{_name(path)}.ko", 0o100644, _read(path)) for path in loaded),
    ]
    return gzip.compress(b"".join(_cpio(entries)), compresslevel=6, mtime=0)


def load_order(wanted: Iterable[str], found: dict[str, Path]) -> list[str]:
    """The wanted modules and what they depend on, each once, dependencies first."""
    order: dict[str, None] = {}

    def add(name: str) -> None:
        if name in found and name not in order:
            for dependency in depends(_read(found[name])):
                add(dependency)
            order[name] = None

    for name in wanted:
        add(name)
    return list(order)


def depends(module: bytes) -> list[str]:
    """The modules a module names in its `.modinfo`; a package lacks the modules.dep that depmod makes from these."""
    start = module.find(b"\0depends=")
    if start < 0:
        return []
    names = module[start + len(b"\0depends=") : module.index(b"\0", start + 1)].decode()
    return [name.replace("-", "_") for name in names.split(",") if name]


def _name(path: Path) -> str:
    return path.name.split(".")[0].replace("-", "_")


def _read(path: Path) -> bytes:
    # Debian compresses modules since 13.
    return lzma.decompress(path.read_bytes()) if path.suffix == ".xz" else path.read_bytes()


def _cpio(entries: Iterable[tuple[str, int, bytes]]) -> Iterator[bytes]:
    for number, (name, mode, content) in enumerate([*entries, ("TRAILER!!!", 0, b"")], start=1):
        encoded = name.encode() + b"\0"
        # magic, ino, mode, uid, gid, nlink, mtime, filesize, devmajor, devminor, rdevmajor, rdevminor, namesize, check
        fields = (number, mode, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(encoded), 0)
        header = b"070701" + b"".join(b"%08X" % value for value in fields) + encoded
        yield header + bytes(-len(header) % 4)
        yield content + bytes(-len(content) % 4)
