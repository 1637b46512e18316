"""RVTools' workbook of a vCenter ("Export all to Excel"): sheets vInfo, vDisk, vNetwork, vSnapshot, vUSB. Columns as of RVTools 4.

Nothing in it says what belongs together: applications and waves come from columns that the caller names, if any.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from rehost.importers import _mapped
from rehost.importers._errors import InventoryUnreadable, NothingToImport
from rehost.importers._inventory import Inventory, Machine, Options
from rehost.importers._remarks import Kind
from rehost.importers._table import Row, Table, require
from rehost.importers._values import fitting, shown
from rehost.importers._vcenters import vcenter
from rehost.importers._workbook import Workbook

_REQUIRED = ("VM", "Powerstate", "Template")
_TOOLS_OS, _CONFIG_OS = "OS according to the VMware Tools", "OS according to the configuration file"
_AGENTS = "vCLS"
_IDENTITY = ("VM", "VM ID", "VM UUID", "VI SDK Server")
#: What is read of vInfo.
_READ = frozenset(
    {
        *_IDENTITY, *_REQUIRED, "SRM Placeholder", "DNS Name", "Connection state", "CPUs", "Memory", "CBT", "Primary IP Address", "Folder",
        "EFI Secure boot", "Firmware", "Datacenter", "Cluster", "VI SDK UUID", _TOOLS_OS, _CONFIG_OS,
    }
)  # fmt: skip
#: What is read of the other sheets.
_SHEETS = {
    "vDisk": (*_IDENTITY, "Disk", "Capacity MiB", "Raw", "Disk Mode", "Sharing mode"),
    "vNetwork": _IDENTITY,
    "vSnapshot": _IDENTITY,
    "vUSB": (*_IDENTITY, "Connected"),
}


def read_rvtools(files: Sequence[Path], options: Options) -> Inventory:
    """Raises InventoryUnreadable, InventoryWrong, NothingToImport."""
    inventory = Inventory("rvtools")
    unmapped = dict.fromkeys(options.columns.values())
    for path in files:
        book = Workbook(path)
        try:
            info = book.table("vInfo")
            if info is None:
                reason = f"it has no sheet vInfo: it is not RVTools' export of a vCenter. Its sheets: {', '.join(book.sheets[:12])}"
                raise InventoryUnreadable(path=str(path), reason=reason)
            require(info, _REQUIRED, "RVTools' sheet vInfo")
            _mapped.check(options, info.columns, info.path)
            _Export(inventory, options, book, info).read()
        finally:
            book.close()
    inventory.finish()
    if not inventory.machines:
        raise NothingToImport(reason="the workbook lists no machines")
    if not unmapped:
        reason = "RVTools knows no applications: name a column of vInfo with --map application=COLUMN, or write them"
        inventory.tell(Kind.NOTE, reason, field="application")
    inventory.tell(
        Kind.NOTE, "schedules and launch configs are yours to write: RVTools knows nothing of them", field="schedule"
    )
    return inventory


class _Export:
    """One workbook."""

    def __init__(self, inventory: Inventory, options: Options, book: Workbook, info: Table) -> None:
        self.inventory, self.options, self.info = inventory, options, info
        sheets = {name: _by_machine(book.table(name, columns)) for name, columns in _SHEETS.items()}
        self.disks, self.networks = sheets["vDisk"], sheets["vNetwork"]
        self.snapshots, self.usb = sheets["vSnapshot"], sheets["vUSB"]
        self._tell_unread(book)
        self.names: dict[str, int] = {}
        self.seen: dict[str, str] = {}

    def _tell_unread(self, book: Workbook) -> None:
        """Columns and sheets, once: a spec has no place for most of what a vCenter knows."""
        mapped = {each.casefold() for each in self.options.columns.values()}
        filled = {column for row in self.info.rows for column in row.cells}
        unread = [each for each in self.info.columns if each in filled - _READ and each.casefold() not in mapped]
        if unread:
            reason = f"a spec has no place for these columns; --map gives one to a column of your own: {', '.join(map(shown, unread))}"
            self.inventory.tell(Kind.NOT_CARRIED, reason, field="vInfo")
        sheets = [each for each in book.sheets if each not in ("vInfo", *_SHEETS)]
        if sheets:
            reason = f"a spec has no place for what is in these sheets: {', '.join(map(shown, sheets))}"
            self.inventory.tell(Kind.NOT_CARRIED, reason, field="sheets")

    def read(self) -> None:
        for row in self.info.rows:
            self.names[row.get("VM")] = self.names.get(row.get("VM"), 0) + 1
        for row in self.info.rows:
            name = row.get("VM")
            if not name:
                self.inventory.tell(Kind.LEFT_OUT, "the row has no name in the column VM", where=row.where)
                continue
            key = _key(row)
            if key in self.seen:
                self.inventory.tell(Kind.NOTE, f"it is there twice; {self.seen[key]} counts", name, where=row.where)
                continue
            self.seen[key] = row.where
            self.inventory.add(self._machine(row, name))

    def _machine(self, row: Row, name: str) -> Machine:
        machine = Machine(name, row.where, "", {})
        if not fitting("locator", "uuid", row.get("VM UUID"))[1]:
            machine.locators["uuid"] = row.get("VM UUID")
        if row.get("VM ID"):
            machine.locators["moref"] = row.get("VM ID")
        if self.names[name] == 1:
            machine.locators["name"] = name
        machine.refused = _refused(row, name)
        machine.comments += self._about(row)
        if machine.refused is None:
            self._disks(machine, row)
        if machine.refused is None:
            machine.source = vcenter(self.inventory, row.get("VI SDK Server"), unique=row.get("VI SDK UUID"))
            self._concerns(machine, row)
        self._firmware(machine, row)
        _mapped.carry(self.inventory, machine, row, self.options)
        return machine

    def _about(self, row: Row) -> list[str]:
        disks = [size for each in self.disks.get(_key(row), ()) if (size := _mib(each.get("Capacity MiB")))]
        memory = _mib(row.get("Memory"))
        parts = [
            row.get(_TOOLS_OS) or row.get(_CONFIG_OS),
            f"{row.get('CPUs')} CPUs" if row.get("CPUs") else "",
            f"{memory / 1024:g} GiB" if memory else "",
            f"disks: {', '.join(f'{each / 1024:.0f} GiB' for each in disks)}" if disks else "",
            row.get("Primary IP Address"),
            row.get("DNS Name"),
        ]
        place = "/".join(each for each in (row.get("Datacenter"), row.get("Cluster"), row.get("Folder")) if each)
        # Not the annotation: it is where people keep passwords, and a spec is for everybody to read.
        return [text for text in ("; ".join(each for each in parts if each), place) if text]

    def _disks(self, machine: Machine, row: Row) -> None:
        """What snapshots leave out, or refuse, keeps a machine from being replicated (docs/sources/vsphere.md)."""
        for each in self.disks.get(_key(row), ()):
            disk = each.get("Disk") or "a disk"
            if _is_true(each.get("Raw")):
                machine.refused = (
                    f"{disk} is a raw device mapping, which snapshots leave out: make a VMDK of it, or detach it"
                )
            elif "independent" in each.get("Disk Mode").casefold():
                machine.refused = f"{disk} is independent, so snapshots leave it out: make it dependent"
            elif each.get("Sharing mode").casefold() not in ("", "sharingnone"):
                machine.refused = f"{disk} is shared with other machines, and such machines cannot be snapshotted"
        if self.disks and not self.disks.get(_key(row)):
            machine.refused = machine.refused or "it has no disks in the sheet vDisk"

    def _concerns(self, machine: Machine, row: Row) -> None:
        key, tell = _key(row), self.inventory.tell
        if self.snapshots.get(key):
            tell(
                Kind.NOTE,
                "it has snapshots: its disks are chains of files, and change tracking cannot be turned on",
                machine.name,
            )
        if row.get("CBT").casefold() == "false":
            tell(
                Kind.NOTE,
                "changed block tracking is off: runs read whole disks until it is on",
                machine.name,
                field="CBT",
            )
        if row.get("Powerstate").casefold() != "poweredon":
            tell(Kind.NOTE, "it did not run", machine.name, field="Powerstate", value=row.get("Powerstate"))
        if len(self.networks.get(key, ())) > 1:
            count = len(self.networks[key])
            tell(
                Kind.NOTE,
                "it has several network cards: write `networkInterfaces` in its launch config",
                machine.name,
                field="vNetwork",
                value=str(count),
            )
        if any(_is_true(each.get("Connected")) for each in self.usb.get(key, ())):
            tell(Kind.NOTE, "a USB device is connected, which no instance has", machine.name, field="vUSB")
        if row.get("Connection state").casefold() not in ("", "connected"):
            tell(
                Kind.NOTE,
                "vCenter had lost it",
                machine.name,
                field="Connection state",
                value=row.get("Connection state"),
            )

    def _firmware(self, machine: Machine, row: Row) -> None:
        """VM import has to be told the platform of a UEFI machine, so it is told only what the workbook says plainly."""
        if row.get("Firmware").casefold() != "efi":
            return
        system = f"{row.get(_TOOLS_OS)} {row.get(_CONFIG_OS)}".casefold()
        platform = "windows" if "windows" in system else "linux" if "linux" in system else None
        if platform is None:
            reason = "VM import has to be told the platform of a UEFI machine, and the workbook does not name it"
            self.inventory.tell(Kind.NOT_CARRIED, reason, machine.name, field="Firmware", value=row.get("Firmware"))
            return
        self.inventory.carry(machine, "image", "bootMode", "uefi", field="Firmware")
        self.inventory.carry(machine, "image", "platform", platform, field=_CONFIG_OS)
        if _is_true(row.get("EFI Secure boot")):
            reason = "it boots by UEFI Secure Boot, and EC2 does not take over its keys"
            self.inventory.tell(Kind.NOTE, reason, machine.name, field="EFI Secure boot")


def _refused(row: Row, name: str) -> str | None:
    if _is_true(row.get("Template")):
        return "it is a template, and a template has no snapshots"
    if _is_true(row.get("SRM Placeholder")):
        return "it is a placeholder of Site Recovery Manager: the machine itself is at another site"
    if name.startswith(_AGENTS) and name[len(_AGENTS) :][:1] in ("-", " ", ""):
        return "it is an agent of vSphere's own (vCLS)"
    return None


def _by_machine(table: Table | None) -> dict[str, list[Row]]:
    found: dict[str, list[Row]] = {}
    for row in table.rows if table is not None else ():
        found.setdefault(_key(row), []).append(row)
    return found


def _key(row: Row) -> str:
    """What tells machines apart, in every sheet alike."""
    own: Iterable[str] = (row.get("VM UUID"), row.get("VM ID"), row.get("VM"))
    return f"{row.get('VI SDK Server')}/{next((each for each in own if each), '')}"


def _is_true(text: str) -> bool:
    return text.casefold() in ("true", "1", "yes")


def _mib(text: str) -> float:
    plain = text.replace(",", "").replace("\xa0", "")
    # Without isascii, a superscript would count as a digit.
    return float(plain) if plain.isascii() and plain.replace(".", "", 1).isdigit() and len(plain) < 16 else 0
