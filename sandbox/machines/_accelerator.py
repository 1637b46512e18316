"""Which of QEMU's accelerators can boot these disks on this machine."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

#: KVM without hardware support, as some clouds have it inside their guests. It emulates 16 and 32 bit code, and stops
#: with "KVM internal error" in the boot loader (measured with syslinux; QEMU 7.2, Linux 6.18).
_SOFTWARE_KVM = Path("/sys/module/kvm_pvm")


def accelerator(device: Path = Path("/dev/kvm"), software: Path = _SOFTWARE_KVM) -> Literal["kvm", "tcg"]:
    """`kvm` where it can be opened and runs a boot loader; else `tcg`, which is there in about four seconds too."""
    if software.exists():
        return "tcg"
    try:
        os.close(os.open(device, os.O_RDWR | os.O_CLOEXEC))
    except OSError:
        return "tcg"
    return "kvm"
