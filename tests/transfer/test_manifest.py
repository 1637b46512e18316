"""A manifest that is not exactly what was asked for is never trusted."""

from __future__ import annotations

import base64
import hashlib
import os
import shutil
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rehost.blocks import BLOCK_SIZE
from rehost.transfer import NEVER_WRITTEN, ZERO_DIGEST, Manifest, ManifestBusy, ManifestInvalid, open_partial
from rehost.transfer import _files as files

TIB = 1 << 40


def digest_of(number: int) -> bytes:
    return hashlib.sha256(number.to_bytes(8, "little")).digest()


def written(
    path: Path, indices: list[int], *, size: int, snapshot: str = "snap-1", parent: Manifest | None = None
) -> Manifest:
    with open_partial(path, snapshot_id=snapshot, size=size, parent=parent) as partial:
        for index in indices:
            partial.record(index, digest_of(index))
        partial.flush(partial.block_count)
        return partial.finish()


def test_what_was_recorded_is_read(tmp_path: Path) -> None:
    with written(tmp_path / "m", [0, 3], size=5 * BLOCK_SIZE - 512) as manifest:
        assert [manifest.digest(i) for i in range(5)] == [
            digest_of(0),
            *[NEVER_WRITTEN] * 2,
            digest_of(3),
            NEVER_WRITTEN,
        ]
        assert (manifest.block_count, manifest.written_count, list(manifest.written_blocks())) == (5, 2, [0, 3])
        assert list(manifest.data_blocks()) == [0, 3]
        assert (manifest.snapshot_id, manifest.parent_id) == ("snap-1", None)
        with pytest.raises(IndexError):
            manifest.digest(5)
    assert list(tmp_path.iterdir()) == [tmp_path / "m"]


def test_a_child_inherits_and_tells_its_own_blocks_apart(tmp_path: Path) -> None:
    with (
        written(tmp_path / "a", [0, 1, 2], size=4 * BLOCK_SIZE) as parent,
        open_partial(tmp_path / "b", snapshot_id="snap-2", size=6 * BLOCK_SIZE, parent=parent) as partial,
    ):
        partial.record(1, ZERO_DIGEST)
        partial.record(5, digest_of(5))
        child = partial.finish()
    with child:
        assert child.parent_id == "snap-1"
        assert list(child.written_blocks()) == [1, 5]
        assert list(child.data_blocks()) == [0, 2, 5]
        assert child.is_zero(1)
        assert child.digest(0) == digest_of(0)


@given(st.sets(st.integers(0, 5000), max_size=40), st.integers(0, 5000), st.integers(0, 3000))
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_linear_checksum(tmp_path: Path, indices: set[int], start: int, length: int) -> None:
    indices |= set(range(start, min(start + length, 5001)))
    with open_partial(tmp_path / "m", snapshot_id="snap-1", size=5001 * BLOCK_SIZE, parent=None) as partial:
        for index in indices:
            partial.record(index, digest_of(index))
        naive = hashlib.sha256(b"".join(digest_of(index) for index in sorted(indices))).digest()
        assert partial.linear_checksum() == base64.b64encode(naive).decode()
        assert partial.written_count == len(indices)
        partial.discard()
    assert not list(tmp_path.iterdir())


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("manifest") / "m"
    written(path, [0, 1, 2500], size=3000 * BLOCK_SIZE).close()
    return path


@given(st.data())
@settings(max_examples=150, deadline=None)
def test_one_flipped_bit_is_found_wherever_it_is(whole: Path, data: st.DataObject) -> None:
    length = whole.stat().st_size
    interesting = st.integers(0, 300) | st.integers(2040, 2100) | st.integers(4060, 4200) | st.integers(0, length - 1)
    at, bit = data.draw(interesting), data.draw(st.integers(0, 7))
    damaged = whole.with_name("damaged")
    content = bytearray(whole.read_bytes())
    content[at] ^= 1 << bit
    damaged.write_bytes(content)
    with pytest.raises(ManifestInvalid):
        Manifest.open(damaged, snapshot_id="snap-1", size=3000 * BLOCK_SIZE)


@pytest.mark.parametrize("length", [0, 10, 4095, 4096, 5000, -4096, -1])
def test_a_truncated_one_is_found(whole: Path, tmp_path: Path, length: int) -> None:
    copy = shutil.copy(whole, tmp_path / "m")
    os.truncate(copy, length if length >= 0 else whole.stat().st_size + length)
    with pytest.raises(ManifestInvalid, match=r"truncated|damaged"):
        Manifest.open(copy, snapshot_id="snap-1")


def test_one_with_something_behind_it_is_found(whole: Path, tmp_path: Path) -> None:
    copy = shutil.copy(whole, tmp_path / "m")
    with open(copy, "ab") as file:
        file.write(b"x")
    with pytest.raises(ManifestInvalid, match="damaged"):
        Manifest.open(copy, snapshot_id="snap-1")


def test_digests_at_another_place_are_found(tmp_path: Path) -> None:
    path = tmp_path / "m"
    written(path, [0], size=10_000 * BLOCK_SIZE).close()
    content = bytearray(path.read_bytes())
    here, there = slice(4096, 4096 + files.CHUNK), slice(4096 + files.CHUNK, 4096 + 2 * files.CHUNK)
    content[here], content[there] = content[there], content[here]
    path.write_bytes(content)
    with pytest.raises(ManifestInvalid, match="damaged"):
        Manifest.open(path, snapshot_id="snap-1")


