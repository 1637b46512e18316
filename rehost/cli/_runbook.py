"""What a run book says: plain data, made from the spec and the control plane. The renderers only lay it out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rehost.report import Member, WaveView
from rehost.spec import Estate, group_order
from rehost.text import span
from rehost.waves import moment

UNKNOWN = "not measured yet"


@dataclass(frozen=True)
class Step:
    """`command` and `check` are lines for a shell; `back` says how to undo it, where there is something to undo."""

    who: str
    what: str
    command: str = ""
    check: str = ""
    back: str = ""
    takes: str = ""


@dataclass(frozen=True)
class Section:
    title: str
    text: str
    steps: Sequence[Step] = ()
    table: Sequence[Sequence[str]] = ()  # its first row is the head


@dataclass(frozen=True)
class Book:
    title: str
    facts: Sequence[tuple[str, str]]
    sections: Sequence[Section]


def run_book(estate: Estate, view: WaveView, runs: Mapping[str, float]) -> Book:
    """`runs`: by server, how long its newest run took, in seconds."""
    wave = view.wave
    window = f"{moment(wave.window.opens)} to {moment(wave.window.closes)}" if wave.window else "none: any time"
    lead = wave.owner or "the wave's lead"
    facts = [
        ("Window", window),
        ("Lead", wave.owner or f"not named (waves.{wave.name}.owner)"),
        ("At once", str(wave.concurrency) if wave.concurrency else "all of its applications"),
        ("After", ", ".join(wave.after) or "no other wave"),
        ("Written", moment(view.now)),
    ]
    sections = [
        _before(view, lead),
        *(_application(estate, each, lead, runs) for each in view.members),
        _after(view, lead),
    ]
    return Book(f"Run book of wave {wave.name}", facts, sections)


def _before(view: WaveView, lead: str) -> Section:
    rows = [("application", "owner", "servers", "phase", "images", "next")]
    for each in view.members:
        owner = each.declared.owner or f"not named (applications.{each.name}.owner)"
        images = f"{each.ready} of {len(each.declared.servers)}"
        rows.append((each.name, owner, ", ".join(each.declared.servers), each.phase, images, each.next))
    steps = [
        Step(lead, "See that every application is tested and replicates", f"rehost wave status {view.wave.name}", "exit code 0"),
        *(Step(lead, f"See what speaks against {each.name}", f"rehost preflight {each.name} --phase cutover", "no errors")
          for each in view.members),
        *(Step(lead, f"See that wave {other} is cut over", f"rehost wave status {other}") for other in view.wave.after),
    ]  # fmt: skip
    return Section("Before the window opens", "", steps, rows)


def _application(estate: Estate, each: Member, lead: str, runs: Mapping[str, float]) -> Section:
    name, owner = each.name, each.declared.owner or f"{each.name}'s owner"
    standing = each.standing
    final = max((runs[server] for server in each.declared.servers if server in runs), default=None)
    launch = standing.launch_seconds if standing else None
    outage = standing.outage_seconds if standing else None
    order = " then ".join(
        " and ".join(f"{group.name} ({', '.join(group.servers)})" for group in level)
        for level in group_order(each.declared)
    )
    back = "revert that commit, `pulumi preview`, `pulumi up`: the instances go, then the sources are powered on as they were"
    steps = [
        Step(owner, "Tell the users that it goes down, and stop what feeds it"),
        Step(lead, f"Declare `applications.{name}.phase: cutover` in a reviewed commit", "pulumi preview --diff",
             "the plan of its Phase says what is powered off, which instances come, and how long it is out", "drop the commit"),
        Step(lead, f"Carry it out: sources are stopped ({each.declared.power or 'as each source can'}), last runs, then launch {order}",
             "pulumi up", f"rehost wave status shows {name} in phase cutover", back, _sum(final, launch)),
        Step(owner, "Try it: sign in, read and write something, look at its jobs and interfaces", "pulumi stack output instances",
             "it works as before", back),
        Step(owner, "Point users at it: DNS, load balancers, firewalls", "", "a user reaches the instance, not the source",
             "point them back, then as above"),
        Step(lead, "When nobody wants back any more: declare phase complete. There is no way back from it", "pulumi up",
             f"rehost wave status shows {name} complete"),
    ]  # fmt: skip
    table = [
        ("measured", "takes"),
        ("last run of its slowest server", _told(final)),
        (f"launch with validation{f', in phase {standing.launched_phase}' if standing and standing.launched_phase else ''}", _told(launch)),
        ("outage of its last cutover", _told(outage)),
        *((f"run of {server} (source {estate.servers[server].source.name})", _told(runs.get(server))) for server in each.declared.servers),
    ]  # fmt: skip
    return Section(f"Application {name}", f"Launch order: {order}.", steps, table)


def _after(view: WaveView, lead: str) -> Section:
    steps = [
        Step(
            lead,
            "See that everything is cut over",
            f"rehost wave status {view.wave.name}",
            "exit code 0, nothing under way",
        ),
        Step(lead, "See that nothing differs from what is declared", "pulumi refresh && pulumi preview", "no changes"),
    ]
    return Section("At the end", "Whatever is not cut over by then stays where it is: its source serves on.", steps)


def _sum(*seconds: float | None) -> str:
    known = [each for each in seconds if each is not None]
    return span(sum(known)) if len(known) == len(seconds) else UNKNOWN


def _told(seconds: float | None) -> str:
    return UNKNOWN if seconds is None else span(seconds)
