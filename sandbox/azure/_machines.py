"""Virtual machines, their disks, interfaces and addresses, as their REST pages show them.

https://learn.microsoft.com/rest/api/compute/virtual-machines, .../disks, https://learn.microsoft.com/rest/api/virtualnetwork/
network-interfaces and public-ip-addresses.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from sandbox.azure._arm import Arm, Call, not_found
from sandbox.azure._errors import ArmRefusal
from sandbox.azure._resources import Estate, Machine, ManagedDisk, Nic, key
from sandbox.azure._times import stamp
from sandbox.azure._web import Answer

_Thing = TypeVar("_Thing", Machine, ManagedDisk, Nic)
_MACHINES, _DISKS = "Microsoft.Compute/virtualMachines", "Microsoft.Compute/disks"
_NICS, _ADDRESSES = "Microsoft.Network/networkInterfaces", "Microsoft.Network/publicIPAddresses"

_CAPABILITIES = ("vCPUs", "MemoryGB", "PremiumIO", "CpuArchitectureType", "HyperVGenerations", "MaxDataDiskCount")
#: https://learn.microsoft.com/azure/virtual-machines/sizes: the size series' pages.
_SIZES = {
    "Standard_B2s": ("2", "4", "True", "x64", "V1,V2", "4"),
    "Standard_D2s_v5": ("2", "8", "True", "x64", "V1,V2", "4"),
    "Standard_D4s_v5": ("4", "16", "True", "x64", "V1,V2", "8"),
    "Standard_E4s_v5": ("4", "32", "True", "x64", "V1,V2", "8"),
    "Standard_D2ps_v5": ("2", "8", "True", "Arm64", "V2", "4"),
    "Standard_A2_v2": ("2", "4", "False", "x64", "V1", "4"),
}


class Machines:
    def __init__(self, estate: Estate, arm: Arm) -> None:
        self._estate, self._arm = estate, arm
        arm.on("GET", _MACHINES, lambda call: self._read(call, estate.machines, self._machine_of(call)))
        arm.on("GET", f"{_MACHINES}/instanceView", lambda call: Answer.of(200, instance_view(self._found(call))))
        for verb in ("powerOff", "start", "deallocate"):
            arm.on("POST", f"{_MACHINES}/{verb}", self._power)
        arm.on("GET", "Microsoft.Compute/skus", self._sizes)
        arm.on("GET", _DISKS, lambda call: self._read(call, estate.disks, self.disk_json))
        arm.on("GET", _NICS, lambda call: self._read(call, estate.nics, self._nic_json))
        arm.on("GET", _ADDRESSES, self._addresses)
        arm.on("POST", f"{_DISKS}/beginGetAccess", self._grant)
        arm.on("POST", f"{_DISKS}/endGetAccess", self._revoke)

    def _read(self, call: Call, things: Mapping[str, _Thing], show: Callable[[_Thing], dict[str, Any]]) -> Answer:
        """One of them, or a list."""
        if call.names:
            found = things.get(key(call.scope))
            if found is None:
                raise not_found(call.scope)
            return Answer.of(200, show(found))
        within = f"/subscriptions/{self._estate.subscription}/" + (
            f"resourceGroups/{call.group}/" if call.group else ""
        )
        chosen = [thing for identity, thing in things.items() if identity.startswith(within.lower())]
        return self._arm.page(call, [show(thing) for thing in chosen])

    def _machine_of(self, call: Call) -> Callable[[Machine], dict[str, Any]]:
        wanted = "instanceview" in call.request.query.get("$expand", "").lower()
        wanted = wanted or call.request.query.get("statusOnly", "").lower() == "true"
        return lambda machine: machine_json(machine, with_view=wanted)

    def _found(self, call: Call) -> Machine:
        machine = self._estate.machines.get(key(call.scope))
        if machine is None:
            raise not_found(call.scope)
        return machine

    def _power(self, call: Call) -> Answer:
        machine = self._found(call)
        operation = self._estate.begin(call.action, call.scope, machine.location, "operations")
        if operation.failure is None:
            power = {"poweroff": "stopped", "start": "running", "deallocate": "deallocated"}[call.verb.lower()]
            set_power(machine, power, self._estate.clock())
        return self._arm.accepted(call, operation)

    def disk_json(self, disk: ManagedDisk) -> dict[str, Any]:
        owner = self._estate.machines.get(key(disk.owner)) if disk.owner else None
        if owner is None:
            state = "ActiveSAS" if self._estate.access.active(disk.id) else "Unattached"
        else:
            state = "Reserved" if owner.power == "deallocated" else "Attached"
        properties: dict[str, Any] = {
            "creationData": {"createOption": "Empty", "logicalSectorSize": disk.spec.sector_size},
            "diskSizeGB": disk.gib,
            "diskSizeBytes": disk.pages.size,
            "timeCreated": stamp(disk.created),
            "provisioningState": "Succeeded",
            "diskState": state,
            "uniqueId": str(disk.pages.identity),
            "LastOwnershipUpdateTime": stamp(disk.owned),
            "encryption": {"type": disk.spec.encryption},
            "networkAccessPolicy": disk.spec.network_access,
            "publicNetworkAccess": "Enabled" if disk.spec.network_access == "AllowAll" else "Disabled",
        }
        if owner is not None and owner.disks[0] is disk:
            properties |= {"osType": owner.os_type, "hyperVGeneration": owner.generation}
        if disk.spec.max_shares > 1:
            properties["maxShares"] = disk.spec.max_shares
        if disk.spec.azure_disk_encryption:
            properties["encryptionSettingsCollection"] = {"enabled": True, "encryptionSettingsVersion": "1.1"}
        shown: dict[str, Any] = {
            "id": disk.id, "name": disk.name, "type": _DISKS, "location": disk.location, "tags": {},
            "sku": {"name": disk.spec.sku, "tier": disk.spec.sku.partition("_")[0]}, "properties": properties,
        }  # fmt: skip
        return {**shown, "managedBy": disk.owner} if disk.owner else shown

    def _grant(self, call: Call) -> Answer:
        disk = self._disk(call)
        owner = self._estate.machines.get(key(disk.owner)) if disk.owner else None
        if owner is not None and owner.power != "deallocated":
            message = f"Access to disk {disk.name} is not granted while it is attached to a running VM '{owner.id}'."
            raise ArmRefusal(409, "OperationNotAllowed", message)
        operation = self._estate.begin(call.action, call.scope, disk.location, "DiskOperations")
        if operation.failure is None:
            grant = self._estate.access.grant(disk.id, disk.pages.live(), int(call.body["durationInSeconds"]))
            operation.result = {"accessSAS": grant.url(call.request.base)}
        return self._arm.accepted(call, operation)

    def _revoke(self, call: Call) -> Answer:
        disk = self._disk(call)
        self._estate.access.revoke(disk.id)
        operation = self._estate.begin(call.action, call.scope, disk.location, "DiskOperations")
        return self._arm.accepted(call, operation)

    def _disk(self, call: Call) -> ManagedDisk:
        disk = self._estate.disks.get(key(call.scope))
        if disk is None:
            raise not_found(call.scope)
        return disk

    def _nic_json(self, nic: Nic) -> dict[str, Any]:
        address: dict[str, Any] = {
            "privateIPAddress": nic.spec.address, "privateIPAllocationMethod": "Dynamic", "primary": True,
            "privateIPAddressVersion": "IPv4", "provisioningState": "Succeeded",
        }  # fmt: skip
        if nic.public_id:
            address["publicIPAddress"] = {"id": nic.public_id}
        configuration = {"id": f"{nic.id}/ipConfigurations/ipconfig1", "name": "ipconfig1", "properties": address}
        owner = next((each.id for each in self._estate.machines.values() if nic in each.nics), "")
        properties: dict[str, Any] = {
            "provisioningState": "Succeeded", "macAddress": nic.spec.mac, "primary": True, "ipConfigurations": [configuration],
        }  # fmt: skip
        if owner:
            properties["virtualMachine"] = {"id": owner}
        return {"id": nic.id, "name": nic.name, "type": _NICS, "location": nic.location, "properties": properties}

    def _sizes(self, call: Call) -> Answer:
        """https://learn.microsoft.com/rest/api/compute/resource-skus/list."""
        location = call.request.query.get("$filter", "").rpartition("location eq ")[2].strip("'")
        sizes = [
            {
                "resourceType": "virtualMachines", "name": name, "tier": "Standard", "size": name.partition("_")[2],
                "locations": [location or "westeurope"], "restrictions": [],
                "capabilities": [{"name": title, "value": value} for title, value in zip(_CAPABILITIES, values, strict=True)],
            }
            for name, values in _SIZES.items()
        ]  # fmt: skip
        return self._arm.page(call, sizes)

    def _addresses(self, call: Call) -> Answer:
        shown = [
            {
                "id": nic.public_id, "name": nic.public_id.rpartition("/")[2], "type": _ADDRESSES, "location": nic.location,
                "sku": {"name": "Standard", "tier": "Regional"},
                "properties": {
                    "provisioningState": "Succeeded", "ipAddress": nic.spec.public_address,
                    "publicIPAllocationMethod": "Static", "publicIPAddressVersion": "IPv4",
                },
            }
            for nic in self._estate.nics.values()
            if nic.public_id
        ]  # fmt: skip
        if not call.names:
            return self._arm.page(call, shown)
        for entry in shown:
            if key(str(entry["id"])) == key(call.scope):
                return Answer.of(200, entry)
        raise not_found(call.scope)


