"""Workbooks as RVTools writes them: a sheet a kind of thing, the names of the columns in the first row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from openpyxl import Workbook

VCENTER = "vcenter.example.com"
#: The columns of RVTools 4 that are read, in its order; it has many more.
INFO = (
    "VM", "Powerstate", "Template", "SRM Placeholder", "DNS Name", "Connection state", "CPUs", "Memory", "CBT", "Primary IP Address",
    "Folder", "EFI Secure boot", "Firmware", "Annotation", "Datacenter", "Cluster", "OS according to the configuration file",
    "OS according to the VMware Tools", "VM ID", "VM UUID", "VI SDK Server", "VI SDK UUID",
)  # fmt: skip
DISK = ("VM", "Disk", "Capacity MiB", "Raw", "Disk Mode", "Sharing mode", "VM ID", "VM UUID", "VI SDK Server")


def uuid(number: int) -> str:
    return f"5039b1b2-1b0f-4f0c-8c5e-{number:012x}"


def machine(name: str, number: int, **cells: Any) -> dict[str, Any]:
    """A row of vInfo, by column."""
    return {
        "VM": name, "Powerstate": "poweredOn", "Template": False, "SRM Placeholder": False, "DNS Name": f"{name}.example.com",
        "Connection state": "connected", "CPUs": 2, "Memory": 4096, "CBT": True, "Primary IP Address": f"10.0.0.{number % 250}",
        "Folder": "shop", "EFI Secure boot": False, "Firmware": "bios", "Datacenter": "DC1", "Cluster": "cluster-1",
        "OS according to the configuration file": "Debian GNU/Linux 12 (64-bit)", "VM ID": f"vm-{number}", "VM UUID": uuid(number),
        "VI SDK Server": VCENTER, "VI SDK UUID": "f3a7c3de-0000-4000-8000-000000000001", **cells,
    }  # fmt: skip


def disk(name: str, number: int, **cells: Any) -> dict[str, Any]:
    """A row of vDisk."""
    return {
        "VM": name, "Disk": "Hard disk 1", "Capacity MiB": 51200, "Raw": False, "Disk Mode": "persistent", "Sharing mode": "sharingNone",
        "VM ID": f"vm-{number}", "VM UUID": uuid(number), "VI SDK Server": VCENTER, **cells,
    }  # fmt: skip


def write(path: Path, sheets: Mapping[str, Sequence[Mapping[str, Any]]], **columns: Sequence[str]) -> Path:
    """A workbook of these sheets. A sheet's columns are those of its rows, unless they are given."""
    book = Workbook()
    book.remove(book.worksheets[0])
    for name, rows in sheets.items():
        sheet = book.create_sheet(name)
        head = columns.get(name) or list(dict.fromkeys(column for row in rows for column in row))
        sheet.append(list(head))
        for row in rows:
            sheet.append([row.get(column) for column in head])
    book.save(path)
    book.close()
    return path
