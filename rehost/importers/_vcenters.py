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
    user, password = _variables(inventory, "vsphere", "VC")
    settings = {"type": "vsphere", "endpoint": endpoint or NOWHERE, "credentials": _credentials(user, password)}
    found = inventory.sources[key] = SourceFound(str(endpoint or "vcenter"), settings)
    looks = f"the connector looks for it in {user} and {password}"
    _assume(inventory, found, "credentials", f"no inventory holds a vCenter's account: {looks}")
    found.comments.append(
        f"Assumed: the account of the vCenter is in the connector's environment, {user} and {password}"
    )
    if endpoint is None:
        why = problem or "the inventory does not say where the vCenter is"
        _leave_open(inventory, found, f"{why}; {NOWHERE} leads nowhere: put the vCenter's address there")
    return key


def hyperv(inventory: Inventory, address: str, *, scvmm: bool, unique: str = "") -> str:
    """The key of the source for a Hyper-V host or an SCVMM, made once. Without a usable address one stands there that leads nowhere."""
    endpoint, problem = fitting("hypervSource", "endpoint", address) if address else (None, "")
    nowhere = "scvmm.invalid" if scvmm else "hyperv.invalid"
    key = f"hyperv {endpoint or unique or nowhere}"
    if key in inventory.sources:
        return key
    user, password = _variables(inventory, "hyperv", "HV")
    place = {"endpoint": endpoint or nowhere}
    settings = {"type": "hyperv", **({"scvmm": place} if scvmm else place), "credentials": _credentials(user, password)}
    found = inventory.sources[key] = SourceFound(str(endpoint or ("scvmm" if scvmm else "hyperv")), settings)
    what = "SCVMM, and of the hosts behind it" if scvmm else "Hyper-V host"
    looks = f"the connector looks for it in {user} and {password}"
    _assume(inventory, found, "credentials", f"no inventory holds an account of the {what}: {looks}")
    found.comments.append(
        f"Assumed: the account of the {what}, is in the connector's environment, {user} and {password}"
    )
    if not scvmm:
        found.comments.append(
            "Where the host is a node of a failover cluster: name the cluster, with cluster: in place of endpoint:"
        )
    if endpoint is None:
        why = problem or "the inventory does not say where it is"
        _leave_open(inventory, found, f"{why}; {nowhere} leads nowhere: put its address there")
    return key


def _variables(inventory: Inventory, kind: str, prefix: str) -> tuple[str, str]:
    """Of the environment, for the account of one more source of this type."""
    number = sum(each.settings["type"] == kind for each in inventory.sources.values())
    ending = f"_{number + 1}" if number else ""
    return f"{prefix}_USER{ending}", f"{prefix}_PASSWORD{ending}"


def _credentials(user: str, password: str) -> dict[str, dict[str, str]]:
    return {"username": {"env": user}, "password": {"env": password}}


def _assume(inventory: Inventory, found: SourceFound, field: str, reason: str) -> None:
    inventory.tell(Kind.ASSUMED, reason, found.wanted, field=field)


def _leave_open(inventory: Inventory, found: SourceFound, reason: str) -> None:
    reason = f"{reason}, or import with --source"
    _assume(inventory, found, "endpoint", reason)
    found.comments.append(f"To do: {reason}")


def exports(inventory: Inventory) -> str:
    """The key of the source for servers of which nothing says where they live."""
    if EXPORTS not in inventory.sources:
        settings = {"type": "images", "path": "../exports"}
        reason = "nothing says where these servers live: a folder `exports` with their disk images stands in; put the source there, or import with --source"
        inventory.sources[EXPORTS] = SourceFound(EXPORTS, settings, [f"To do: {reason}"])
        inventory.tell(Kind.ASSUMED, reason, EXPORTS, field="source")
    return EXPORTS
