"""What the tests of virtual disks share: whole disks read three ways, and files with bytes changed in them."""

from __future__ import annotations

import random
import struct
import subprocess
from pathlib import Path

from rehost.sources.vhd import LocalFiles, VirtualDisk, crc32c, open_disk
from tests.sources.qemu_machine import need

MIB = 1 << 20


def contents(path: Path | str) -> bytes:
    """The disk as our reader has it, having held its extents to it and asked whether the files stand still."""
    disk = open_disk(str(path), LocalFiles())
    try:
        data = whole(disk)
        outside = bytearray(data)
        end = 0
        for extent in disk.extents():
            assert extent.offset >= end
            assert extent.length > 0
            end = extent.end
            outside[extent.offset : extent.end] = bytes(extent.length)
        assert end <= disk.size
        assert not any(outside), "there is data outside of the extents"
        disk.check()
        return data
    finally:
        disk.close()


def whole(disk: VirtualDisk) -> bytes:
    buffer = bytearray(disk.size)
    assert disk.read_into(0, memoryview(buffer)) == disk.size
    return bytes(buffer)


def qemu_contents(path: Path, kind: str) -> bytes:
    """The disk as QEMU has it: `kind` is vhdx or vpc."""
    raw = path.with_name(path.name + ".raw")
    qemu_img("convert", "-f", kind, "-O", "raw", path, raw)
    try:
        return raw.read_bytes()
    finally:
        raw.unlink()


def qemu_img(*arguments: str | Path) -> None:
    command = [need("qemu-img", "qemu-utils"), *map(str, arguments)]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL, capture_output=True)


def scattered(size: int, seed: int, *, pieces: int = 12) -> bytes:
    """A disk with some data here and there."""
    chance = random.Random(seed)
    data = bytearray(size)
    for _piece in range(pieces):
        length = chance.choice((512, 4096, 60 * 1024, 700 * 1024))
        offset = chance.randrange(0, max(1, size - length), 512)
        data[offset : offset + length] = chance.randbytes(min(length, size - offset))
    return bytes(data)


def patch(path: Path, offset: int, data: bytes) -> None:
    with open(path, "r+b") as file:
        file.seek(offset)
        file.write(data)


def reseal(path: Path, offset: int, length: int) -> None:
    """Put the right CRC-32C into bytes 4 to 7 of a VHDX's structure, after something in it was changed."""
    with open(path, "r+b") as file:
        file.seek(offset)
        data = bytearray(file.read(length))
        data[4:8] = bytes(4)
        data[4:8] = struct.pack("<I", crc32c(data))
        file.seek(offset)
        file.write(data)
