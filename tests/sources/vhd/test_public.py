"""What the package promises: its names, errors that are rehost.sources' own and survive pickle, and a checksum."""

from __future__ import annotations

import pickle

import pytest

from rehost import sources
from rehost.sources import SourceError, vhd

PUBLIC = """
ByteSource ChainChanged DiskDamaged FeatureUnknown FileReadFailed Files LocalFile LocalFiles NotAVirtualDisk ParentMissing
ParentUnsuitable VirtualDisk crc32c open_disk
"""
ERRORS: list[tuple[SourceError, type[SourceError]]] = [
    (vhd.NotAVirtualDisk(path="a", reason="it is empty"), sources.DiskUnsuitable),
    (vhd.DiskDamaged(path="a", where="its log", reason="torn"), sources.DiskUnsuitable),
    (vhd.FeatureUnknown(path="a", reason="version 2"), sources.DiskUnsuitable),
    (vhd.ParentUnsuitable(path="a", parent="b", reason="another"), sources.DiskUnsuitable),
    (vhd.ParentMissing(path="a", tried="b, c"), sources.DiskMissing),
    (vhd.ChainChanged(path="a", what="headers", advice="wait"), sources.SourceChanged),
    (vhd.FileReadFailed(disk="a", offset=512, detail="EIO"), sources.ReadFailed),
]


def test_the_public_names() -> None:
    assert vhd.__all__ == PUBLIC.split()
    assert all(hasattr(vhd, name) for name in vhd.__all__)


@pytest.mark.parametrize(("error", "base"), ERRORS, ids=lambda value: getattr(value, "__name__", type(value).__name__))
def test_errors_survive_pickle(error: SourceError, base: type[SourceError]) -> None:
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is type(error)
    assert str(again) == str(error)
    assert isinstance(again, base)


def test_only_a_failed_read_is_tried_again() -> None:
    assert [type(error).__name__ for error, _base in ERRORS if error.retryable] == ["FileReadFailed"]


def test_the_checksum_is_that_of_the_rfc() -> None:
    # RFC 3720, B.4.
    assert vhd.crc32c(bytes(32)) == 0x8A9136AA
    assert vhd.crc32c(b"\xff" * 32) == 0x62A8AB43
    assert vhd.crc32c(bytes(range(32))) == 0x46DD794E
    assert vhd.crc32c(b"123456789") == 0xE3069283
