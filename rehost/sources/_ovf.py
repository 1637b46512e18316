"""OVF packages (DSP0243 of DMTF): which of their files are disks, and in which order. An OVA is the same as a tar archive."""

from __future__ import annotations

import os
import posixpath
import tarfile
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path

from rehost.sources._errors import DiskUnsuitable, SourceError
from rehost.sources._image_file import open_disk
from rehost.sources._image_layers import Stretch

_MAX_DESCRIPTOR = 4 << 20  # bytes
_MAX_MEMBERS = 1000
_DISK = "17"  # rasd:ResourceType of a disk drive, in CIM's ResourceAllocationSettingData
_TAR = (257, b"ustar")


def is_ova(path: Path) -> bool:
    """Whether a file is a tar archive, whatever it is called."""
    try:
        fd = open_disk(path)
    except SourceError:
        return False
    try:
        return os.pread(fd, len(_TAR[1]), _TAR[0]) == _TAR[1]
    finally:
        os.close(fd)


def ovf_disks(path: Path) -> list[str]:
    """The names of the disks' files, as the package has them, the first drive first. Raises DiskUnsuitable."""
    try:
        with open(path, "rb") as file:
            return _disks(path, file.read(_MAX_DESCRIPTOR + 1))
    except OSError as error:
        raise DiskUnsuitable(path=str(path), reason=f"it cannot be read: {error.strerror}") from error


def ova_disks(path: Path) -> list[tuple[str, Stretch]]:
    """The disks within an OVA, and where each lies. Raises DiskUnsuitable."""
    members = dict(_members(path))
    descriptors = [name for name in members if name.lower().endswith(".ovf")]
    if len(descriptors) != 1:
        reason = f"it is a tar archive with {len(descriptors)} OVF descriptors; an OVA has one"
        raise DiskUnsuitable(path=str(path), reason=reason)
    at = members[descriptors[0]]
    with open(path, "rb") as file:
        file.seek(at.offset)
        names = _disks(path, file.read(min(at.size, _MAX_DESCRIPTOR + 1)))
    found = []
    for name in names:
        if name not in members:
            raise DiskUnsuitable(path=str(path), reason=f"its descriptor names {name!r}, which is not in it")
        found.append((name, members[name]))
    return found


def _members(path: Path) -> Iterator[tuple[str, Stretch]]:
    try:
        with tarfile.open(path, "r:") as archive:
            for number, member in enumerate(archive):
                if number >= _MAX_MEMBERS:
                    raise DiskUnsuitable(path=str(path), reason=f"it has more than {_MAX_MEMBERS} members")
                if member.isreg() and not member.issparse():
                    yield posixpath.normpath(member.name), Stretch(member.offset_data, member.size)
    except (tarfile.TarError, OSError) as error:
        raise DiskUnsuitable(path=str(path), reason=f"it is a damaged tar archive: {error}") from error


def _disks(path: Path, text: bytes) -> list[str]:
    if len(text) > _MAX_DESCRIPTOR:
        raise DiskUnsuitable(path=str(path), reason="its OVF descriptor is too long to be one")
    if b"<!DOCTYPE" in text or b"<!ENTITY" in text:  # entities could grow without bound; no descriptor needs them
        raise DiskUnsuitable(path=str(path), reason="its OVF descriptor has a document type, which none needs")
    try:
        root = ET.fromstring(text)
    except ET.ParseError as error:
        raise DiskUnsuitable(path=str(path), reason=f"its OVF descriptor is no XML: {error}") from None
    files = {_get(each, "id"): each for each in _all(root, "File")}
    disks = {_get(each, "diskId"): _get(each, "fileRef") for each in _all(root, "Disk")}
    ordered = [disk for disk in _drives(root) if disk in disks] or list(disks)
    names = []
    for disk in ordered:
        file = files.get(disks[disk])
        if file is None:
            raise DiskUnsuitable(path=str(path), reason=f"its disk {disk} has no file; it is empty, and not exported")
        name = _get(file, "href")
        if _get(file, "compression") not in ("", "identity") or _get(file, "chunkSize"):
            raise DiskUnsuitable(
                path=str(path), reason=f"its file {name} is compressed or in chunks; export it without"
            )
        names.append(posixpath.normpath(name))
    if not names:
        raise DiskUnsuitable(path=str(path), reason="its OVF descriptor has no disks")
    return names


def _drives(root: ET.Element) -> list[str]:
    """The ids of the disks in the order of the machine's drives: by controller, then by place on it."""
    drives = []
    for item in [*_all(root, "Item"), *_all(root, "StorageItem")]:
        values = {_local(child.tag): (child.text or "").strip() for child in item}
        if values.get("ResourceType") == _DISK and "/disk/" in values.get("HostResource", ""):
            place = (_number(values.get("Parent")), _number(values.get("AddressOnParent")))
            drives.append((place, values["HostResource"].rpartition("/disk/")[2]))
    return [disk for _, disk in sorted(drives, key=lambda each: each[0])]


def _number(text: str | None) -> int:
    return int(text) if text and text.isdecimal() else 0


def _all(root: ET.Element, name: str) -> Iterator[ET.Element]:
    return (each for each in root.iter() if _local(each.tag) == name)


def _get(element: ET.Element, name: str) -> str:
    return next((value for key, value in element.attrib.items() if _local(key) == name), "")


def _local(tag: str) -> str:
    """Without its name space: versions 1 and 2 differ in nothing else that matters here."""
    return tag.rpartition("}")[2]
