"""What AWS's reasons for a failed import mean, and what to do: its own words stay, ours come behind them.

The reasons are those of the VM Import/Export user guide, "Troubleshooting VM Import/Export".
"""

from __future__ import annotations

import re

_REGISTER = "`image: {conversion: register}` takes the disks as they are"

#: (what AWS says, what to do), the first that fits.
_ADVICE = (
    (r"unknown os|missing os files|unsupported.*operating system", f"its system is not one that VM import knows; {_REGISTER}"),
    (r"no valid partitions|not a valid volume|invalid partition", "the first disk has no partition to boot from; the root disk must come first in the locator"),
    (r"grub|menu\.lst|boot ?loader|bootmgr|lilo", f"its boot loader is not one that VM import can adapt; repair it in the guest, or {_REGISTER}"),
    (r"kernel", f"install one of the kernels that the VM Import/Export user guide lists, or {_REGISTER}"),
    (r"efi|uefi", "name the firmware: `image: {bootMode: uefi, platform: linux}` (or windows)"),
    (r"encrypted|bitlocker|luks|dm-crypt", "the guest's own disk encryption must be off for an import"),
    (r"firstbootfailure|failed to boot|network connectivity", "it did not come up in AWS: DHCP must be on, and the firewall must let it; see the user guide's list for Windows"),
    (r"license|byol|activation", "set `image: {license: byol}`, or let it be activated"),
    (r"disk.*(space|full)|insufficient space", "make room on the guest's root file system: the importer installs drivers there"),
    (r"hibernat|fast startup|dirty|chkdsk", "shut Windows down completely (hibernation and fast startup off) and check its disks"),
    (r"limit|quota", "too many imports run at once, or a quota of the account is reached; it is tried again"),
    (r"timed? ?out", "the importer took too long; it is tried again"),
)  # fmt: skip

#: A failure of AWS's own, not of the guest: trying again may help.
_OWN_FAULT = re.compile(r"server ?error|internal error|service.*unavailable", re.IGNORECASE)


def advice(reason: str) -> str:
    """What to do about a failed import; never empty."""
    for pattern, text in _ADVICE:
        if re.search(pattern, reason, re.IGNORECASE):
            return text
    return f"VM import has its own list of supported systems and boot loaders; {_REGISTER}"


def is_own_fault(reason: str) -> bool:
    return bool(_OWN_FAULT.search(reason))