def set_power(machine: Machine, power: str, now: float) -> None:
    """Deallocating and starting give the disks a new time of ownership: https://learn.microsoft.com/rest/api/compute/disks/get."""
    if "deallocated" in (machine.power, power) and machine.power != power:
        for disk in machine.disks:
            disk.owned = now
    machine.power = power


def machine_json(machine: Machine, *, with_view: bool = False) -> dict[str, Any]:
    first, *others = machine.disks
    root = {
        "osType": machine.os_type, "name": first.name, "createOption": "FromImage", "caching": "ReadWrite",
        "diskSizeGB": first.gib, "deleteOption": "Detach", **_managed(first),
    }  # fmt: skip
    if first.spec.ephemeral:
        root["diffDiskSettings"] = {"option": "Local", "placement": "CacheDisk"}
    data = [
        {
            "lun": lun, "name": disk.name, "createOption": "Attach", "caching": "None", "diskSizeGB": disk.gib,
            "toBeDetached": False, "deleteOption": "Detach", **_managed(disk),
        }
        for lun, disk in enumerate(others)
    ]  # fmt: skip
    properties: dict[str, Any] = {
        "vmId": machine.vm_id,
        "provisioningState": "Succeeded",
        "timeCreated": stamp(machine.created),
        "hardwareProfile": {"vmSize": machine.size},
        "storageProfile": {"osDisk": root, "dataDisks": data, "diskControllerType": "SCSI"},
        "osProfile": {"computerName": machine.name, "adminUsername": "azureuser", "allowExtensionOperations": True},
        "networkProfile": {
            "networkInterfaces": [
                {"id": nic.id, "properties": {"primary": number == 0}} for number, nic in enumerate(machine.nics)
            ]
        },
        **machine.options,
    }
    if machine.security_type:
        uefi = {"secureBootEnabled": True, "vTpmEnabled": True}
        properties["securityProfile"] = {"securityType": machine.security_type, "uefiSettings": uefi}
    if with_view:
        properties["instanceView"] = instance_view(machine)
    shown = {
        "id": machine.id, "name": machine.name, "type": _MACHINES, "location": machine.location, "tags": machine.tags,
        "properties": properties,
    }  # fmt: skip
    return {**shown, "zones": [machine.zone]} if machine.zone else shown


