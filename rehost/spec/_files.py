"""Which files make up a spec, and what they hold."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

from rehost.spec._findings import Finding
from rehost.spec._syntax import MAX_BYTES

SUFFIXES = (".yaml", ".yml")


@dataclass
class Folder:
    """A folder of specs within a project. `root` is what paths are relative to."""

    path: Path
    root: Path
    findings: list[Finding] = field(default_factory=list)

    @classmethod
    def at(cls, path: Path, root: Path | None) -> Folder:
        # Links stay links: resolved, they would lead to other places in other check-outs.
        folder = Path(os.path.abspath(path))  # noqa: PTH100
        return cls(folder, Path(os.path.abspath(root)) if root else folder.parent)  # noqa: PTH100

    def read(self) -> dict[str, bytes]:
        """Content by relative name, in the order of the names; what cannot be read becomes a finding.

        Files at any depth; hidden files and folders are passed over, and links to folders are not followed.
        """
        names = self._names()
        content = {}
        for name in sorted(names, key=self.relative):
            shown = self.relative(name)
            try:
                if not name.is_file() and name.exists():
                    raise OSError(None, "it is not a file")
                with name.open("rb") as file:
                    content[shown] = file.read(MAX_BYTES + 1)
            except OSError as error:
                self.findings.append(_unreadable(shown, error))
        if not names and not self.findings:
            shown = self.relative(self.path)
            message = f"there are no YAML files in {shown}"
            if not self.path.is_dir():
                message = f"{shown} is not a folder" if self.path.exists() else f"there is no folder {shown}"
            hint = "a spec is a folder of .yaml files"
            self.findings.append(Finding(shown, 1, 1, message, hint, rule="no-files"))
        return content

    def _names(self) -> list[Path]:
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


def _unreadable(name: str, error: OSError) -> Finding:
    return Finding(name, 1, 1, f"it cannot be read: {error.strerror}", rule="unreadable")
