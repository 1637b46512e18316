"""Reading a snapshot's disks over HTTPS. Right as long as the snapshot is the machine's only one: then nobody writes to the flat files."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence

from pyVmomi import vim

from rehost.blocks import Extent
from rehost.sources._errors import FreezeLost, ReadFailed
from rehost.sources.vsphere._client import Client
from rehost.sources.vsphere._errors import FlatFileMissing, ObjectGone
from rehost.sources.vsphere._folder import FolderReader
from rehost.sources.vsphere._frozen import DiskState, FreezeState
from rehost.sources.vsphere._inventory import disks, retrieve

#: Seconds between attempts to ask for a file's size, before the run would fail for it.
SIZE_DELAYS = (0.2, 1.0)


class HttpsReader:
    def __init__(self, client: Client, state: FreezeState) -> None:
        self._client = client
        self._state = state
        self._files: dict[str, str] = {}  # by disk, where it moved since
        self._folder = FolderReader(client, state.datacenter)

    def problem(self) -> str:
        """Why the disks cannot be read this way; "" if they can be."""
        for disk in self._state.disks:
            try:
                served = self._size(disk.file)
            except FlatFileMissing as error:
                return str(error)
            if served < disk.size:
                return f"{disk.file} has {served} bytes behind it, and the disk {disk.size}: it is no flat file"
        return ""

    def _size(self, file: str) -> int:
        for delay in SIZE_DELAYS:
            try:
                return self._folder.size(file)
            except ReadFailed:
                time.sleep(delay)
        return self._folder.size(file)

    def read_into(self, disk: DiskState, offset: int, buffer: memoryview) -> int:
        file = self._files.get(disk.key, disk.file)
        try:
            return self._folder.read_into(file, disk.key, offset, buffer)
        except FlatFileMissing:
            moved = self._moved(disk)
            if moved == file:
                raise
        self._files[disk.key] = moved
        return self._folder.read_into(moved, disk.key, offset, buffer)

    def _moved(self, disk: DiskState) -> str:
        """Where the disk is now: Storage vMotion takes snapshots along."""
        try:
            values = retrieve(
                self._client,
                self._client.managed(vim.vm.Snapshot, self._state.snapshot),
                ["config.hardware.device"],
            )
        except ObjectGone as error:
            raise FreezeLost(detail=f"the snapshot of {self._state.name} was removed") from error
        found: Sequence[str] = [
            each.file
            for each in disks(values.get("config.hardware.device") or ())
            if each.device_key == disk.device_key
        ]
        return found[0] if found else disk.file

    def allocated(self, disk: DiskState) -> Iterator[Extent] | None:
        return None

    def close(self) -> None:
        self._folder.close()
