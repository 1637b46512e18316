"""The sections of all files as one, with the place of everything in them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import islice

from rehost.spec._findings import MAX_ERRORS, Finding, Position, closest
from rehost.spec._yaml import Document, Path

SECTIONS = ("sources", "schedules", "notifications", "launchConfigs", "servers", "applications", "waves")
_KEYS = frozenset({"apiVersion", *SECTIONS})


class Merged:
    """What the checks look things up in. Entries may have any shape: a wrong one has been reported, and hides nothing."""

    def __init__(self) -> None:
        self.entries: dict[str, dict[str, object]] = {section: {} for section in SECTIONS}
        self.homes: dict[tuple[str, str], Document] = {}
        self.unsure: set[str] = set()  # sections of which not all names are known: nothing dangles there
        self.wrong: set[Path] = set()  # values that the schema refused

    def add(self, document: Document) -> Iterator[Finding]:
        """Take a file's entries in. One that another file has, too, is reported; the first one counts."""
        data = document.data
        if not document.is_whole or not (isinstance(data, Mapping) or data is None):
            self.unsure.update(SECTIONS)
        if not isinstance(data, Mapping):
            return
        if () in document.refused:
            self.unsure.update(SECTIONS)
        # A section whose name is mistyped has names in it all the same.
        self.unsure.update(
            filter(None, (closest(key, SECTIONS) for key in islice(data, MAX_ERRORS) if key not in _KEYS))
        )
        for section in SECTIONS:
            if section not in data:
                continue
            if not isinstance(data[section], Mapping) or (section,) in document.refused:
                self.unsure.add(section)
                if not isinstance(data[section], Mapping):
                    continue
            for name, entry in data[section].items():
                if name in self.entries[section]:
                    message = f"{name} stands in {section} a second time; the first is at {self.place(section, name)}"
                    yield Finding.at(document.at_key((section, name)), "duplicate-entry", message)
                else:
                    self.entries[section][name] = entry
                    self.homes[section, name] = document

    def place(self, *path: str | int) -> Position:
        """Where an entry's name stands, or a value within it begins."""
        document = self.homes[str(path[0]), str(path[1])]
        return document.at_key(path) if len(path) == 2 else document.at(path)

    def file(self, section: str, name: str) -> str:
        """The file that holds an entry."""
        return self.homes[section, name].name

    def get(self, *path: str | int) -> object:
        """The value at a path; None where there is none, or where the schema refused it."""
        if path in self.wrong:
            return None
        value: object = self.entries[str(path[0])].get(str(path[1]))
        for part in path[2:]:
            if isinstance(value, Mapping):
                value = value.get(part)
            elif isinstance(value, list) and isinstance(part, int) and part < len(value):
                value = value[part]
            else:
                return None
        return value

    def is_wrong(self, *path: str | int) -> bool:
        return path in self.wrong

    def text(self, *path: str | int) -> str | None:
        value = self.get(*path)
        return value if isinstance(value, str) else None

    def names(self, *path: str | int) -> list[str]:
        """The keys of the mapping at a path."""
        value = self.get(*path) if len(path) > 1 else self.entries[str(path[0])]
        return list(value) if isinstance(value, Mapping) else []

    def texts(self, *path: str | int) -> list[tuple[Path, str]]:
        """The items of the list at a path, each with its own path; a repetition once."""
        value = self.get(*path)
        items = value if isinstance(value, list) else []
        return [
            ((*path, number), item)
            for number, item in enumerate(items)
            if isinstance(item, str) and (*path, number) not in self.wrong
        ]
