"""Without a server: the entry of the spec, whether the place is reached, and what it has."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable

from rehost.doctor._book import Answer, Book
from rehost.sources import DiscoveredServer, Severity, Source
from rehost.text import count, named, size


class SourceTest:
    """`opening` makes the source of the spec's entry, and reaches nothing."""

    def __init__(self, book: Book, opening: Callable[[], Source]) -> None:
        self._book = book
        self._opening = opening
        self._source: Source | None = None
        self.found: list[DiscoveredServer] = []

    def run(self) -> None:
        ask = self._book.ask
        try:
            ask("entry", "the entry of the spec", self._open)
            ask("servers", "reached, credentials taken, servers listed", self._list, needs=["entry"])
            ask("concerns", "what speaks against replicating them", self._concerns, needs=["servers"])
        finally:
            if self._source is not None:
                self._source.close()

    def _open(self) -> Answer:
        self._source = self._opening()
        return Answer("it fits its type")

    def _list(self) -> Answer:
        assert self._source is not None  # noqa: S101 - `entry` went well
        started = time.monotonic()
        first: float | None = None
        for each in self._source.discover():
            first = first if first is not None else time.monotonic() - started
            self.found.append(each)
        seconds = time.monotonic() - started
        disks = sum(len(each.disks) for each in self.found)
        total = sum(disk.size for each in self.found for disk in each.disks)
        figures = {"servers": len(self.found), "disks": disks, "bytes": total, "firstAfterSeconds": first}
        if not self.found:
            return Answer(
                "no server", "is the entry's place the right one, and may the account see its servers?", figures
            )
        rate = f"{len(self.found) / seconds:,.0f} a second" if seconds else "at once"
        text = f"{count(len(self.found), 'server')} with {count(disks, 'disk')} of {size(total)}, {rate}"
        return Answer(text, figures=figures)

    def _concerns(self) -> Answer:
        by_severity: Counter[str] = Counter()
        ids: Counter[str] = Counter()
        for server in self.found:
            told = {each.id: each.severity for each in server.concerns}
            if server.facts.get("problem") is not None:
                told["unsuitable"] = Severity.ERROR
            by_severity.update(severity.value for severity in told.values())
            ids.update(told.keys())
        figures = {**{each.value: by_severity[each.value] for each in Severity}, "ids": dict(ids)}
        counts = [count(by_severity[each.value], each.value) for each in Severity if by_severity[each.value]]
        often = named((f"{id_} ({times})" for id_, times in ids.most_common()), 6)
        return Answer(f"{', '.join(counts)}: {often}" if counts else "nothing", figures=figures)
