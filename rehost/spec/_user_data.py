"""The user data of launch configs: read once, when the spec is checked."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from rehost.spec._files import Folder
from rehost.spec._findings import Finding, short
from rehost.spec._merge import Merged

#: Bytes before base64 (EC2 user guide, "Run commands when you launch an EC2 instance").
MAX_BYTES = 16 * 1024
_ENOUGH = 4 * MAX_BYTES  # too large, even if every line break were to lose a byte


@dataclass(frozen=True)
class UserData:
    text: str
    file: str | None  # as the model names it


def read(spec: Merged, folder: Folder) -> tuple[dict[str, UserData], list[Finding]]:
    """By launch config, and what is wrong with them."""
    found: dict[str, UserData] = {}
    findings: list[Finding] = []
    for config in spec.names("launchConfigs"):
        path = ("launchConfigs", config, "userData")
        text, name = spec.text(*path, "text"), spec.text(*path, "file")
        key, file = "text", None
        if name:
            home = folder.root / spec.file("launchConfigs", config)
            place = home.parent / name
            key, file = "file", folder.relative(place)
            try:
                text = _content(place)
            except (OSError, ValueError) as error:
                reason = (error.strerror if isinstance(error, OSError) else None) or "it is no UTF-8 text file"
                message = f"the user data file {short(file)} cannot be read: {reason}"
                findings.append(Finding.at(spec.place(*path, key), "unreadable", message))
                continue
        if text is None:
            continue
        if len(text.encode("utf-8", "surrogatepass")) > MAX_BYTES:
            message = f"the user data has more than {MAX_BYTES} bytes, which is all that EC2 takes"
            findings.append(Finding.at(spec.place(*path, key), "too-large", message, "let it fetch the rest"))
        found[config] = UserData(text, file)
    return found, findings


def _content(place: Path) -> str:
    """The text, or the beginning of one that is too large anyway. With line feeds alone: alike in every check-out."""
    if place.exists() and not place.is_file():
        raise OSError(0, "it is not a file")
    with place.open("rb") as file:
        content = file.read(_ENOUGH)
    text = content.decode(errors="strict" if len(content) < _ENOUGH else "replace")
    return text.replace("\r\n", "\n")
