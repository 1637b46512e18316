"""The cmdlets of Windows modules that rehost's scripts use, on the model."""

from collections.abc import Sequence

from sandbox.hyperv.cmdlets._cim import cim_cmdlets
from sandbox.hyperv.cmdlets._hyperv import ABSENT, hyperv_cmdlets
from sandbox.hyperv.cmdlets._site import site_absent, site_cmdlets
from sandbox.hyperv.model import Node
from sandbox.hyperv.powershell import CORE, Cmdlet, CommandTable

__all__ = ["command_table"]


def command_table(node: Node) -> CommandTable:
    cmdlets: Sequence[Cmdlet] = [*CORE, *cim_cmdlets(node), *hyperv_cmdlets(node), *site_cmdlets(node)]
    return CommandTable(cmdlets, [*ABSENT[node.windows], *site_absent(node)])
