"""A stand-in for Windows hosts with Hyper-V: PowerShell remoting, WMI's model of Hyper-V, and disks that are real files.

What it is made of: `_http`, `_login`, `_winrm`, `_soap` and `_shells` are WinRM; `powershell` runs scripts; `cmdlets` are Windows's
modules; `model` is Hyper-V.
"""

from sandbox._hyperv import PASSWORD, USER
from sandbox.hyperv._host import HyperVHost
from sandbox.hyperv._shells import Quotas
from sandbox.hyperv.model import Adapter, Checkpoint, Disk, Machine, ReferencePoint

__all__ = ["PASSWORD", "USER", "Adapter", "Checkpoint", "Disk", "HyperVHost", "Machine", "Quotas", "ReferencePoint"]
