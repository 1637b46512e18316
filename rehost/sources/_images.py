"""The `images` source: a folder of disk images.

Each file in the folder is a server of one disk, or an OVA of several; each sub-folder is a server whose files, sorted by name,
are its disks, or what the OVF descriptor in it says. Files that others are made of (extents, backing files) are no disks of
their own.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rehost.sources._errors import (
    DiskMissing,
    LocatorInvalid,
    PowerImpossible,
    QuiesceImpossible,
    ServerNotFound,
    SourceConfigInvalid,
    SourceError,
    SourceUnavailable,
)
from rehost.sources._image_file import check_suitable, open_disk
from rehost.sources._image_freeze import Cloner, Disk, form_of, freeze_images, written_since
from rehost.sources._image_frozen import OWN_PREFIX, FrozenImages, open_frozen, parse_token
from rehost.sources._image_layers import DRIVERS, layers_of
from rehost.sources._image_qemu import virtual_size
from rehost.sources._ovf import is_ova, ova_disks, ovf_disks
from rehost.sources._power import any_changed
from rehost.sources._protocol import (
    ChangePosition,
    Concern,
    DiscoveredDisk,
    DiscoveredServer,
    Locator,
    Power,
    Quiesce,
    Severity,
)
from rehost.sources._reflink import reflink

#: What VMware and VirtualBox write beside their disks.
_COMPANIONS = (".mf", ".cert", ".nvram", ".vmx", ".vmxf", ".vmsd", ".vbox", ".vbox-prev", ".log", ".lck")

_LOCATOR_KEYS = ("name", "path", "disks")


@dataclass(frozen=True, slots=True)
class _Entry:
    """A file or folder of the source's folder, as a server."""

    name: str
    path: Path


