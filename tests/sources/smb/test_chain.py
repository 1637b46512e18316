"""What it is for: a chain of Hyper-V's disks, read over SMB while its sessions are lost."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor

import pytest

from rehost.sources import DiskMissing
from rehost.sources.vhd import ParentMissing, open_disk
from sandbox.vhdx import create
from tests.sources.smb.servers import Servers, unc

MIB = 1 << 20
SIZE = 64 * MIB


def _chain(servers: Servers) -> bytes:
    """A disk with a checkpoint; what the machine sees of it."""
    servers.file("vm/note", b"")
    folder = servers.served / "vm"
    old, new = os.urandom(24 * MIB), os.urandom(8 * MIB)
    with create(folder / "disk.vhdx", SIZE) as base:
        base.write(4 * MIB, old)
    with create(folder / "disk_1.avhdx", parent=folder / "disk.vhdx") as leaf:
        leaf.write(20 * MIB, new)
    return bytes(4 * MIB) + old[: 16 * MIB] + new + bytes(SIZE - 28 * MIB)


def test_a_chain_over_smb_while_sessions_are_lost(servers: Servers) -> None:
    content = _chain(servers)
    samba = servers.samba()
    disk = open_disk(unc(r"VM\Disk_1.avhdx"), servers.files(samba))
    assert len(disk.chain) == 2

    def right(at: int) -> bool:
        buffer = bytearray(MIB)
        return disk.read_into(at, memoryview(buffer)) == MIB and buffer == content[at : at + MIB]

    with ThreadPoolExecutor(3) as pool:
        reads = pool.map(right, range(0, SIZE, MIB))
        assert samba.kill_sessions()
        assert all(reads)
    disk.check()
    disk.close()


def test_a_chain_whose_parent_is_gone(servers: Servers) -> None:
    _chain(servers)
    files = servers.files(servers.samba())
    (servers.served / "vm" / "disk.vhdx").unlink()
    with pytest.raises(ParentMissing, match=r"disk\.vhdx"):
        open_disk(unc(r"vm\disk_1.avhdx"), files)
    with pytest.raises(DiskMissing):
        open_disk(unc(r"vm\disk_2.avhdx"), files)
