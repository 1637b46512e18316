"""Which files make up a spec, and what they hold."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from rehost.spec._findings import Finding
from rehost.spec._syntax import MAX_BYTES

SUFFIXES = (".yaml", ".yml")


class Outside(OSError):
    """A file that is reached by a link or by `..` and lies elsewhere: it is nobody's to publish."""

    def __init__(self) -> None:
        super().__init__(0, "it lies outside the project")


def content_of(place: Path, within: Iterable[Path], limit: int) -> bytes:
    """The beginning of a file, `limit` bytes at most. Raises OSError; a pipe or a device is not opened.

    A spec comes from a pull request: what it names must not make a machine's other files part of an error or of a launch.
    """
    real = Path(os.path.realpath(place))
    if not any(real.is_relative_to(os.path.realpath(each)) for each in within):
        raise Outside
    if not stat.S_ISREG(real.stat().st_mode):
        raise OSError(0, "it is not a file")
    with real.open("rb") as file:
        return file.read(limit)


@dataclass
class Folder:
    """A folder of specs within a project, or one file alone. `root` is what paths are relative to."""

    path: Path
    root: Path
    findings: list[Finding] = field(default_factory=list)

    @classmethod
    def at(cls, path: Path, root: Path | None) -> Folder:
        # Links stay links: resolved, they would lead to other places in other check-outs.
        folder = Path(os.path.abspath(path))  # noqa: PTH100
        return cls(folder, Path(os.path.abspath(root)) if root else folder.parent)  # noqa: PTH100

    @property
    def within(self) -> tuple[Path, Path]:
        """Where the files that a spec names may lie: in the project, or beside it where the spec itself does."""
        return self.root, self.path if self.path.is_dir() else self.path.parent

    def read(self) -> dict[str, bytes]:
        """Content by relative name, in the order of the names; what cannot be read becomes a finding.

        Files at any depth; hidden files and folders are passed over, and links to folders are not followed.
        """
        names = self._names()
        content = {}
        for name in sorted(names, key=self.relative):
            shown = self.relative(name)
            try:
                content[shown] = content_of(name, self.within, MAX_BYTES + 1)
            except OSError as error:
                self.findings.append(_unreadable(shown, error))
        if not names and not self.findings:
            shown = self.relative(self.path)
            message = f"there are no YAML files in {shown}"
            if not self.path.is_dir():
                message = (
                    f"{shown} is neither a folder nor a .yaml file"
                    if self.path.exists()
                    else f"there is no folder {shown}"
                )
            hint = "a spec is a folder of .yaml files, or one of them"
            self.findings.append(Finding(shown, 1, 1, message, hint, rule="no-files"))
        return content

    def _names(self) -> list[Path]:
        if self.path.suffix in SUFFIXES and self.path.is_file():
            return [self.path]
        names = []

        def refused(error: OSError) -> None:
            if not isinstance(error, FileNotFoundError | NotADirectoryError):
                self.findings.append(_unreadable(self.relative(Path(error.filename)), error))

        for place, folders, files in os.walk(self.path, onerror=refused):
            folders[:] = [each for each in folders if not each.startswith(".")]
            names += [Path(place, each) for each in files if each.endswith(SUFFIXES) and not each.startswith(".")]
        return names

    def relative(self, path: Path) -> str:
        """Relative to the root where it lies in it, else absolute; with slashes."""
        path = Path(os.path.normpath(path))
        shown = path.relative_to(self.root) if path.is_relative_to(self.root) else path
        # A file's name may be no text at all on Unix.
        return os.fsencode(shown.as_posix()).decode("utf-8", "backslashreplace")


def read(path: Path, root: Path) -> tuple[dict[str, bytes], list[Finding]]:
    """The files of a spec by name, relative to `root`, and those that cannot be read. Of each, a byte more than is allowed."""
    folder = Folder.at(path, root)
    return folder.read(), folder.findings


def _unreadable(name: str, error: OSError) -> Finding:
    rule = "outside" if isinstance(error, Outside) else "unreadable"
    return Finding(name, 1, 1, f"it cannot be read: {error.strerror}", rule=rule)
