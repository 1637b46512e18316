r"""UNC paths: `\\host\share\folder\file`."""

from __future__ import annotations

import ntpath
from dataclasses import dataclass

from rehost.sources._errors import DiskUnreadable

_LONG = "\\\\?\\UNC\\"
_FORBIDDEN = set('<>"|?*:') | {chr(each) for each in range(32)}  # MS-FSCC 2.1.5; a colon would be a stream of a file


@dataclass(frozen=True)
class UncPath:
    host: str
    share: str
    name: str  # below the share, without a leading backslash

    def __str__(self) -> str:
        return rf"\\{self.host}\{self.share}\{self.name}"


def parse_unc(path: str) -> UncPath:
    r"""Slashes may be either way, and `\\?\UNC\host\share\...` is taken too. Raises DiskUnreadable."""
    text = path.replace("/", "\\")
    if text[: len(_LONG)].upper() == _LONG:
        text = "\\\\" + text[len(_LONG) :]
    parts = text.split("\\", 4)
    if not text.startswith("\\\\") or len(parts) < 5 or not all(parts[2:]):
        raise DiskUnreadable(path=path, reason=r"a path over SMB is written \\host\share\folder\file")
    name = ntpath.normpath(parts[4])
    if name in {".", ".."} or name.startswith(("..\\", "\\")):
        raise DiskUnreadable(path=path, reason="it leads out of its share; write it without ..")
    if bad := sorted(set(name + parts[3]) & _FORBIDDEN):
        raise DiskUnreadable(path=path, reason=f"Windows has no file names with {' '.join(map(repr, bad))}")
    return UncPath(parts[2], parts[3], name)
