"""How many bytes a change moves, and how long that takes at the measured rate."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from rehost.plan._known import Known, nothing_known
from rehost.plan._preview import CREATE, DELETE, REPLACE, SAME, Preview, Resource

_NOTHING = nothing_known("it was not asked")


@dataclass(frozen=True)
class Move:
    """What one server's next run moves because of this change. `count` None: nobody knows yet; `seconds` None: no rate was measured."""

    server: str
    source: str
    why: str
    count: int | None
    seconds: float | None
    is_full: bool

    def as_dict(self) -> dict[str, Any]:
        return {
            "server": self.server,
            "source": self.source,
            "why": self.why,
            "bytes": self.count,
            "seconds": self.seconds,
            "full_copy": self.is_full,
        }


@dataclass(frozen=True)
class Movement:
    """All of them. Runs of one source side by side share its line, so the time lies between its longest run and their sum."""

    moves: tuple[Move, ...]
    rates: Mapping[str, float]  # bytes a second, by source

    @property
    def known_bytes(self) -> int:
        return sum(each.count or 0 for each in self.moves)

    @property
    def unknown(self) -> list[str]:
        return [each.server for each in self.moves if each.count is None]

    @property
    def unmeasured(self) -> list[str]:
        """Sources with bytes to move and no rate."""
        return sorted({each.source for each in self.moves if each.count and each.seconds is None})

    @property
    def seconds(self) -> tuple[float, float] | None:
        """At least and at most; None where a size or a rate is missing, or nothing is moved."""
        if not self.moves or any(each.seconds is None for each in self.moves):
            return None
        by_source: dict[str, list[float]] = {}
        for each in self.moves:
            by_source.setdefault(each.source, []).append(each.seconds or 0.0)
        return max(max(times) for times in by_source.values()), max(sum(times) for times in by_source.values())

    def of(self, servers: Iterable[str]) -> Movement:
        wanted = set(servers)
        return Movement(tuple(each for each in self.moves if each.server in wanted), self.rates)

    def as_dict(self) -> dict[str, Any]:
        seconds = self.seconds
        return {
            "bytes": self.known_bytes,
            "seconds_at_least": seconds[0] if seconds else None,
            "seconds_at_most": seconds[1] if seconds else None,
            "servers_of_unknown_size": self.unknown,
            "sources_without_a_measured_rate": self.unmeasured,
            "rates": dict(self.rates),
            "moves": [each.as_dict() for each in self.moves],
        }


def movement(jobs: Iterable[Resource], cut_over: Mapping[str, str], known: Known) -> Movement:
    """`jobs`: the ReplicationJobs of the preview; `cut_over`: the source of each server of which a last run is taken."""
    moves = {move.server: move for job in jobs if (move := _full(job, known)) is not None}
    for server, source in cut_over.items():
        if server not in moves:
            count = known.of(server).sent_bytes
            seconds = _time(count, known.rates.get(source))
            why = "last run of the cutover, if it is like the newest"
            moves[server] = Move(server, source, why, count, seconds, False)
    sources = {each.source for each in moves.values()}
    return Movement(tuple(moves.values()), {source: rate for source, rate in known.rates.items() if source in sources})


def full_copies(preview: Preview) -> list[str]:
    """Servers whose next run copies everything because of this change."""
    jobs = (each for each in preview.resources if each.kind == "ReplicationJob")
    return [move.server for job in jobs if (move := _full(job, _NOTHING)) is not None]


def _full(job: Resource, known: Known) -> Move | None:
    """The copy of everything that a new job begins with, or a changed one begins anew with."""
    told = str(job.after.get("fullCopy", ""))
    begins = job.op in (CREATE, REPLACE) or (job.op != SAME and told.startswith("yes"))
    if job.op == DELETE or job.after.get("ended") or not begins:
        return None
    server, source = str(job.after.get("server", job.name)), str(job.after.get("sourceName", ""))
    here = known.of(server)
    why = told.removeprefix("yes, ") if told.startswith("yes") else "the first one"
    count = here.full_bytes or here.size
    return Move(server, source, f"full copy: {why}", count, _time(count, known.rates.get(source)), True)


def _time(count: int | None, rate: float | None) -> float | None:
    if count == 0:
        return 0.0
    return count / rate if count is not None and rate else None