def instance_view(machine: Machine) -> dict[str, Any]:
    titles = {"running": "VM running", "stopped": "VM stopped", "deallocated": "VM deallocated"}
    view: dict[str, Any] = {
        "computerName": machine.name,
        "hyperVGeneration": machine.generation,
        "statuses": [
            {"code": "ProvisioningState/succeeded", "level": "Info", "displayStatus": "Provisioning succeeded"},
            {"code": f"PowerState/{machine.power}", "level": "Info", "displayStatus": titles[machine.power]},
        ],
        "disks": [{"name": disk.name, "statuses": []} for disk in machine.disks],
    }
    if machine.power == "running":
        code = "ProvisioningState/succeeded" if machine.agent else "ProvisioningState/Unavailable"
        status = {
            "code": code,
            "level": "Info" if machine.agent else "Warning",
            "displayStatus": "Ready" if machine.agent else "Not Ready",
        }
        view["vmAgent"] = {"vmAgentVersion": "2.9.1.1" if machine.agent else "Unknown", "statuses": [status]}
        view["osName"] = "ubuntu" if machine.os_type == "Linux" else "Windows Server 2022 Datacenter"
    return view


def _managed(disk: ManagedDisk) -> dict[str, Any]:
    return {"managedDisk": {"id": disk.id, "storageAccountType": disk.spec.sku}}
