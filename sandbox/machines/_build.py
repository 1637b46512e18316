"""Two servers as they might stand in a data centre: a web server, and a database server with a data disk."""

from __future__ import annotations

import hashlib
import os
import random
import shutil
import tempfile
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from sandbox.machines import _ext4, _guest, _partitions, _tools
from sandbox.machines._boot import BootFiles, gather
from sandbox.machines._errors import MachineError
from sandbox.machines._packages import Packages

MIB = 1 << 20
GIB = 1 << 30

_BOOT_OFFSET, _BOOT_LENGTH = 1 * MIB, 48 * MIB
_ROOT_OFFSET = _BOOT_OFFSET + _BOOT_LENGTH
_DATA_LABEL = "orders"
# How much of its content a guest checks when it boots; all of it would take a slow emulator too long.
_CHECKED_FILES = 4


@dataclass(frozen=True)
class Disk:
    path: Path
    size: int  # bytes

    @property
    def allocated(self) -> int:
        """Bytes that the image takes on the host: what is not a hole."""
        return self.path.stat().st_blocks * 512


@dataclass(frozen=True)
class Machine:
    name: str
    disks: Sequence[Disk]  # the root disk first


@dataclass(frozen=True)
class Machines:
    web: Machine
    db: Machine
    bootable: bool
    reason: str | None  # why the disks do not boot, where they do not


