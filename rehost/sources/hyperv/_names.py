"""How what is ours on a host is told from others': checkpoints by name, reference points by a host-only note of the machine.

A reference point has no name (Msvm_VirtualSystemReferencePoint). Msvm_KvpExchangeComponentSettingData.HostOnlyItems keeps
key/value pairs in the machine's configuration, which no guest sees and which go with it to another node; ours are
`rehost-RUN` = the InstanceID of the reference point that a run made.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from xml.etree import ElementTree

from rehost.sources._protocol import Consistency

PREFIX = "rehost-"
_LONGEST = 100  # of ElementName (Msvm_VirtualSystemSettingData)
_MOST_XML = 16 * 1024  # bytes of one item


def checkpoint_name(run: str, consistency: Consistency) -> str:
    """`rehost-RUN (filesystem)`: found again by a later process, which learns from it what kind of moment it is."""
    suffix = f" ({consistency.value})"
    return f"{PREFIX}{run}"[: _LONGEST - len(suffix)] + suffix


def parse_checkpoint(name: str) -> tuple[str, Consistency] | None:
    """(run, consistency) of one of ours."""
    found = re.fullmatch(rf"{PREFIX}(.+) \(({'|'.join(Consistency)})\)", name)
    return (found[1], Consistency(found[2])) if found else None


def note_name(run: str) -> str:
    return f"{PREFIX}{run}"


@dataclass(frozen=True)
class Note:
    run: str
    reference: str  # InstanceID of its reference point


def parse_items(items: object) -> dict[str, str]:
    """Embedded instances of Msvm_KvpExchangeDataItem, in the XML of WMI, as name -> data. What is malformed is left out."""
    found: dict[str, str] = {}
    for text in items if isinstance(items, list) else []:
        if not isinstance(text, str) or len(text) > _MOST_XML or "<!" in text:
            continue
        try:
            instance = ElementTree.fromstring(text)
        except ElementTree.ParseError:
            continue
        values = {each.get("NAME"): each.findtext("VALUE") or "" for each in instance.iter("PROPERTY")}
        if values.get("Name"):
            found[values["Name"]] = values.get("Data", "")
    return found


def parse_notes(items: object) -> list[Note]:
    """Those of ours, the oldest run first: names of runs ascend in time."""
    notes = []
    for name, data in parse_items(items).items():
        if name.startswith(PREFIX):
            notes.append(Note(name.removeprefix(PREFIX), data))
    return sorted(notes, key=lambda note: note.run)
