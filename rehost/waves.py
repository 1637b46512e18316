"""What a wave lets its applications do. Pure: it is told what was declared, where everything stands, and what time it is.

A wave's `window`, `concurrency` and `after` hold for one step alone, the cutover. Replication and tests take their own time, and the
way back is never barred: whoever has to go back at the end of a night does not wait for the next one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from rehost.text import named

#: Phases that an application has reached once it serves from AWS.
CUT_OVER = frozenset({"cutover", "complete"})


@dataclass(frozen=True)
class WavePlan:
    """A wave as the spec declares it. `concurrency` None is no limit; moments carry their time zone."""

    name: str
    applications: tuple[str, ...]
    opens: datetime | None = None
    closes: datetime | None = None
    concurrency: int | None = None
    after: tuple[str, ...] = ()


@dataclass(frozen=True)
class Standing:
    """Where an application stands, as the control plane knows it. The default one is of an application nobody has begun.

    `under_way`: a cutover of it has begun and neither succeeded nor given up, be it in another process or in one that was killed.
    """

    reached: str | None = None
    under_way: bool = False

    @property
    def is_cut_over(self) -> bool:
        return self.reached in CUT_OVER


@dataclass(frozen=True)
class Refusal:
    """One reason why an application may not be cut over now. `id` is one of `rehost.concerns`."""

    id: str
    message: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.message}; {self.remedy}"


def refusals(
    application: str,
    wave: WavePlan | None,
    waves: Mapping[str, WavePlan],
    standings: Mapping[str, Standing],
    now: datetime,
) -> list[Refusal]:
    """Every reason why `application` may not be cut over now; none where it may.

    `waves` has those that `wave.after` names, `standings` the applications of all of them; what is missing there was never begun. An
    application that is cut over already, or under way, goes on whatever the hour: a cutover is not left half done because a window
    closed over it.
    """
    standing = standings.get(application, Standing())
    if wave is None or standing.is_cut_over or standing.under_way:
        return []
    found = [*_window(wave, now)]
    for other in wave.after:
        waiting = unfinished(waves[other], standings) if other in waves else []
        if waiting:
            found.append(
                Refusal(
                    "wave-before",
                    f"wave {wave.name} comes after wave {other}, of which {named(waiting)} {_are(waiting)} not cut over",
                    f"cut {_them(waiting)} over first, or take {other} out of waves.{wave.name}.after",
                )
            )
    busy = [each for each in wave.applications if each != application and standings.get(each, Standing()).under_way]
    if wave.concurrency is not None and len(busy) >= wave.concurrency:
        found.append(
            Refusal(
                "wave-busy",
                f"{named(busy)} of wave {wave.name} {_are(busy)} being cut over, and waves.{wave.name}.concurrency is {wave.concurrency}",
                "wait until one of them is done, or raise it",
            )
        )
    return found


def may_cut_over(
    application: str,
    wave: WavePlan | None,
    waves: Mapping[str, WavePlan],
    standings: Mapping[str, Standing],
    now: datetime,
) -> bool:
    return not refusals(application, wave, waves, standings, now)


def wave_of(application: str, waves: Mapping[str, WavePlan]) -> WavePlan | None:
    return next((wave for wave in waves.values() if application in wave.applications), None)


def unfinished(wave: WavePlan, standings: Mapping[str, Standing]) -> list[str]:
    """Its applications that do not serve from AWS yet, in the wave's order."""
    return [each for each in wave.applications if not standings.get(each, Standing()).is_cut_over]


def wave_order(waves: Mapping[str, WavePlan]) -> list[WavePlan]:
    """Each wave behind those that it comes after, otherwise as they are declared. Raises nothing: the spec has no cycles."""
    ordered: dict[str, WavePlan] = {}

    def put(wave: WavePlan) -> None:
        if wave.name not in ordered:
            for other in wave.after:
                if other in waves:
                    put(waves[other])
            ordered[wave.name] = wave

    for each in waves.values():
        put(each)
    return list(ordered.values())


def _window(wave: WavePlan, now: datetime) -> Iterable[Refusal]:
    """The window begins with its first moment and is over with its last."""
    if wave.opens is not None and now < wave.opens:
        yield Refusal(
            "window-not-open",
            f"the window of wave {wave.name} opens {moment(wave.opens)}",
            f"wait until then, or change waves.{wave.name}.window",
        )
    if wave.closes is not None and now >= wave.closes:
        yield Refusal(
            "window-closed",
            f"the window of wave {wave.name} closed {moment(wave.closes)}",
            f"agree on another one and declare it as waves.{wave.name}.window",
        )


def moment(at: datetime) -> str:
    """As the spec would have it, to the minute: in the time zone in which it was declared."""
    zone = at.strftime("%z")
    return at.strftime("%Y-%m-%d %H:%M ") + ("UTC" if zone in ("", "+0000") else f"{zone[:3]}:{zone[3:]}")


def _are(names: list[str]) -> str:
    return "is" if len(names) == 1 else "are"


def _them(names: list[str]) -> str:
    return "it" if len(names) == 1 else "them"
