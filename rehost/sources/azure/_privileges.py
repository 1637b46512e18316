"""What the account must be allowed: the role of docs/policies/azure-role.json, which tests hold to this list and to what is called."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rehost.sources._protocol import Concern, Severity
from rehost.sources.azure._client import Client, or_refused

AUTHORIZATION = "2022-04-01"  # version of the API
_COMPUTE = "Microsoft.Compute"
_POINTS = f"{_COMPUTE}/restorePointCollections"

#: Action -> what it is needed for, on the machines, their disks and interfaces.
ON_MACHINES: Mapping[str, str] = {
    f"{_COMPUTE}/virtualMachines/read": "see the machine",
    f"{_COMPUTE}/virtualMachines/instanceView/read": "see whether it runs",
    f"{_COMPUTE}/disks/read": "see its disks",
    f"{_COMPUTE}/disks/beginGetAccess/action": "take snapshots of them",
}
#: On the resource group of the points in time.
ON_POINTS: Mapping[str, str] = {
    f"{_COMPUTE}/snapshots/read": "find its snapshots",
    f"{_COMPUTE}/snapshots/write": "take and mark them",
    f"{_COMPUTE}/snapshots/delete": "remove them",
    f"{_COMPUTE}/snapshots/beginGetAccess/action": "read them",
    f"{_COMPUTE}/snapshots/endGetAccess/action": "give that access back",
    f"{_POINTS}/read": "find its restore points",
    f"{_POINTS}/write": "make and mark their collection",
    f"{_POINTS}/delete": "remove the collection",
    f"{_POINTS}/restorePoints/read": "see them",
    f"{_POINTS}/restorePoints/write": "take them",
    f"{_POINTS}/restorePoints/delete": "remove them",
    f"{_POINTS}/restorePoints/diskRestorePoints/read": "see each disk of them",
    f"{_POINTS}/restorePoints/diskRestorePoints/beginGetAccess/action": "read it",
    f"{_POINTS}/restorePoints/diskRestorePoints/endGetAccess/action": "give that access back",
}
POWER: Mapping[str, str] = {
    f"{_COMPUTE}/virtualMachines/powerOff/action": "shut it down or power it off",
    f"{_COMPUTE}/virtualMachines/deallocate/action": "deallocate it",
    f"{_COMPUTE}/virtualMachines/start/action": "power it on again",
}
#: What nothing fails for; on the subscription, where they can be had.
USEFUL: Mapping[str, str] = {
    f"{_COMPUTE}/skus/read": "see CPUs and memory",
    "Microsoft.Network/networkInterfaces/read": "see addresses",
    f"{_COMPUTE}/locations/operations/read": "see how an operation goes",
    f"{_COMPUTE}/locations/diskOperations/read": "see how an operation on a snapshot goes",
    "Microsoft.Authorization/permissions/read": "name beforehand what the account lacks",
}


def concerns(client: Client, group: str, points_group: str) -> Sequence[Concern]:
    """An error for what the account lacks in the two resource groups (paths), all in one, and a warning for power."""
    on_machines, on_points = _granted(client, group), _granted(client, points_group)
    if on_machines is None or on_points is None:
        return []
    lacking = [*_lacking(ON_MACHINES, on_machines), *_lacking(ON_POINTS, on_points)]
    found = []
    if lacking:
        remedy = "give it the role of docs/policies/azure-role.json on the resource groups, or on the subscription"
        found.append(Concern("missing-privileges", Severity.ERROR, f"the account lacks {', '.join(lacking)}", remedy))
    if told := ", ".join(_lacking(POWER, on_machines)):
        remedy = "add them to the account's role before its cutover, or set `cutover: {power: keep}`"
        found.append(Concern("missing-power-privileges", Severity.WARNING, f"the account lacks {told}", remedy))
    return found


def _granted(client: Client, group: str) -> Sequence[Mapping[str, Any]] | None:
    """Actions and notActions of each role that the account has there; None where it may not ask."""

    def ask() -> Any:
        path = f"{group}/providers/Microsoft.Authorization/permissions"
        return or_refused(lambda: list(client.pages(path, AUTHORIZATION, "asking for the account's rights")))

    found: Sequence[Mapping[str, Any]] | None = client.remembered(f"rights {group.lower()}", ask)
    return found


def _lacking(wanted: Mapping[str, str], granted: Sequence[Mapping[str, Any]]) -> Iterable[str]:
    return [
        f"{action} (to {what})" for action, what in wanted.items() if not any(_allows(each, action) for each in granted)
    ]


def _allows(role: Mapping[str, Any], action: str) -> bool:
    """learn.microsoft.com/azure/role-based-access-control/role-definitions: actions minus notActions, with `*` for anything."""
    return _among(role.get("actions"), action) and not _among(role.get("notActions"), action)


def _among(patterns: Iterable[str] | None, action: str) -> bool:
    return any(
        re.fullmatch(".*".join(map(re.escape, each.split("*"))), action, re.IGNORECASE) for each in patterns or ()
    )
