"""What makes a disk boot: Debian's cloud kernel, our initramfs and syslinux, gathered once and kept in the cache."""

from __future__ import annotations

import platform
from dataclasses import dataclass
from pathlib import Path

from sandbox.machines import _initramfs
from sandbox.machines._errors import PackageUnavailable
from sandbox.machines._packages import Packages

_KERNEL = r"linux-image-\d[\w.+-]*-cloud-amd64"


@dataclass(frozen=True)
class BootFiles:
    kernel: Path
    initramfs: bytes
    busybox: Path
    syslinux: Path  # the installer that writes into a FAT image through mtools
    mbr: bytes  # at most 440 bytes of boot code
    path: tuple[Path, ...]  # directories with mtools, for PATH


def gather(packages: Packages) -> BootFiles:
    """Find or fetch everything. Raises `PackageUnavailable` or another `MachineError`; a retry is safe."""
    if platform.machine() != "x86_64":
        raise PackageUnavailable(
            package="linux-image-cloud-amd64", detail=f"this machine is {platform.machine()}, the demo's are x86_64"
        )
    image = packages.newest("linux-image-cloud-amd64", _KERNEL)
    release = image.removeprefix("linux-image-")
    kernel = packages.root_of(image, r"boot/vmlinuz-.*|(usr/)?lib/modules/.*/[\w-]+\.ko(\.xz)?")
    busybox = packages.root_of("busybox-static", r"(usr/)?bin/busybox")
    syslinux = packages.root_of("syslinux", r"usr/bin/syslinux|usr/lib/SYSLINUX/mbr\.bin")
    mtools = packages.root_of("mtools", r"usr/bin/(mtools|mformat|mcopy|mattrib|mmove)")
    if mtools != Path("/"):
        _link_mtools(mtools / "usr/bin")
    binary = _first(busybox, "bin/busybox", "usr/bin/busybox")
    return BootFiles(
        kernel=_first(kernel, f"boot/vmlinuz-{release}"),
        initramfs=_initramfs.build(binary, _first(kernel, f"lib/modules/{release}", f"usr/lib/modules/{release}")),
        busybox=binary,
        syslinux=_first(syslinux, "usr/bin/syslinux"),
        mbr=_first(syslinux, "usr/lib/SYSLINUX/mbr.bin").read_bytes(),
        path=(mtools / "usr/bin",),
    )


def _first(root: Path, *candidates: str) -> Path:
    for candidate in candidates:
        if (root / candidate).exists():
            return root / candidate
    raise PackageUnavailable(package=candidates[0], detail=f"{root} has no {candidates[0]}")


def _link_mtools(folder: Path) -> None:
    """mtools is one program under many names; the links were not unpacked, since only regular files are."""
    for name in ("mformat", "mcopy", "mattrib", "mmove"):
        link = folder / name
        if not link.exists():
            link.symlink_to("mtools")
