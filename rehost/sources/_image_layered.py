"""A point in time of an image that is not raw: its files, which nobody may write to meanwhile, read through qemu-nbd."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from rehost.blocks import Extent
from rehost.sources._errors import ChangesUnknown, SourceChanged
from rehost.sources._fingerprint import Fingerprint
from rehost.sources._image_file import open_disk
from rehost.sources._image_layers import Layers, Stretch, layers_of
from rehost.sources._image_qemu import ImageServer, virtual_size
from rehost.sources._protocol import ChangePosition

_ADVICE = "stop what writes to it and run again; a running QEMU machine is for a source of type qemu"


@dataclass(frozen=True)
class Image:
    """An image as it is opened for a freeze."""

    layers: Layers
    size: int  # bytes of the disk
    fds: tuple[int, ...]  # of its files, in their order

    @classmethod
    def open(cls, path: Path, root: Path, stretch: Stretch | None, stack: ExitStack) -> Image:
        """Its descriptors stay open until `stack` closes. Raises SourceError."""
        layers = layers_of(path, root, stretch)
        fds = []
        for file in layers.files:
            fds.append(open_disk(file))
            stack.callback(os.close, fds[-1])
        return cls(layers, virtual_size(layers), tuple(fds))


def position_of_files(fingerprints: Sequence[str]) -> ChangePosition:
    return json.dumps(list(fingerprints))


class FrozenLayered:
    """One disk. `read_into` is thread-safe."""

    def __init__(self, key: str, path: Path, root: Path, stretch: Stretch | None, prints: Sequence[str]) -> None:
        """Raises SourceError; SourceChanged where the files are not what they were by their fingerprints."""
        self.key = key
        self._path, self._prints = path, [Fingerprint.parse(text) for text in prints]
        with ExitStack() as stack:
            image = Image.open(path, root, stretch, stack)
            self._files, self._fds = image.layers.files, image.fds
            self.size = image.size
            self.check()
            self._open = stack.pop_all()
        self._server = ImageServer(key, image.layers, image.size)

    @property
    def position(self) -> ChangePosition:
        return position_of_files([str(each) for each in self._prints])

    def extents(self, since: ChangePosition | None) -> Iterator[Extent]:
        if since is None:
            return self._server.allocated()
        if since != self.position:
            reason = "one of its files was written to, and an image file keeps no record of where"
            raise ChangesUnknown(disk=self.key, reason=reason)
        return iter(())

    def read_into(self, offset: int, buffer: memoryview) -> int:
        return self._server.read_into(offset, buffer)

    def check(self) -> None:
        if len(self._files) != len(self._prints):
            raise SourceChanged(path=str(self._path), what="it consists of other files now", advice=_ADVICE)
        for file, fd, before in zip(self._files, self._fds, self._prints, strict=True):
            if what := before.difference(Fingerprint.of(fd)) or _replaced(file, before):
                raise SourceChanged(path=str(file), what=what, advice=_ADVICE)

    def close(self) -> None:
        self._server.close()
        self._open.close()


def _replaced(file: Path, before: Fingerprint) -> str:
    """qemu-nbd opens by name what here is open as a descriptor."""
    try:
        now = file.stat()
    except OSError as error:
        return f"it went away: {error.strerror}"
    return "" if (now.st_dev, now.st_ino) == (before.device, before.inode) else "it is another file now"