class ImagesSource:
    """Thread-safe: it holds nothing but where its files are."""

    def __init__(
        self, config: Mapping[str, Any], *, base: Path, clone: Cloner = reflink, settle_timeout: float = 10.0
    ) -> None:
        """`config` is `{type: images, path: FOLDER}`, the folder relative to `base`.

        `clone` makes reflink clones. A file that is written to without a pause of a clock tick for `settle_timeout`
        seconds, and that cannot be cloned, is refused. Raises SourceConfigInvalid; the folder is not looked at yet.
        """
        path = config.get("path")
        if not isinstance(path, str) or not path:
            raise SourceConfigInvalid(detail="an `images` source needs `path`, the folder that its disk images are in")
        self._root = Path(os.path.realpath(base / path))
        self._clone = clone
        self._settle_timeout = settle_timeout

    def discover(self) -> Iterator[DiscoveredServer]:
        """Every server of the folder, by name. One that cannot be replicated says why in `facts["problem"]`."""
        for entry in self._entries():
            locator = {"name": entry.name}
            disks: list[DiscoveredDisk] = []
            facts = {}
            try:
                disks.extend(self._describe(disk) for disk in self._disks(self._files_of(entry.path), locator))
            except SourceError as error:
                facts["problem"] = str(error)
            if disks or facts:
                concerns = [_NO_POWER] if disks else []
                yield DiscoveredServer(entry.name, locator, disks, facts, concerns)

    def inspect(self, server: Locator) -> DiscoveredServer:
        disks = self._locate(server)
        return DiscoveredServer(disks[0].path.stem, server, [self._describe(disk) for disk in disks], {}, [_NO_POWER])

    def _describe(self, disk: Disk) -> DiscoveredDisk:
        fd = open_disk(disk.path)
        try:
            stat = os.fstat(fd)
            form = form_of(disk, fd)
        finally:
            os.close(fd)
        size, allocated = stat.st_size, stat.st_blocks * 512
        if form in DRIVERS:
            layers = layers_of(disk.path, self._root, disk.stretch)
            size = virtual_size(layers)
            allocated = disk.stretch.size if disk.stretch else sum(each.stat().st_blocks * 512 for each in layers.files)
        check_suitable(disk.path, size, form)
        return DiscoveredDisk(key=disk.key, size=size, format=form, allocated=min(size, allocated))

    def freeze(self, server: Locator, *, quiesce: Quiesce, run: str) -> FrozenImages:
        if quiesce is Quiesce.REQUIRE:
            raise QuiesceImpossible(
                detail="an `images` source has no guest; set `quiesce: none` and stop the server first"
            )
        return freeze_images(
            self._locate(server),
            root=self._root,
            run=run,
            clone=self._clone,
            settle_timeout=self._settle_timeout,
        )

    def reopen(self, token: str) -> FrozenImages:
        return open_frozen(*parse_token(token, self._root), self._root)

    def power(self, server: Locator) -> Power:
        self._locate(server)
        return Power.UNKNOWN

    def shut_down(self, server: Locator) -> bool:
        raise self._no_power(server)

    def power_off(self, server: Locator) -> None:
        raise self._no_power(server)

    def pause(self, server: Locator) -> None:
        raise self._no_power(server)

    def power_on(self, server: Locator, *, to: Power = Power.ON) -> None:
        raise self._no_power(server)

    def changed(self, server: Locator, since: Mapping[str, ChangePosition]) -> bool | None:
        """By the files' inodes: nothing is read."""
        return any_changed(written_since(disk, since.get(disk.key), self._root) for disk in self._locate(server))

    def remains(self, server: Locator) -> Sequence[str]:
        """Clones and their notes, beside the server's files."""
        folders = sorted({disk.path.parent for disk in self._locate(server)})
        return [str(path) for folder in folders for path in sorted(folder.glob(f"{OWN_PREFIX}*"))]

    def forget(self, server: Locator, positions: Mapping[str, ChangePosition]) -> None:
        """A position is told from the files themselves: nothing is kept for it."""

    def close(self) -> None:
        """Nothing is held."""

    def _no_power(self, server: Locator) -> PowerImpossible:
        return PowerImpossible(
            name=self._locate(server)[0].path.stem, reason=f"{_NO_POWER.message}; {_NO_POWER.remedy}"
        )

    def _locate(self, locator: Locator) -> list[Disk]:
        """A server's disks, the root disk first."""
        given = [key for key in _LOCATOR_KEYS if key in locator]
        if len(given) != 1 or len(locator) != 1:
            raise LocatorInvalid(locator=dict(locator), reason=f"give one of {', '.join(_LOCATOR_KEYS)}")
        value = locator[given[0]]
        if given == ["disks"]:
            if not isinstance(value, Sequence) or isinstance(value, str) or not value:
                raise LocatorInvalid(locator=dict(locator), reason="`disks` is a list of at least one path")
            return self._disks([self._below(path, locator) for path in value], locator)
        path = self._named(value) if given == ["name"] else self._below(value, locator)
        self._resolve(path, locator)  # before a folder is listed
        if disks := self._disks(self._files_of(path), locator):
            return disks
        raise DiskMissing(path=str(path / "*"))

    def _below(self, path: object, locator: Locator) -> Path:
        if not isinstance(path, str) or not path:
            raise LocatorInvalid(locator=dict(locator), reason="a path is a text that is not empty")
        return self._root / path

    def _resolve(self, path: Path, locator: Locator) -> Path:
        """`path` without symbolic links; they and `..` may not lead out of the source's folder."""
        resolved = Path(os.path.realpath(path))
        if not resolved.is_relative_to(self._root):
            raise LocatorInvalid(locator=dict(locator), reason=f"{path} leads out of the source's folder {self._root}")
        return resolved

    def _disks(self, paths: Sequence[Path], locator: Locator) -> list[Disk]:
        """Keyed by file name, as it was given; by path below the source's folder where two have the same name."""
        found = [disk for path in paths for disk in self._disks_of(path, locator)]
        if len({(disk.path, disk.stretch) for disk in found}) < len(found):
            raise LocatorInvalid(locator=dict(locator), reason="two of its disks are the same file")
        if len({disk.key for disk in found}) < len(found):
            return [replace(disk, key=self._long_key(disk)) for disk in found]
        return found

    def _disks_of(self, path: Path, locator: Locator) -> list[Disk]:
        """The disk that a file is, or those that a package has."""
        resolved = self._resolve(path, locator)
        if resolved.suffix.lower() == ".ovf" and resolved.is_file():
            return [
                Disk(Path(name).name, self._resolve(resolved.parent / name, locator)) for name in ovf_disks(resolved)
            ]
        if is_ova(resolved):
            return [Disk(name.replace("/", ":"), resolved, stretch) for name, stretch in ova_disks(resolved)]
        return [Disk(path.name, resolved)]

    def _long_key(self, disk: Disk) -> str:
        within = f":{disk.key}" if disk.stretch else ""
        return str(disk.path.relative_to(self._root)).replace("/", ":") + within

    def _files_of(self, path: Path) -> list[Path]:
        """The disks in a folder, sorted by name, or its OVF descriptor; a path that is no folder is its own only file."""
        if not path.is_dir():
            return [path]
        files = [file for file in _listed(path) if file.is_file()]
        if packages := [file for file in files if file.suffix.lower() == ".ovf"]:
            return packages
        return self._whole(files)

    def _whole(self, files: Sequence[Path]) -> list[Path]:
        """Without those that are parts of others, and without what hypervisors put beside a disk."""
        parts: set[Path] = set()
        for file in files:
            parts.update(self._parts(file))
        return [
            file
            for file in files
            if Path(os.path.realpath(file)) not in parts and file.suffix.lower() not in _COMPANIONS
        ]

    def _parts(self, file: Path) -> Sequence[Path]:
        """The other files that an image consists of; none where it is raw, or cannot be made out."""
        path = Path(os.path.realpath(file))
        if not path.is_relative_to(self._root):
            return ()
        try:
            return layers_of(path, self._root).files[1:]
        except SourceError:
            return ()

    def _named(self, name: object) -> Path:
        entries = list(self._entries())
        paths = {entry.name: entry.path for entry in entries} | {entry.path.name: entry.path for entry in entries}
        if isinstance(name, str) and name in paths:
            return paths[name]
        known = ", ".join(entry.name for entry in entries[:10]) or "none"
        hint = f"its servers are: {known}{', ...' if len(entries) > 10 else ''}"
        raise ServerNotFound(name=name, place=str(self._root), hint=hint)

    def _entries(self) -> Iterator[_Entry]:
        """The servers: named after the file without its suffix, or with it where two would be called the same."""
        listed = _listed(self._root)
        files = set(self._whole([path for path in listed if path.is_file()]))
        paths = [path for path in listed if path.is_dir() or path in files]
        names = [path.name if path.is_dir() else path.stem for path in paths]
        times = Counter(names)
        for path, name in zip(paths, names, strict=True):
            yield _Entry(name if times[name] == 1 else path.name, path)


_NO_POWER = Concern(
    "images-no-power",
    Severity.INFO,
    "it is a folder of images, and whether a server runs on them is not seen here",
    "shut the server down yourself before its cutover, and set `cutover: {power: keep}`",
)


def _listed(folder: Path) -> list[Path]:
    try:
        return sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    except OSError as error:
        raise SourceUnavailable(place=str(folder), reason=_listing_problem(error)) from error


def _listing_problem(error: OSError) -> str:
    if isinstance(error, FileNotFoundError):
        return "the folder does not exist; correct the source's `path`, which is relative to the project"
    if isinstance(error, NotADirectoryError):
        return "it is a file; the source's `path` is the folder that the images are in"
    if isinstance(error, PermissionError):
        return f"permission denied to uid {os.geteuid()}; let it list the folder"
    return str(error.strerror)