def test_one_of_something_else_is_refused(whole: Path, tmp_path: Path) -> None:
    with pytest.raises(ManifestInvalid, match="of snapshot snap-1, not of snap-2"):
        Manifest.open(whole, snapshot_id="snap-2")
    with pytest.raises(ManifestInvalid, match="not of 512"):
        Manifest.open(whole, snapshot_id="snap-1", size=512)
    with pytest.raises(ManifestInvalid, match="No such file"):
        Manifest.open(tmp_path / "none", snapshot_id="snap-1")
    (tmp_path / "other").write_bytes(bytes(10_000))
    with pytest.raises(ManifestInvalid, match="not a manifest"):
        Manifest.open(tmp_path / "other", snapshot_id="snap-1")


def test_a_partial_one_is_not_trusted_as_final(tmp_path: Path) -> None:
    with (
        open_partial(tmp_path / "m", snapshot_id="snap-1", size=BLOCK_SIZE, parent=None) as partial,
        pytest.raises(ManifestInvalid, match="not complete"),
    ):
        Manifest.open(partial.path, snapshot_id="snap-1")


def test_a_partial_one_of_another_snapshot_or_damaged_is_begun_anew(tmp_path: Path) -> None:
    size = 4 * BLOCK_SIZE
    with open_partial(tmp_path / "m", snapshot_id="snap-1", size=size, parent=None) as partial:
        partial.record(1, digest_of(1))
        partial.flush(2)
    with open_partial(tmp_path / "m", snapshot_id="snap-1", size=size, parent=None) as partial:
        assert (list(partial.written_blocks()), partial.watermark) == ([1], 2)
    with open(tmp_path / "m.partial", "r+b") as file:
        file.seek(100)
        file.write(b"?")
    with open_partial(tmp_path / "m", snapshot_id="snap-1", size=size, parent=None) as partial:
        assert (list(partial.written_blocks()), partial.watermark) == ([], 0)
        partial.record(1, digest_of(1))
    with open_partial(tmp_path / "m", snapshot_id="snap-2", size=size, parent=None) as partial:
        assert list(partial.written_blocks()) == []
        assert partial.digest(1) == NEVER_WRITTEN


def test_only_one_writer_at_a_time(tmp_path: Path) -> None:
    with open_partial(tmp_path / "m", snapshot_id="snap-1", size=BLOCK_SIZE, parent=None) as partial:
        partial.record(0, digest_of(0))
        with pytest.raises(ManifestBusy):
            open_partial(tmp_path / "m", snapshot_id="snap-1", size=BLOCK_SIZE, parent=None)
        assert partial.written(0)


def test_finish_can_be_killed_and_repeated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    size = 4 * BLOCK_SIZE
    for step in ("content_digest", "sync_directory"):
        with open_partial(tmp_path / step, snapshot_id="snap-1", size=size, parent=None) as partial:
            partial.record(1, digest_of(1))
            partial.flush(4)
            with monkeypatch.context() as patched:
                patched.setattr(f"rehost.transfer._partial.{step}", lambda *_: 1 / 0)
                with pytest.raises(ZeroDivisionError):
                    partial.finish()
        if step == "content_digest":  # before the rename: what is there is resumed
            with open_partial(tmp_path / step, snapshot_id="snap-1", size=size, parent=None) as partial:
                assert (list(partial.written_blocks()), partial.watermark) == ([1], 4)
                partial.finish().close()
        with Manifest.open(tmp_path / step, snapshot_id="snap-1", size=size) as manifest:
            assert list(manifest.written_blocks()) == [1]


def test_a_huge_disk_costs_what_is_in_its_manifest(tmp_path: Path) -> None:
    size = 16 * TIB
    last = size // BLOCK_SIZE - 1
    with written(tmp_path / "a", [0, 1 << 24, last], size=size) as parent:
        assert parent.path.stat().st_size > 1 << 30
        with written(tmp_path / "b", [7], size=size, snapshot="snap-2", parent=parent) as child:
            assert list(child.data_blocks()) == [0, 7, 1 << 24, last]
            assert child.path.stat().st_blocks * 512 < 1 << 20


def test_ranges_are_copied_where_the_kernel_cannot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> int:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(os, "copy_file_range", refuse)
    with (
        written(tmp_path / "a", [0, 2999], size=3000 * BLOCK_SIZE) as parent,
        written(tmp_path / "b", [7], size=3000 * BLOCK_SIZE, snapshot="snap-2", parent=parent) as child,
    ):
        assert list(child.data_blocks()) == [0, 7, 2999]


def test_holes_are_not_needed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a file system that knows no holes the same bytes give the same digest."""
    written(tmp_path / "a", [0, 2999], size=3000 * BLOCK_SIZE).close()

    def refuse(*_: object) -> int:
        raise OSError(22, "Invalid argument")

    monkeypatch.setattr(os, "lseek", refuse)
    with Manifest.open(tmp_path / "a", snapshot_id="snap-1") as manifest:
        assert list(manifest.data_blocks()) == [0, 2999]