def build(folder: Path, *, cache: Path, on_progress: Callable[[str], None] = lambda _: None) -> Machines:
    """Make `web-01.raw`, `db-01/root.raw` and `db-01/data.raw` in `folder`, replacing what is there of that name.

    `cache` keeps the unpacked Debian packages between builds. The content is the same every time, so the same packages
    give the same bytes. Raises `ToolMissing` or `ToolFailed` where not even a file system can be made; a retry is safe.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "db-01").mkdir(exist_ok=True)
    boot: BootFiles | None = None
    reason = None
    try:
        boot = gather(Packages(cache / "debian-packages", on_progress))
    except MachineError as error:
        reason = str(error)
    on_progress("making web-01: one disk of 512 MiB")
    web = _system_disk(folder / "web-01.raw", "web-01", 512 * MIB, boot, _content("web-01", "/srv/www/media", 192))
    on_progress("making db-01: a root disk of 384 MiB and a data disk of 8 GiB")
    root = _system_disk(
        folder / "db-01" / "root.raw", "db-01", 384 * MIB, boot, _content("db-01", "/var/lib/db", 96), data=_DATA_LABEL
    )
    data = _data_disk(folder / "db-01" / "data.raw", 8 * GIB, _content("orders", "/tables", 160))
    return Machines(Machine("web-01", [web]), Machine("db-01", [root, data]), bootable=boot is not None, reason=reason)


def _content(seed: str, folder: str, mib: int) -> dict[str, bytes]:
    """`mib` MiB of incompressible files of 2 MiB; the same for the same seed on every machine."""
    source = random.Random(f"rehost {seed}")
    return {f"{folder}/{number:04}.bin": source.randbytes(2 * MIB) for number in range(mib // 2)}


def _system_disk(
    target: Path, name: str, size: int, boot: BootFiles | None, content: dict[str, bytes], data: str | None = None
) -> Disk:
    root_uuid = str(uuid.uuid5(uuid.NAMESPACE_DNS, f"{name}.rehost.invalid"))
    parts = [
        _partitions.Partition(_BOOT_OFFSET, _BOOT_LENGTH, _partitions.FAT16_LBA, active=True),
        _partitions.Partition(_ROOT_OFFSET, size - _ROOT_OFFSET, _partitions.LINUX),
    ]
    with _scratch(target) as scratch:
        disk = scratch / target.name
        _sparse(disk, size)
        if boot is not None:
            _boot_partition(disk, boot, root_uuid)
        signature = int(root_uuid[:8], 16)
        _partitions.write(disk, parts, signature=signature, boot_code=boot.mbr if boot else b"")
        tree = _system_tree(name, root_uuid, boot, content, data)
        _ext4.make(disk, tree, offset=_ROOT_OFFSET, length=size - _ROOT_OFFSET, label=name, uuid=root_uuid)
        disk.replace(target)
    return Disk(target, size)


def _data_disk(target: Path, size: int, content: dict[str, bytes]) -> Disk:
    data_uuid = str(uuid.uuid5(uuid.NAMESPACE_DNS, f"{_DATA_LABEL}.rehost.invalid"))
    with _scratch(target) as scratch:
        disk = scratch / target.name
        _sparse(disk, size)
        _ext4.make(disk, _ext4.Tree(files=content), offset=0, length=size, label=_DATA_LABEL, uuid=data_uuid)
        disk.replace(target)
    return Disk(target, size)


def _boot_partition(disk: Path, boot: BootFiles, root_uuid: str) -> None:
    """Make the FAT file system with the kernel, the initramfs and syslinux."""
    image = f"{disk}@@{_BOOT_OFFSET}"
    geometry = ["-T", str(_BOOT_LENGTH // 512), "-h", "16", "-s", "63", "-H", str(_BOOT_OFFSET // 512), "-c", "4"]
    _tools.run(
        "mformat", "-i", image, *geometry, "-N", "72656873", "-v", "BOOT", "::", subject=disk.name, extra=boot.path
    )
    stage = disk.parent / "boot"
    stage.mkdir()
    shutil.copyfile(boot.kernel, stage / "vmlinuz")
    (stage / "initrd.img").write_bytes(boot.initramfs)
    (stage / "syslinux.cfg").write_text(_guest.syslinux_config(root_uuid))
    for file in sorted(stage.iterdir()):
        os.utime(file, (_tools.EPOCH, _tools.EPOCH))
        _tools.run("mcopy", "-m", "-i", image, file, f"::{file.name}", subject=disk.name, extra=boot.path)
    extra = [boot.syslinux.parent, *boot.path]
    _tools.run("syslinux", "--install", "--offset", str(_BOOT_OFFSET), disk, subject=disk.name, extra=extra)


def _system_tree(
    name: str, root_uuid: str, boot: BootFiles | None, content: dict[str, bytes], data: str | None
) -> _ext4.Tree:
    checked = sorted(content)[:_CHECKED_FILES]
    checksums = "".join(f"{hashlib.sha256(content[path]).hexdigest()}  {path}\n" for path in checked)
    fstab = f"UUID={root_uuid} / ext4 defaults 0 1\n" + (
        f"LABEL={data} /data ext4 defaults,nofail 0 2\n" if data else ""
    )
    files: dict[str, Path | bytes] = {
        "/etc/hostname": f"{name}\n".encode(),
        "/etc/fstab": fstab.encode(),
        "/etc/inittab": _guest.INITTAB.encode(),
        "/etc/passwd": b"root::0:0:root:/root:/bin/sh\n",
        "/srv/www/index.html": f"<title>{name}</title>\n<h1>{name}</h1>\n".encode(),
        "/srv/www/healthz": b"ok\n",
        _guest.MESSAGE_PATH: f"this is {name}, as it stands at its source\n".encode(),
        _guest.CHECKSUMS_PATH: checksums.encode(),
        _guest.AGENT_PATH: Path(__file__).with_name("agent.sh"),
        **content,
    }
    executables: dict[str, Path | bytes] = {
        "/etc/rc": _guest.rc(data).encode(),
        "/etc/udhcpc.sh": _guest.UDHCPC.encode(),
    }
    links = {}
    if boot is not None:
        executables["/bin/busybox"] = boot.busybox
        links = {"/bin/sh": "busybox", "/sbin/init": "/bin/busybox"}
    directories = ("/proc", "/sys", "/dev", "/run", "/tmp", "/root", "/data")
    return _ext4.Tree(directories=directories, files=files, executables=executables, links=links)


@contextmanager
def _scratch(target: Path) -> Iterator[Path]:
    """A directory beside `target`, so that a finished disk can be moved into its place at once."""
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.stem}-") as folder:
        yield Path(folder)


def _sparse(disk: Path, size: int) -> None:
    with open(disk, "wb") as handle:
        handle.truncate(size)
