"""The `images` source for the contract: with files that cannot be cloned, and with clones, which here are copies.

A copy is as good as a reflink for everything but time and space, and every file system can make one.
"""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from rehost.sources import ImagesSource
from rehost.sources._reflink import reflink
from tests.sources.harness import INITIAL, Harness

ROOT = "exports"


def no_clone(_source: int, _target: int) -> None:
    raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))


def copy(source: int, target: int) -> None:
    """What a reflink gives, at the cost of a copy; holes stay holes where nobody writes into them meanwhile."""
    os.ftruncate(target, os.fstat(source).st_size)
    offset = 0
    while data := os.pread(source, 1 << 20, offset):
        if data.strip(b"\0"):
            os.pwrite(target, data, offset)
        offset += len(data)


def reflinks(folder: Path) -> bool:
    with tempfile.TemporaryFile(dir=folder) as one, tempfile.TemporaryFile(dir=folder) as other:
        one.write(bytes(4096))
        one.flush()
        try:
            reflink(one.fileno(), other.fileno())
        except OSError:
            return False
        return True


def open_images(base: str, *, copying: bool) -> ImagesSource:
    config = {"type": "images", "path": ROOT}
    return ImagesSource(config, base=Path(base), clone=copy if copying else no_clone, settle_timeout=0.5)


class ImagesHarness(Harness):
    """Files that are read themselves."""

    survives_writes = False
    tracks_changes = False
    has_power = False
    copying = False

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.locator = {"name": "web-01"}
        self.unknown = {"name": "web-02"}
        self.wrong = (
            {},
            {"nme": "web-01"},
            {"name": "web-01", "path": "web-01"},
            {"disks": []},
            {"disks": "a"},
            {"path": ""},
        )
        self.server = folder / ROOT / "web-01"
        self.server.mkdir(parents=True)
        self.paths = [self.server / "0-root.raw", self.server / "1-data.raw"]
        for path, content in zip(self.paths, INITIAL, strict=True):
            sparse(path, content)
        sparse(folder / ROOT / "idle.raw", bytes(512))
        self.source = open_images(str(folder), copying=self.copying)

    def content(self, disk: int) -> bytes:
        return self.paths[disk].read_bytes()

    def write(self, disk: int, offset: int, data: bytes) -> None:
        with self.paths[disk].open("r+b", buffering=0) as file:
            os.pwrite(file.fileno(), data, offset)

    def resize(self, disk: int, size: int) -> None:
        os.truncate(self.paths[disk], size)

    def made(self) -> Sequence[str]:
        return sorted(str(path) for path in self.server.parent.rglob(".*"))

    def losses(self) -> Mapping[str, Callable[[], None]]:
        root = self.paths[0]

        def replaced() -> None:
            other = root.with_name("other.part")
            sparse(other, self.content(0))
            other.rename(root)

        def times_set_back() -> None:
            stat = root.stat()
            self.write(0, 0, b"quietly")
            os.utime(root, ns=(stat.st_atime_ns, stat.st_mtime_ns))

        return {
            "written": lambda: self.write(0, 4096, b"later"),
            "replaced": replaced,
            "times set back": times_set_back,
            "mode": lambda: root.chmod(0o600),
        }

    def elsewhere(self) -> tuple[str, Mapping[str, Any]]:
        return "tests.sources.images:open_images", {"base": str(self.folder), "copying": self.copying}


class ClonesHarness(ImagesHarness):
    """Files that are cloned."""

    survives_writes = True
    copying = True

    def lose_freeze(self, token: str) -> None:
        next(self.server.glob(".*.clone")).unlink()


def sparse(path: Path, content: bytes) -> None:
    """Write a file with holes where 64 KiB are zeros."""
    with path.open("wb") as file:
        file.truncate(len(content))
        for at in range(0, len(content), 64 << 10):
            if (part := content[at : at + (64 << 10)]).strip(b"\0"):
                file.seek(at)
                file.write(part)
