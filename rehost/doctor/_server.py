"""With a server: two points in time of it, read as a connector would, and given up again."""

from __future__ import annotations

import hashlib
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

from rehost.blocks import Extent
from rehost.doctor._book import Answer, Book, shielded
from rehost.doctor._reading import MIB, Areas, Reader, areas, ends, looks_like, sample_of, touched
from rehost.sources import (
    ChangesUnknown,
    DiscoveredServer,
    FreezeLost,
    FrozenDisk,
    FrozenServer,
    Locator,
    Quiesce,
    Severity,
    Source,
    Tidy,
)
from rehost.text import count, named, size

_KEYS = "the keys of disks have to be the same in each point in time: this is a fault of rehost, report it"


class ServerTest:
    """`opening` makes the source of the spec's entry. Whatever fails or interrupts it, what it took is given up again."""

    def __init__(
        self, book: Book, opening: Callable[[], Source], server: Locator, *, quiesce: Quiesce, run: str, budget: int
    ) -> None:
        """`run` begins what is made at the source; `budget` is the bytes of the sample that is read twice."""
        self._book = book
        self._opening = opening
        self._server = server
        self._quiesce = quiesce
        self._run = run
        self._budget = budget
        self._source: Source
        self._held: FrozenServer | None = None
        self._token = ""
        self._before: Sequence[str] = ()
        self._positions: list[dict[str, str]] = []  # of each point in time, by the disk's key
        self._ends: dict[tuple[str, Extent], str] = {}
        self._sample: dict[tuple[str, Extent], str] = {}
        self._allocated: dict[str, Areas] = {}
        self._changed: dict[str, Areas] = {}

    def run(self) -> None:
        ask = self._book.ask
        if not ask("inspect", "what speaks against it", self._inspect):
            return
        try:
            ask("freeze", "a point in time", lambda: shielded(lambda: self._freeze(1)))
            ask("ends", "head and tail of every disk", self._read_ends, needs=["freeze"])
            ask("allocated", "what is allocated", self._read_map, needs=["freeze"])
            ask("rate", "a sample of it, read", self._read_sample, needs=["allocated"])
            ask("reopen", "found again by its token, as after a crash", self._reopen, needs=["ends"])
            ask("check", "still of one moment", self._check, needs=["freeze"])
            self._give_up("release", "gone")
            again = ["freeze", "release", "gone"]
            ask("freeze-again", "a second point in time", lambda: shielded(lambda: self._freeze(2)), needs=again)
            ask("changes", "what changed between them", self._changes, needs=["freeze-again"])
            ask("unchanged", "what did not change reads as before", self._compare, needs=["changes", "rate"])
            ask("check-again", "still of one moment", self._check, needs=["freeze-again"])
            self._give_up("release-again", "gone-again")
        finally:
            try:
                if self._held is not None:
                    ask("release-after-all", "given up after all", lambda: shielded(self._release))
            finally:
                self._leave()

    def _inspect(self) -> Answer:
        self._source = self._opening()
        try:
            found = self._source.inspect(self._server)
            self._before = self._remains()
        except BaseException:
            self._source.close()
            raise
        by_severity = Counter(each.severity for each in found.concerns)
        told = [count(by_severity[each], each.value) for each in Severity if by_severity[each]]
        ids = named((each.id for each in found.concerns), 8)
        figures = {"disks": [{"key": disk.key, "bytes": disk.size} for disk in found.disks], "concerns": _listed(found)}
        total = size(sum(disk.size for disk in found.disks))
        text = f"{count(len(found.disks), 'disk')} of {total}; {', '.join(told) or 'no concern'}"
        return Answer(f"{text}: {ids}" if told else text, figures=figures)

    def _freeze(self, number: int) -> Answer:
        self._held = self._source.freeze(self._server, quiesce=self._quiesce, run=f"{self._run}-{number}")
        self._token = self._held.token
        self._positions.append({disk.key: disk.position for disk in self._held.disks})
        disks = ", ".join(f"{disk.key} {size(disk.size)}" for disk in self._held.disks)
        figures = {"consistency": self._held.consistency.value, "disks": {d.key: d.size for d in self._held.disks}}
        if len(self._positions[-1]) < len(self._held.disks) or list(self._positions[0]) != list(self._positions[-1]):
            return Answer(f"disks {disks}", _KEYS, figures)
        return Answer(f"{self._held.consistency.value}-consistent: {disks}", figures=figures)

    @property
    def _disks(self) -> Mapping[str, FrozenDisk]:
        assert self._held is not None  # noqa: S101 - asked for only while there is one
        return {disk.key: disk for disk in self._held.disks}

    def _read_ends(self) -> Answer:
        reader, seen = Reader(), []
        started = time.monotonic()
        first: float | None = None
        for key, disk in self._disks.items():
            read = []
            for piece in ends(disk):
                read.append(reader.read(disk, piece))
                first = first if first is not None else time.monotonic() - started
                self._ends[key, piece] = hashlib.sha256(read[-1]).hexdigest()
            seen.append(f"{key} {looks_like(read[0], read[-1])}")
        figures = {"bytes": reader.bytes, "firstReadSeconds": first, "readAgain": reader.again}
        return Answer(", ".join(seen), figures=figures)

    def _read_map(self) -> Answer:
        problem = self._ask_areas(self._allocated, [None] * len(self._disks))
        if problem is not None:
            return problem
        total = sum(disk.size for disk in self._disks.values())
        used = sum(each.bytes for each in self._allocated.values())
        figures = {"bytes": used, "of": total, "extents": sum(each.extents for each in self._allocated.values())}
        share = f" ({used / total:.0%})" if total else ""
        return Answer(f"{size(used)} of {size(total)}{share}, in {figures['extents']:,} extents", figures=figures)

    def _ask_areas(self, into: dict[str, Areas], since: Sequence[str | None]) -> Answer | None:
        for (key, disk), position in zip(self._disks.items(), since, strict=True):
            try:
                into[key] = areas(disk.extents(position), disk.size)
            except ValueError as error:
                return Answer(f"{key}: {error}", "extents have to ascend within the disk: a fault of rehost, report it")
        return None

    def _read_sample(self) -> Answer:
        total = sum(each.bytes for each in self._allocated.values()) or 1
        places = [
            (key, piece)
            for key, found in self._allocated.items()
            for piece in sample_of(found, self._budget * found.bytes // total)
        ]
        reader = Reader()
        started = time.monotonic()
        self._sample = reader.digests(self._disks, places)
        seconds = time.monotonic() - started
        figures = {"bytes": reader.bytes, "seconds": seconds, "readAgain": reader.again}
        if not places:
            return Answer("nothing is allocated", figures=figures)
        again = f", {count(reader.again, 'read')} only at a second try" if reader.again else ""
        rate = reader.bytes / MIB / seconds
        return Answer(f"{size(reader.bytes)} at {rate:,.0f} MiB/s{again}", figures={**figures, "mibPerSecond": rate})

    def _reopen(self) -> Answer:
        """Another source, as of another process: nothing that this one remembers helps it."""
        with self._other() as other:
            found = other.reopen(self._token)
            try:
                disks = {disk.key: disk for disk in found.disks}
                if list(disks) != list(self._disks):
                    return Answer(f"disks {', '.join(disks)}", _KEYS)
                read = Reader().digests(disks, list(self._ends))
                found.check()
            finally:
                found.close()
        differing = sorted({key for (key, _), digest in read.items() if digest != self._ends[key, _]})
        if differing:
            return Answer(f"other bytes on {', '.join(differing)}", "this is a fault of rehost: report it")
        return Answer("the same disks, and head and tail as before")

    @contextmanager
    def _other(self) -> Iterator[Source]:
        other = self._opening()
        try:
            yield other
        finally:
            other.close()

    def _check(self) -> Answer:
        assert self._held is not None  # noqa: S101 - asked for only while there is one
        self._held.check()
        return Answer("nothing speaks against it")

    def _give_up(self, id_: str, gone: str) -> None:
        if self._held is not None:
            self._book.ask(id_, "given up", lambda: shielded(self._release))
            self._book.ask(gone, "gone, as its token says", self._gone, needs=[id_])

    def _release(self) -> Answer:
        assert self._held is not None  # noqa: S101 - asked for only while there is one
        self._held.release()
        self._held = None
        return Answer("nothing of it is needed any longer")

    def _gone(self) -> Answer:
        try:
            with self._other() as other:
                other.reopen(self._token).close()
        except FreezeLost:
            return Answer("it cannot be opened any longer")
        if isinstance(self._source, Tidy) and not set(self._remains()) - set(self._before):
            return Answer("nothing had been made for it: the disks themselves were read")
        return Answer("it can still be opened", "look for what begins with `rehost` at the source, and remove it")

    def _changes(self) -> Answer:
        first = self._positions[0]
        try:
            problem = self._ask_areas(self._changed, [first[key] for key in self._disks])
        except ChangesUnknown as error:
            return Answer(
                str(error), "each run will read whole disks; the page of the source's type says what turns it on"
            )
        if problem is not None:
            return problem
        parts = [f"{key} {size(each.bytes)}" for key, each in self._changed.items()]
        figures = {"bytes": {key: each.bytes for key, each in self._changed.items()}}
        return Answer(", ".join(parts), figures=figures)

    def _compare(self) -> Answer:
        """Where changes are said to be none, the bytes have to be what they were: a missed write would be lost for good."""
        whole = {key for key, each in self._changed.items() if each.is_whole}
        places = [
            (key, piece) for key, piece in self._sample if key in whole and not touched(piece, self._changed[key].kept)
        ]
        read = Reader().digests(self._disks, places)
        length = sum(piece.length for _, piece in places)
        figures = {"bytes": length, "differing": sum(read[place] != self._sample[place] for place in places)}
        if figures["differing"]:
            remedy = "changes are missed here: do not replicate from this place, and report it"
            return Answer(f"{figures['differing']} of {len(places)} pieces differ", remedy, figures)
        if not places:
            return Answer("all of the sample changed, so there is nothing to compare", skipped=True)
        return Answer(f"{size(length)} of the sample compared", figures=figures)

    def _leave(self) -> None:
        try:
            self._book.ask("left", "nothing is left at the source", lambda: shielded(self._look_behind))
        finally:
            self._source.close()

    def _look_behind(self) -> Answer:
        if not isinstance(self._source, Tidy):
            return Answer("a source of this type cannot list what is rehost's; both tokens were asked", skipped=True)
        for positions in self._positions:
            self._source.forget(self._server, positions)
        left = [each for each in self._remains() if each not in self._before]
        if left:
            return Answer(named(left), "remove it at the source; a later run does so, too")
        kept = f", {count(len(self._before), 'thing')} of other runs as before" if self._before else ""
        return Answer(f"nothing of this test{kept}")

    def _remains(self) -> Sequence[str]:
        return self._source.remains(self._server) if isinstance(self._source, Tidy) else ()


def _listed(server: DiscoveredServer) -> list[dict[str, str]]:
    return [
        {"id": each.id, "severity": each.severity.value, "message": each.message, "remedy": each.remedy}
        for each in server.concerns
    ]
