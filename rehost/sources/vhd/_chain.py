"""A virtual disk: a file, and those it is a change of."""

from __future__ import annotations

import hashlib
import ntpath
import posixpath
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from rehost.blocks import Extent
from rehost.sources._errors import DiskMissing, DiskUnreadable, DiskUnsuitable, SourceError
from rehost.sources.vhd._errors import ChainChanged, ParentMissing, ParentUnsuitable
from rehost.sources.vhd._files import DiskFile, Files
from rehost.sources.vhd._gather import Piece, clear, gather
from rehost.sources.vhd._header import SIGNATURE
from rehost.sources.vhd._layer import PARENT, ZEROS, Layer
from rehost.sources.vhd._log import Budget
from rehost.sources.vhd._pages import PageCache
from rehost.sources.vhd._vhd import VhdLayer
from rehost.sources.vhd._vhdx import VhdxLayer

_DEEPEST = 64


class _Segment(NamedTuple):
    offset: int
    length: int
    layer: Layer | None  # None: zeros
    place: int


class VirtualDisk:
    """What a machine sees of its disk. Thread-safe; nothing is locked while bytes are read."""

    def __init__(self, layers: Sequence[Layer]) -> None:
        self._layers = layers
        leaf = layers[0]
        self.size = leaf.size  # bytes
        self.sector_size = leaf.sector_size  # 512 or 4096
        self.identity = leaf.identity  # VHDX: its DataWriteGuid; VHD: its unique id
        self.chain: Sequence[str] = [layer.file.path for layer in layers]  # the leaf first

    @property
    def fingerprint(self) -> str:
        """Tells this state of the chain from every other: the current headers of all its files, as they were opened."""
        digest = hashlib.sha256()
        for layer in self._layers:
            digest.update(f"{layer.kind}:{layer.state}\n".encode())
        return digest.hexdigest()

    def extents(self) -> Iterator[Extent]:
        """What is allocated, ascending and merged, by tables and bitmaps alone; zeros outside. Raises as `read_into`."""
        start = end = 0
        for segment in self._segments(0, self.size):
            if segment.layer is None:
                continue
            if segment.offset != end:
                if end > start:
                    yield Extent(start, end - start)
                start = segment.offset
            end = segment.offset + segment.length
        if end > start:
            yield Extent(start, end - start)

    def read_into(self, offset: int, buffer: memoryview) -> int:
        """Fill `buffer` from `offset`; fewer bytes only at the end of the disk.

        Bytes that are near each other in a file are read in one piece. Raises FileReadFailed (the same read may succeed),
        DiskDamaged, and what the file's transport raises.
        """
        length = min(len(buffer), self.size - offset)
        if length <= 0:
            return 0
        pieces: dict[DiskFile, list[Piece]] = {}
        for segment in _joined(self._segments(offset, offset + length)):
            part = buffer[segment.offset - offset :][: segment.length]
            if segment.layer is None:
                clear(part)
            else:
                pieces.setdefault(segment.layer.file, []).append(Piece(segment.place, part))
        for file, wanted in pieces.items():
            gather(file, wanted)
        return length

    def check(self) -> None:
        """Raise ChainChanged if a file of the chain was opened to write since it was opened here.

        VHDX: whoever does changes FileWriteGuid first ([MS-VHDX] 2.2.2). VHD has nothing of that kind; there its footer and
        header are compared, and a dynamic one that grew has its footer elsewhere.
        """
        for layer in self._layers:
            try:
                same = layer.read_state() == layer.state
            except DiskUnsuitable:
                same = False
            if not same:
                raise ChainChanged(
                    path=layer.file.path,
                    what="its headers are others than when it was opened",
                    advice="something wrote to it or merged it; the next run takes a new point in time",
                )

    def close(self) -> None:
        for layer in self._layers:
            layer.file.close()

    def _segments(self, offset: int, end: int, depth: int = 0) -> Iterator[_Segment]:
        layer = self._layers[depth]
        for span in layer.spans(offset, end):
            if span.place >= 0:
                yield _Segment(span.offset, span.length, layer, span.place)
            elif span.place == PARENT and depth + 1 < len(self._layers):
                yield from self._segments(span.offset, span.offset + span.length, depth + 1)
            else:
                yield _Segment(span.offset, span.length, None, ZEROS)


