"""A stand-in for Windows hosts with Hyper-V: PowerShell remoting, WMI's model of Hyper-V, and disks that are real files.

What it is made of: `_http`, `_login`, `_sealing`, `_winrm`, `_soap` and `_shells` are WinRM; `powershell` runs scripts;
`cmdlets` are Windows's modules; `model` is Hyper-V.
"""

from sandbox.hyperv._host import PASSWORD, USER, HyperVHost
from sandbox.hyperv._kdc import REALM, Kdc, KdcMissing, kdc_program
from sandbox.hyperv._shells import Quotas
from sandbox.hyperv.model import Adapter, Checkpoint, Disk, Machine, ReferencePoint

__all__ = [
    "PASSWORD",
    "REALM",
    "USER",
    "Adapter",
    "Checkpoint",
    "Disk",
    "HyperVHost",
    "Kdc",
    "KdcMissing",
    "Machine",
    "Quotas",
    "ReferencePoint",
    "kdc_program",
]
