"""Images in QEMU's formats, made by QEMU's own programs, and the `images` source over them for the contract."""

from __future__ import annotations

import io
import subprocess
import tarfile
from collections.abc import Callable, Mapping
from pathlib import Path

from tests.sources.harness import INITIAL
from tests.sources.images import ImagesHarness, sparse
from tests.sources.qemu_machine import need

#: What qemu-img calls each, with its options.
FORMATS: Mapping[str, tuple[str, str]] = {
    "qcow2": ("qcow2", ""),
    "qcow2-compat0": ("qcow2", "compat=0.10"),
    "vmdk-sparse": ("vmdk", "subformat=monolithicSparse"),
    "vmdk-flat": ("vmdk", "subformat=monolithicFlat"),
    "vmdk-split": ("vmdk", "subformat=twoGbMaxExtentSparse"),
    "vmdk-split-flat": ("vmdk", "subformat=twoGbMaxExtentFlat"),
    "vmdk-stream": ("vmdk", "subformat=streamOptimized"),
    "vhd-dynamic": ("vpc", "subformat=dynamic,force_size=on"),
    "vhd-fixed": ("vpc", "subformat=fixed,force_size=on"),
    "vhdx": ("vhdx", ""),
    "vdi": ("vdi", ""),
}
SUFFIXES = {"vpc": ".vhd"}

OVF = """\
<?xml version="1.0"?>
<Envelope xmlns="http://schemas.dmtf.org/ovf/envelope/1" xmlns:ovf="http://schemas.dmtf.org/ovf/envelope/1"
  xmlns:rasd="http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_ResourceAllocationSettingData">
  <References>
    <File ovf:id="file-data" ovf:href="{data}"/><File ovf:id="file-root" ovf:href="{root}"/>
    <File ovf:id="file-iso" ovf:href="tools.iso"/>
  </References>
  <DiskSection>
    <Disk ovf:diskId="d" ovf:fileRef="file-data" ovf:capacity="1"/><Disk ovf:diskId="r" ovf:fileRef="file-root" ovf:capacity="4"/>
  </DiskSection>
  <VirtualSystem ovf:id="vm"><VirtualHardwareSection>
    <Item><rasd:InstanceID>7</rasd:InstanceID><rasd:ResourceType>17</rasd:ResourceType>
      <rasd:Parent>3</rasd:Parent><rasd:AddressOnParent>1</rasd:AddressOnParent>
      <rasd:HostResource>ovf:/disk/d</rasd:HostResource></Item>
    <Item><rasd:InstanceID>8</rasd:InstanceID><rasd:ResourceType>17</rasd:ResourceType>
      <rasd:Parent>3</rasd:Parent><rasd:AddressOnParent>0</rasd:AddressOnParent>
      <rasd:HostResource>ovf:/disk/r</rasd:HostResource></Item>
    <Item><rasd:InstanceID>9</rasd:InstanceID><rasd:ResourceType>15</rasd:ResourceType>
      <rasd:HostResource>ovf:/file/file-iso</rasd:HostResource></Item>
  </VirtualHardwareSection></VirtualSystem>
</Envelope>
"""


def qemu_img(*arguments: str | Path) -> None:
    command = [need("qemu-img", "qemu-utils"), *map(str, arguments)]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL, capture_output=True)


def make(folder: Path, name: str, kind: str, content: bytes) -> Path:
    """An image of that kind, and what files belong to it, in `folder`."""
    form, options = FORMATS[kind]
    path = folder / f"{name}{SUFFIXES.get(form, f'.{form}')}"
    raw = folder / f".{name}.making"
    sparse(raw, content)
    qemu_img("convert", "-f", "raw", "-O", form, *(["-o", options] if options else []), raw, path)
    raw.unlink()
    return path


def make_ova(path: Path, members: Mapping[str, bytes]) -> Path:
    with tarfile.open(path, "w") as archive:
        for name, data in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return path


class Qcow2Harness(ImagesHarness):
    """A qcow2 image and a raw one."""

    def __init__(self, folder: Path) -> None:
        need("qemu-nbd", "qemu-utils")
        super().__init__(folder)
        self.shadow = bytearray(INITIAL[0])
        self.paths[0].unlink()
        self.paths[0] = make(self.server, "0-root", "qcow2", INITIAL[0])

    def content(self, disk: int) -> bytes:
        return super().content(disk) if disk else bytes(self.shadow)

    def write(self, disk: int, offset: int, data: bytes) -> None:
        if disk:
            super().write(disk, offset, data)
            return
        self.shadow[offset : offset + len(data)] = data
        pattern = self.folder / "pattern"
        pattern.write_bytes(data)
        image = f"driver=qcow2,file.filename={self.paths[0]},file.locking=off"  # whatever else has it open
        command = [need("qemu-io", "qemu-utils"), "--image-opts", image]
        said = subprocess.run(
            [*command, "-c", f"write -s {pattern} {offset} {len(data)}"],
            check=True,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
        )
        assert f"wrote {len(data)}/{len(data)} bytes" in said.stdout, said

    def resize(self, disk: int, size: int) -> None:
        if disk:
            super().resize(disk, size)
            return
        image = f"driver=qcow2,file.filename={self.paths[0]},file.locking=off"
        qemu_img("resize", "--shrink", "--image-opts", image, str(size))
        del self.shadow[size:]
        self.shadow.extend(bytes(size - len(self.shadow)))

    def losses(self) -> Mapping[str, Callable[[], None]]:
        causes = dict(super().losses())
        del causes["replaced"]  # by a raw one
        del causes["times set back"]  # writes by a process of its own are no faster than the clock's tick
        return causes
