"""Differencing disks: how a parent is found, which one is taken, and what is refused."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from rehost.sources import DiskMissing, DiskUnreadable, SourceChanged
from rehost.sources.vhd import (
    ChainChanged,
    FeatureUnknown,
    LocalFile,
    LocalFiles,
    NotAVirtualDisk,
    ParentMissing,
    ParentUnsuitable,
    open_disk,
)
from sandbox.vhdx import VhdxWriter, create, create_vhd, create_vhdx, merge, open_writer, relink, resize
from tests.sources.vhd.disks import MIB, contents, whole

SIZE = 5 * MIB


class Windows:
    """Files by the names that a Windows host has for them."""

    def __init__(self, names: Mapping[str, Path]) -> None:
        self.names = {name.lower(): path for name, path in names.items()}
        self.asked: list[str] = []

    def open(self, path: str) -> LocalFile:
        self.asked.append(path)
        if path.startswith("\\\\.\\"):
            raise DiskUnreadable(path=path, reason="denied")
        if path.lower() not in self.names:
            raise DiskMissing(path=path)
        return LocalFile(self.names[path.lower()])


def pair(folder: Path, suffix: str, **names: str) -> tuple[Path, Path]:
    """A parent full of `p`, and a child with one sector of its own."""
    parent, child = folder / f"parent.{suffix}", folder / f"child.{suffix}"
    with create(parent, SIZE) as disk:
        disk.write(0, b"p" * SIZE)
    options: dict[str, Any] = {"parent_names": {k.encode() if suffix == "vhd" else k: v for k, v in names.items()}}
    with create(child, parent=parent, **options) as disk:
        disk.write(512, b"c" * 512)
    return parent, child


@pytest.mark.parametrize("suffix", ["vhd", "vhdx"])
def test_the_parent_is_found_beside_the_child(tmp_path: Path, suffix: str) -> None:
    parent, child = pair(tmp_path, suffix)
    disk = open_disk(str(child), LocalFiles())
    assert disk.chain == [str(child), str(parent)]
    assert whole(disk) == b"p" * 512 + b"c" * 512 + b"p" * (SIZE - 1024)
    disk.close()


@pytest.mark.parametrize("suffix", ["vhd", "vhdx"])
def test_the_parent_is_found_in_another_folder(tmp_path: Path, suffix: str) -> None:
    (tmp_path / "base").mkdir()
    (tmp_path / "changes").mkdir()
    parent, child = tmp_path / "base" / f"p.{suffix}", tmp_path / "changes" / f"c.{suffix}"
    create(parent, SIZE).close()
    create(child, parent=parent).close()
    assert contents(child) == bytes(SIZE)


@pytest.mark.parametrize(
    ("child_name", "first"),
    [
        ("\\\\host\\disks\\vm\\child.vhdx", "\\\\host\\disks\\vm\\parent.vhdx"),
        ("C:\\vms\\child.vhdx", "C:\\vms\\parent.vhdx"),
    ],
)
def test_names_are_those_of_windows(tmp_path: Path, child_name: str, first: str) -> None:
    parent, child = pair(tmp_path, "vhdx")
    files = Windows({child_name: child, first: parent})
    disk = open_disk(child_name, files)
    assert files.asked == [child_name, first]
    disk.close()


def test_the_names_are_tried_in_the_order_of_the_specification(tmp_path: Path) -> None:
    volume = "\\\\?\\Volume{26a21bda-a627-11d7-9931-806e6f6e6963}\\vms\\parent.vhdx"
    parent, child = pair(tmp_path, "vhdx", volume_path=volume, absolute_win32_path="\\\\?\\C:\\vms\\parent.vhdx")
    files = Windows({"D:\\child.vhdx": child, "C:\\vms\\parent.vhdx": parent})
    open_disk("D:\\child.vhdx", files).close()
    assert files.asked == ["D:\\child.vhdx", "D:\\parent.vhdx", volume, "C:\\vms\\parent.vhdx"]


def test_a_name_of_a_share_loses_its_prefix(tmp_path: Path) -> None:
    parent, child = pair(tmp_path, "vhdx", absolute_win32_path="\\\\?\\UNC\\host\\share\\parent.vhdx")
    files = Windows({"D:\\child.vhdx": child, "\\\\host\\share\\parent.vhdx": parent})
    open_disk("D:\\child.vhdx", files).close()


def test_a_vhd_names_its_parent_absolutely(tmp_path: Path) -> None:
    parent, child = pair(tmp_path, "vhd", W2ku="E:\\far\\parent.vhd")
    files = Windows({"D:\\child.vhd": child, "E:\\far\\parent.vhd": parent})
    open_disk("D:\\child.vhd", files).close()


def test_a_wrong_file_by_the_first_name_does_not_hide_the_right_one_by_the_next(tmp_path: Path) -> None:
    parent, child = pair(tmp_path, "vhdx", absolute_win32_path="\\\\?\\C:\\parent.vhdx")
    other = tmp_path / "other.vhdx"
    create(other, SIZE).close()
    disk = open_disk(
        "D:\\child.vhdx", Windows({"D:\\child.vhdx": child, "D:\\parent.vhdx": other, "C:\\parent.vhdx": parent})
    )
    assert disk.chain[1] == "C:\\parent.vhdx"
    disk.close()


def test_a_name_that_cannot_be_opened_does_not_hide_the_next_and_is_told_if_there_is_none(tmp_path: Path) -> None:
    names = {"relative_path": "\\\\.\\pipe\\parent.vhdx", "absolute_win32_path": "\\\\?\\C:\\parent.vhdx"}
    parent, child = pair(tmp_path, "vhdx", **names)
    open_disk("D:\\child.vhdx", Windows({"D:\\child.vhdx": child, "C:\\parent.vhdx": parent})).close()
    with pytest.raises(DiskUnreadable, match="denied"):
        open_disk("D:\\child.vhdx", Windows({"D:\\child.vhdx": child}))


def test_a_parent_that_is_gone_is_named(tmp_path: Path) -> None:
    parent, child = pair(tmp_path, "vhdx", absolute_win32_path="\\\\?\\C:\\vms\\parent.vhdx")
    parent.unlink()
    with pytest.raises(ParentMissing, match=r"tried .*parent\.vhdx, C:\\vms\\parent\.vhdx; put it back"):
        contents(child)


@pytest.mark.parametrize("suffix", ["vhd", "vhdx"])
def test_another_file_in_the_parents_place_is_refused(tmp_path: Path, suffix: str) -> None:
    parent, child = pair(tmp_path, suffix)
    parent.unlink()
    create(parent, SIZE).close()
    with pytest.raises(ParentUnsuitable, match="its identity is"):
        contents(child)


def test_a_parent_that_was_written_to_is_refused(tmp_path: Path) -> None:
    parent, child = pair(tmp_path, "vhdx")
    with open_writer(parent) as disk:
        disk.write(0, b"!" * 512)
    with pytest.raises(ParentUnsuitable, match="it was changed since"):
        contents(child)


def test_a_parent_of_another_size_is_refused(tmp_path: Path) -> None:
    parent, child = tmp_path / "p.vhdx", tmp_path / "c.vhdx"
    create(parent, SIZE).close()
    create(child, SIZE + MIB, parent=parent).close()
    with pytest.raises(ParentUnsuitable, match=f"a disk of {SIZE} bytes, not {SIZE + MIB}"):
        contents(child)


def test_a_parent_with_other_sectors_is_refused(tmp_path: Path) -> None:
    parent, child = tmp_path / "p.vhdx", tmp_path / "c.vhdx"
    create(parent, SIZE, sector_size=4096).close()
    create(child, parent=parent, sector_size=512).close()
    with pytest.raises(ParentUnsuitable, match="sectors of 4096 bytes, not 512"):
        contents(child)


def test_a_parent_of_the_other_format_is_refused(tmp_path: Path) -> None:
    parent, child = pair(tmp_path, "vhdx")
    parent.unlink()
    create_vhd(parent, SIZE).close()
    with pytest.raises(ParentUnsuitable, match="it is a VHD, not a VHDX"):
        contents(child)


def test_a_parent_that_is_no_vhdx_is_refused(tmp_path: Path) -> None:
    _parent, child = pair(tmp_path, "vhdx")
    locator = UUID("b04aefb7-d19e-4a81-b789-25b8e9445913").bytes_le
    data = child.read_bytes()
    child.write_bytes(data.replace(locator, bytes(15) + b"\1"))
    with pytest.raises(FeatureUnknown, match="its parent is not a VHDX"):
        contents(child)


def test_a_chain_that_leads_back_to_itself_is_refused(tmp_path: Path) -> None:
    parent, child = pair(tmp_path, "vhdx")
    grandchild = tmp_path / "g.vhdx"
    create(grandchild, parent=child).close()
    relink(child, grandchild)
    with pytest.raises(ParentUnsuitable, match="the chain leads back to it"):
        contents(grandchild)
    assert parent.exists()


def test_a_chain_may_have_64_files_and_no_more(tmp_path: Path) -> None:
    create(tmp_path / "0.vhdx", MIB, block_size=MIB).close()
    for index in range(1, 65):
        create(tmp_path / f"{index}.vhdx", parent=tmp_path / f"{index - 1}.vhdx").close()
    assert contents(tmp_path / "63.vhdx") == bytes(MIB)
    with pytest.raises(ParentUnsuitable, match="longer than 64"):
        contents(tmp_path / "64.vhdx")


def _open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_files_are_closed_where_a_chain_cannot_be_opened(tmp_path: Path) -> None:
    parent, child = pair(tmp_path, "vhdx")
    parent.write_bytes(bytes(MIB))
    before = _open_files()
    with pytest.raises(NotAVirtualDisk):
        contents(child)
    assert _open_files() == before


@pytest.mark.parametrize("suffix", ["vhd", "vhdx"])
@pytest.mark.parametrize("changed", ["parent", "child"])
def test_a_chain_that_changes_under_the_reader_is_noticed(tmp_path: Path, suffix: str, changed: str) -> None:
    parent, child = pair(tmp_path, suffix)
    disk = open_disk(str(child), LocalFiles())
    disk.check()
    fingerprint = disk.fingerprint
    with open_writer(tmp_path / f"{changed}.{suffix}") as writer:
        writer.write(4 * MIB, b"n" * 512)
    grew = (
        suffix == "vhdx" or changed == "child"
    )  # a block of the parent that is there already leaves no trace in a VHD
    if grew:
        with pytest.raises(ChainChanged, match=changed) as raised:
            disk.check()
        assert isinstance(raised.value, SourceChanged)
    else:
        disk.check()
    disk.close()
    if suffix == "vhdx" and changed == "child":
        again = open_disk(str(child), LocalFiles())
        assert again.fingerprint != fingerprint
        again.close()
    assert parent.exists()


def test_a_merge_under_the_reader_is_noticed(tmp_path: Path) -> None:
    parent, child = pair(tmp_path, "vhdx")
    grandchild = tmp_path / "g.vhdx"
    with create(grandchild, parent=child) as writer:
        writer.write(0, b"g" * 512)
    disk = open_disk(str(grandchild), LocalFiles())
    expected = whole(disk)
    merge(child, parent, children=[grandchild])
    child.unlink()
    with pytest.raises(ChainChanged):
        disk.check()
    disk.close()
    again = open_disk(str(grandchild), LocalFiles())
    assert again.chain == [str(grandchild), str(parent)]
    assert whole(again) == expected
    again.close()


def test_opening_and_closing_leaves_the_identity(tmp_path: Path) -> None:
    path = tmp_path / "disk.vhdx"
    with create_vhdx(path, SIZE) as writer:
        identity = writer.data_write
    open_writer(path).close()
    disk = open_disk(str(path), LocalFiles())
    assert disk.identity == str(identity)
    disk.close()
    with VhdxWriter(path) as writer:
        writer.touch()
        assert writer.data_write == identity, "what the guest sees did not change"


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(DiskMissing):
        open_disk(str(tmp_path / "none.vhdx"), LocalFiles())
    with pytest.raises(NotAVirtualDisk, match="not a regular file"):
        open_disk(str(tmp_path), LocalFiles())


@pytest.mark.parametrize("fixed", [False, True])
def test_a_disk_that_was_resized(tmp_path: Path, fixed: bool) -> None:
    path = tmp_path / "disk.vhdx"
    with create(path, SIZE, fixed=fixed, block_size=MIB) as writer:
        writer.write(0, b"x" * SIZE)
    disk = open_disk(str(path), LocalFiles())
    resize(path, SIZE + 3 * MIB)
    with pytest.raises(ChainChanged):
        disk.check()
    disk.close()
    assert contents(path) == b"x" * SIZE + bytes(3 * MIB)
    resize(path, 2 * MIB)
    assert contents(path) == b"x" * (2 * MIB)
