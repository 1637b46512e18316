"""The sections of all files as one, with the place of everything in them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import islice

from rehost.spec._findings import MAX_ERRORS, Finding, Position, closest
from rehost.spec._yaml import Document, Path

#: Those of the model. The others are a way of writing them.
SECTIONS = ("sources", "schedules", "notifications", "launchConfigs", "servers", "applications", "waves")
ALL_SECTIONS = (*SECTIONS, "serverTemplates", "selections", "selected")
_KEYS = frozenset({"apiVersion", "defaults", *ALL_SECTIONS})


class Merged:
    """What the checks look things up in. Entries may have any shape: a wrong one has been reported, and hides nothing."""

    def __init__(self) -> None:
        self.entries: dict[str, dict[str, object]] = {section: {} for section in ALL_SECTIONS}
        self.homes: dict[tuple[str, str], Document] = {}
        self.defaults: dict[tuple[str, str], Document] = {}  # by folder and section
        self.origins: dict[Path, tuple[Document, Path]] = {}  # of what an entry has from elsewhere: where it stands
        self.chosen: dict[str, str] = {}  # servers that are no entries of their own: the selection of each
        self.unsure: set[str] = set()  # sections of which not all names are known: nothing dangles there
        self.wrong: set[Path] = set()  # values that the schema refused
        self.flawed: set[str] = set()  # sections of which the schema refused something

    def add(self, document: Document) -> Iterator[Finding]:
        """Take a file's entries in. One that another file has, too, is reported; the first one counts."""
        data = document.data
        if not document.is_whole or not (isinstance(data, Mapping) or data is None):
            self.unsure.update(ALL_SECTIONS)
        if not isinstance(data, Mapping):
            return
        if () in document.refused:
            self.unsure.update(ALL_SECTIONS)
        # A section whose name is mistyped has names in it all the same.
        self.unsure.update(
            filter(None, (closest(key, ALL_SECTIONS) for key in islice(data, MAX_ERRORS) if key not in _KEYS))
        )
        yield from self._add_defaults(document, data.get("defaults"))
        for section in ALL_SECTIONS:
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

    def _add_defaults(self, document: Document, defaults: object) -> Iterator[Finding]:
        folder = document.name.rpartition("/")[0]
        for section in defaults if isinstance(defaults, Mapping) else ():
            first = self.defaults.setdefault((folder, section), document)
            if first is not document:
                message = f"{section} have defaults in this folder already, at {first.at_key(('defaults', section))}"
                hint = "put them together, or into a folder below"
                yield Finding.at(document.at_key(("defaults", section)), "duplicate-entry", message, hint)

    def place(self, *path: str | int) -> Position:
        """Where an entry's name stands, or a value within it begins; of what it has from elsewhere, where that stands."""
        document, where = self.origin(path)
        return document.at_key(where) if len(path) == 2 else document.at(where)

    def origin(self, path: Path) -> tuple[Document, Path]:
        """The document in which the value at a path stands, and the path that it has there."""
        if self.origins:
            for length in range(len(path), 1, -1):
                if found := self.origins.get(path[:length]):
                    return found[0], (*found[1], *path[length:])
        return self.homes[str(path[0]), str(path[1])], path

    def file(self, section: str, name: str) -> str:
        """The file that holds an entry."""
        return self.homes[section, name].name

    def get(self, *path: str | int) -> object:
        """The value at a path; None where there is none, or where the schema refused it."""
        if self.is_wrong(*path):
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
        if not self.wrong:
            return False
        if path in self.wrong:
            return True
        inherited = bool(self.origins) and (str(path[0]), str(path[1])) in self.homes
        return inherited and self.origin(path)[1] in self.wrong

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
            if isinstance(item, str) and not self.is_wrong(*path, number)
        ]
