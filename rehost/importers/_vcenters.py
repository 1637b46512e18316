"""Sources that an inventory names, or whose lack it does not fill: what stands there is said to be assumed."""

from __future__ import annotations

from rehost.importers._inventory import Inventory, SourceFound
from rehost.importers._remarks import Kind
from rehost.importers._values import fitting

#: RFC 2606 keeps this name from ever leading anywhere.
NOWHERE = "vcenter.invalid"
EXPORTS = "exports"


def vcenter(inventory: Inventory, address: str, *, unique: str = "") -> str:
    """The key of the source for a vCenter, made once. Without a usable address one stands there that leads nowhere."""
    endpoint, problem = fitting("vsphereSource", "endpoint", address) if address else (None, "")
    key = f"vsphere {endpoint or unique or NOWHERE}"
    if key in inventory.sources:
        return key
    number = sum(each.settings["type"] == "vsphere" for each in inventory.sources.values())
    ending = f"_{number + 1}" if number else ""
    user, password = f"VC_USER{ending}", f"VC_PASSWORD{ending}"
    settings = {
        "type": "vsphere",
        "endpoint": endpoint or NOWHERE,
        "credentials": {"username": {"env": user}, "password": {"env": password}},
    }
    wanted = str(endpoint or "vcenter")
    found = inventory.sources[key] = SourceFound(wanted, settings)
    reason = f"no inventory holds a vCenter's account: the connector looks for it in {user} and {password}"
    inventory.tell(Kind.ASSUMED, reason, wanted, field="credentials")
    found.comments.append(
        f"Assumed: the account of the vCenter is in the connector's environment, {user} and {password}"
    )
    if endpoint is None:
        why = f"{problem}; " if problem else "the inventory does not say where the vCenter is; "
        reason = f"{why}{NOWHERE} leads nowhere: put the vCenter's address there, or import with --source"
        inventory.tell(Kind.ASSUMED, reason, wanted, field="endpoint")
        found.comments.append(f"To do: {reason}")
    return key


def hyperv(inventory: Inventory, address: str, *, scvmm: bool, unique: str = "") -> str:
    """The key of the source for a Hyper-V host or an SCVMM, made once. Without a usable address one stands there that leads nowhere."""
    endpoint, problem = fitting("hypervSource", "endpoint", address) if address else (None, "")
    nowhere = "scvmm.invalid" if scvmm else "hyperv.invalid"
    key = f"hyperv {endpoint or unique or nowhere}"
    if key in inventory.sources:
        return key
    number = sum(each.settings["type"] == "hyperv" for each in inventory.sources.values())
    ending = f"_{number + 1}" if number else ""
    user, password = f"HV_USER{ending}", f"HV_PASSWORD{ending}"
    place = {"scvmm": {"endpoint": endpoint or nowhere}} if scvmm else {"endpoint": endpoint or nowhere}
    credentials = {"username": {"env": user}, "password": {"env": password}}
    wanted = str(endpoint or ("scvmm" if scvmm else "hyperv"))
    found = inventory.sources[key] = SourceFound(wanted, {"type": "hyperv", **place, "credentials": credentials})
    what = "SCVMM, and of the hosts behind it" if scvmm else "Hyper-V host"
    reason = f"no inventory holds an account of the {what}: the connector looks for it in {user} and {password}"
    inventory.tell(Kind.ASSUMED, reason, wanted, field="credentials")
    found.comments.append(
        f"Assumed: the account of the {what}, is in the connector's environment, {user} and {password}"
    )
    if not scvmm:
        found.comments.append(
            "Where the host is a node of a failover cluster: name the cluster, with cluster: in place of endpoint:"
        )
    if endpoint is None:
        why = f"{problem}; " if problem else "the inventory does not say where it is; "
        reason = f"{why}{nowhere} leads nowhere: put its address there, or import with --source"
        inventory.tell(Kind.ASSUMED, reason, wanted, field="endpoint")
        found.comments.append(f"To do: {reason}")
    return key


def exports(inventory: Inventory) -> str:
    """The key of the source for servers of which nothing says where they live."""
    if EXPORTS not in inventory.sources:
        settings = {"type": "images", "path": "../exports"}
        reason = "nothing says where these servers live: a folder `exports` with their disk images stands in; put the source there, or import with --source"
        inventory.sources[EXPORTS] = SourceFound(EXPORTS, settings, [f"To do: {reason}"])
        inventory.tell(Kind.ASSUMED, reason, EXPORTS, field="source")
    return EXPORTS
