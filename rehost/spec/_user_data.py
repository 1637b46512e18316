"""The user data of launch configs, the configure script within it: read once, when the spec is checked."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

from rehost.spec import _inherit
from rehost.spec._files import Folder, Outside, content_of
from rehost.spec._findings import Finding, short
from rehost.spec._inherit import SECTION
from rehost.spec._merge import Merged

#: Bytes before base64 (EC2 user guide, "Run commands when you launch an EC2 instance").
MAX_BYTES = 16 * 1024
_ENOUGH = 4 * MAX_BYTES  # too large, even if every line break were to lose a byte

#: What cloud-init takes a part for (cloud-init, "User data formats"), by how the text begins.
_TYPES = (
    ("#!", "text/x-shellscript"),
    ("#cloud-config", "text/cloud-config"),
    ("#include", "text/x-include-url"),
    ("#cloud-boothook", "text/cloud-boothook"),
    ("## template: jinja", "text/jinja2"),
)


@dataclass(frozen=True)
class UserData:
    text: str
    file: str | None  # as the model names it


def read(spec: Merged, folder: Folder) -> tuple[dict[str, UserData], list[Finding]]:
    """By launch config, and what is wrong with them."""
    texts: dict[tuple[str, str], UserData] = {}
    found: dict[str, UserData] = {}
    findings: list[Finding] = []
    for config in spec.names(SECTION):
        for key in ("userData", "configureScript"):
            own = _text(spec, folder, config, key, findings)
            if own is not None:
                texts[config, key] = own
    for config in spec.names(SECTION):
        homes = [_inherit.home(spec, config, key) or "" for key in ("userData", "configureScript")]
        data, script = texts.get((homes[0], "userData")), texts.get((homes[1], "configureScript"))
        if script is not None:
            kind = spec.text(SECTION, homes[1], "configureScript", "type")
            problem, text = _joined(data.text if data else "", script.text, str(kind))
            if problem:
                where = spec.place(SECTION, homes[1], "configureScript")
                findings.append(Finding.at(where, "wrong-script", *problem))
            data = UserData(text, data.file if data else None)
            if _size(text) > MAX_BYTES >= _size(script.text):
                message = (
                    f"user data and configure script have more than {MAX_BYTES} bytes together, all that EC2 takes"
                )
                where = spec.place(SECTION, homes[1], "configureScript")
                findings.append(Finding.at(where, "too-large", message, "let it fetch the rest"))
        if data is not None:
            found[config] = data
    return found, findings


def _text(spec: Merged, folder: Folder, config: str, kind: str, findings: list[Finding]) -> UserData | None:
    path = (SECTION, config, kind)
    text, name = spec.text(*path, "text"), spec.text(*path, "file")
    key, file = "text", None
    if name:
        place = (folder.root / spec.file(SECTION, config)).parent / name
        key, file = "file", folder.relative(place)
        what = "user data" if kind == "userData" else "configure script"
        try:
            text = _content(place, folder)
        except (OSError, ValueError) as error:
            reason = (error.strerror if isinstance(error, OSError) else None) or "it is no UTF-8 text file"
            message = f"the {what} file {short(file)} cannot be read: {reason}"
            rule, hint = "unreadable", ""
            if isinstance(error, Outside):
                rule, hint = "outside", "copy it into the project: what is launched is reviewed with the spec"
            findings.append(Finding.at(spec.place(*path, key), rule, message, hint))
            return None
    if text is None:
        return None
    if _size(text) > MAX_BYTES:
        what = "user data" if kind == "userData" else "configure script"
        message = f"the {what} has more than {MAX_BYTES} bytes, which is all that EC2 takes"
        findings.append(Finding.at(spec.place(*path, key), "too-large", message, "let it fetch the rest"))
    return UserData(text, file)


def _joined(data: str, script: str, kind: str) -> tuple[tuple[str, str] | None, str]:
    """What is wrong with the script, and both as one text. Pure; the same texts make the same one."""
    if kind not in ("SHELL", "POWERSHELL"):
        return None, data  # the schema has said so
    if kind == "POWERSHELL":
        if re.search(r"</?powershell>", script, re.IGNORECASE):
            return ("a POWERSHELL script stands without <powershell> tags", "they are added"), data
        if re.search(r"<powershell>", data, re.IGNORECASE):
            return ("userData has a <powershell> script already", "EC2Launch runs one: put both into one"), data
        if data.startswith("#"):
            return ("userData is for cloud-init, which runs no POWERSHELL script", "give one of them"), data
        before = f"{data.rstrip()}\n" if data.strip() else ""
        return None, f"{before}<powershell>\n{script.strip()}\n</powershell>\n"
    if not script.startswith("#!"):
        return ("a SHELL script begins with #!", "for example #!/bin/sh"), data
    if not data.strip():
        return None, script
    content = _type_of(data)
    if content is None:
        return ("userData is not of a kind that goes together with a SHELL script", "give one of them"), data
    return None, _parts([(content, data), ("text/x-shellscript", script)])


def _type_of(text: str) -> str | None:
    return next((kind for start, kind in _TYPES if text.startswith(start)), None)


def _parts(parts: list[tuple[str, str]]) -> str:
    """MIME multipart, which cloud-init takes apart; it runs the scripts in this order."""
    seal = hashlib.sha256("".join(text for _, text in parts).encode("utf-8", "surrogatepass")).hexdigest()[:24]
    lines = [f'Content-Type: multipart/mixed; boundary="{seal}"', "MIME-Version: 1.0", ""]
    for number, (kind, text) in enumerate(parts, 1):
        lines += [
            f"--{seal}",
            f'Content-Type: {kind}; charset="utf-8"',
            "MIME-Version: 1.0",
            f'Content-Disposition: attachment; filename="part-{number:03}"',
            "",
            text,
        ]
    return "\n".join([*lines, f"--{seal}--", ""])


def _size(text: str) -> int:
    return len(text.encode("utf-8", "surrogatepass"))


def _content(place: Path, folder: Folder) -> str:
    """The text, or the beginning of one that is too large anyway. With line feeds alone: alike in every check-out."""
    content = content_of(place, folder.within, _ENOUGH)
    text = content.decode(errors="strict" if len(content) < _ENOUGH else "replace")
    return text.replace("\r\n", "\n")