def _joined(segments: Iterator[_Segment]) -> Iterator[_Segment]:
    """The same, with neighbours in one where they are so in their file too."""
    held: _Segment | None = None
    for segment in segments:
        if held is None:
            held = segment
        elif segment.layer is held.layer and (held.layer is None or segment.place == held.place + held.length):
            held = held._replace(length=held.length + segment.length)
        else:
            yield held
            held = segment
    if held is not None:
        yield held


def open_disk(path: str, files: Files) -> VirtualDisk:
    """Open a VHDX, AVHDX, VHD or AVHD with all its parents; `path` is one that `files` understands.

    Raises SourceError: NotAVirtualDisk, DiskDamaged, FeatureUnknown, ParentMissing, ParentUnsuitable, DiskMissing,
    FileReadFailed, and what the transport raises.
    """
    pages, logs = PageCache(), Budget()
    layers: list[Layer] = []
    try:
        try:
            layers.append(_open_layer(path, files, pages, logs))
        except FileNotFoundError:
            raise DiskMissing(path=path) from None
        seen = {_folded(path)}
        while layers[-1].parent is not None:
            if len(layers) == _DEEPEST:
                raise ParentUnsuitable(
                    path=layers[-1].file.path,
                    parent=layers[-1].parent.names[0],
                    reason=f"the chain is longer than {_DEEPEST} files",
                )
            layers.append(_open_parent(layers[-1], files, pages, logs, seen))
            seen.add(_folded(layers[-1].file.path))
        return VirtualDisk(layers)
    except BaseException:
        for layer in layers:
            layer.file.close()
        raise


def _open_layer(path: str, files: Files, pages: PageCache, logs: Budget) -> Layer:
    file = DiskFile(path, files.open(path))
    try:
        if file.size >= len(SIGNATURE) and file.read(0, len(SIGNATURE), "its start") == SIGNATURE:
            return VhdxLayer(file, pages, logs)
        return VhdLayer(file, pages)
    except BaseException:
        file.close()
        raise


def _open_parent(child: Layer, files: Files, pages: PageCache, logs: Budget, seen: set[str]) -> Layer:
    """By the first of its names that leads to the right file."""
    assert child.parent is not None  # noqa: S101 - for the type checker
    wrong: SourceError | None = None
    tried = [_resolved(child.file.path, name) for name in child.parent.names]
    for path in tried:
        reason = None
        if _folded(path) in seen:
            wrong = wrong or ParentUnsuitable(path=child.file.path, parent=path, reason="the chain leads back to it")
            continue
        try:
            parent = _open_layer(path, files, pages, logs)
        except (FileNotFoundError, DiskMissing):
            continue
        except (DiskUnreadable, DiskUnsuitable) as error:
            wrong = wrong or error
            continue
        if parent.kind != child.kind:
            reason = f"it is a {parent.kind}, not a {child.kind}"
        elif parent.identity not in child.parent.identities:
            reason = f"its identity is {parent.identity}, and {child.parent.identities[0]} was the parent's: it was changed since"
        elif parent.size != child.size:
            reason = f"it is a disk of {parent.size} bytes, not {child.size}"
        elif parent.sector_size != child.sector_size:
            reason = f"it has sectors of {parent.sector_size} bytes, not {child.sector_size}"
        if reason is None:
            return parent
        parent.file.close()
        wrong = wrong or ParentUnsuitable(path=child.file.path, parent=path, reason=reason)
    if wrong is not None:
        raise wrong
    raise ParentMissing(path=child.file.path, tried=", ".join(tried))


def _resolved(child: str, name: str) -> str:
    """The parent's name as a path like the child's. A relative one is relative to the child, with backslashes."""
    if name.startswith("\\\\?\\UNC\\"):
        return "\\\\" + name[8:]
    if name.startswith("\\\\?\\") and name[5:6] == ":":
        return name[4:]
    if name.startswith("\\") or name[1:2] == ":":
        return name
    if "\\" in child or child[1:2] == ":":
        return ntpath.normpath(ntpath.join(ntpath.dirname(child), name))
    return posixpath.normpath(posixpath.join(posixpath.dirname(child), name.replace("\\", "/")))


def _folded(path: str) -> str:
    """To compare paths by; Windows does not care for capitals."""
    return ntpath.normpath(path).casefold() if "\\" in path or path[1:2] == ":" else posixpath.normpath(path)
