"""The content of each section of a plan's page."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from rehost.plan._cost import PARTS
from rehost.plan._plan import Outage, Plan
from rehost.plan._preview import CREATE, DELETE, REPLACE, UPDATE, Change
from rehost.plan._risks import FINAL, LOST
from rehost.plan._text import money, size, span
from rehost.plan._views import ApplicationView
from rehost.text import count, named
from rehost.waves import moment

#: Of applications that have a row each in the open.
MANY = 30
_HEAD = ("wave", "application", "phase", "replication", "instances", "to move", "a month")

Rows = Sequence[Sequence[str]]
#: A text, a list, or a table with its head.
Content = str | list[str] | tuple[Sequence[str], Rows]
_WEIGHTS = {LOST: "data lost", FINAL: "no way back"}


def every(plan: Plan) -> Iterator[tuple[str, bool, list[Content]]]:
    """Title, whether it is folded away, and content; in order. Empty content: leave it out."""
    yield "What cannot be undone", False, _irreversible(plan)
    yield "What stands against it", False, _against(plan)
    yield "By wave and application", False, _overview(plan)
    yield "By application", True, _by_application(plan)
    yield "Phases", len(plan.views.applications) > MANY, _phases(plan)
    yield "Outage windows", False, _outages(plan)
    yield "Bytes to move", False, _movement(plan)
    yield "Images and snapshots that go", False, _retention(plan)
    yield "Estimated cost", False, _cost(plan)
    yield "Concerns", len(plan.concerns) > 10, _concerns(plan)
    yield "Servers", True, _servers(plan)
    yield "What changes in the spec", True, _spec(plan)
    yield "Policies", True, _policies(plan)
    yield "What this plan could not know", False, [list(plan.missing)] if plan.missing else []


def _irreversible(plan: Plan) -> list[Content]:
    if not plan.risks:
        return ["Nothing, as far as the preview shows: what changes can be changed back."]
    return [[f"{_WEIGHTS.get(each.weight, 'removed')}: {each.message}" for each in plan.risks]]


def _against(plan: Plan) -> list[Content]:
    found = [f"policy {each.policy.name} {'refuses' if each.refuses else 'warns'}: {_of(violation.of)}{violation.message}"
             for each in plan.verdicts for violation in each.violations]  # fmt: skip
    found += [f"the preview failed: {each.message}" for each in plan.preview.errors]
    return [[*found, *plan.notes]] if found or plan.notes else []


def _of(what: str) -> str:
    return f"{what}: " if what else ""


def _overview(plan: Plan) -> list[Content]:
    """A row an application; where there are many, a row a wave, and the applications are folded away."""
    rows = _applications(plan)
    if len(rows) > MANY:
        rows = _by_wave(plan)
    blocks: list[Content] = [(_HEAD, rows)] if rows else []
    untouched = sum(not each.is_touched for each in plan.views.applications)
    if untouched:
        rest = count(untouched, "application")
        blocks.append(f"{rest} {'stays as it is' if untouched == 1 else 'stay as they are'}.")
    if plan.views.others:
        shown = named((f"{each.op} {each.name}" for each in plan.views.others), 5)
        blocks.append(f"Besides, {count(len(plan.views.others), 'resource')} not of rehost: {shown}.")
    return blocks


def _by_application(plan: Plan) -> list[Content]:
    rows = _applications(plan)
    return [(_HEAD, rows)] if len(rows) > MANY else []


def _applications(plan: Plan) -> list[Sequence[str]]:
    rows = [
        _row(plan, name, each) for _wave, name, applications in plan.waves for each in applications if each.is_touched
    ]
    alone = tuple(each for each in plan.views.alone if each.lines)
    if alone:
        whole = ApplicationView("", None, "replicate", "replicate", (), alone)
        rows.append(_row(plan, "-", whole, "servers of no application"))
    return rows


def _by_wave(plan: Plan) -> list[Sequence[str]]:
    rows: list[Sequence[str]] = []
    for _wave, name, applications in plan.waves:
        touched = [each for each in applications if each.is_touched]
        if touched:
            servers = tuple(server for each in touched for server in each.servers)
            whole = ApplicationView("", name, None, None, (), servers)
            steps = Counter(_phase(each) for each in touched)
            phases = ", ".join(f"{number} {step}" for step, number in steps.most_common(4))
            rows.append(
                (*_row(plan, name, whole, count(len(touched), "application"))[:2], phases, *_row(plan, name, whole)[3:])
            )
    return rows


def _row(plan: Plan, wave: str, each: ApplicationView, title: str = "") -> Sequence[str]:
    servers = [server.name for server in each.servers]
    moves = plan.movement.of(servers)
    _once, before, after = plan.cost.of(servers)
    more = " and more" if moves.unknown and moves.known_bytes else ""
    moved = (
        "-"
        if not moves.moves
        else "unknown"
        if not moves.known_bytes and moves.unknown
        else f"{size(moves.known_bytes)}{more}"
    )
    difference = after.total - before.total
    return (
        wave or "-",
        title or each.name,
        _phase(each),
        _tally(each, "ReplicationJob"),
        _tally(each, "Instance"),
        moved,
        "-"
        if abs(difference) < 0.005
        else f"{'+' if difference > 0 else '-'}{money(abs(difference), plan.cost.currency)}",
    )


def _phase(each: ApplicationView) -> str:
    if each.to is None:
        return f"{each.came_from or '-'}, then gone"
    if each.enters:
        return f"{each.came_from} → {each.to}" if each.came_from else f"new: {each.to}"
    return each.to


def _tally(each: ApplicationView, kind: str) -> str:
    words = (
        (CREATE, "starts", "start"),
        (UPDATE, "changes", "change"),
        (REPLACE, "is replaced", "are replaced"),
        (DELETE, "goes", "go"),
    )
    found = [f"{number} {one if number == 1 else many}" for op, one, many in words if (number := each.count(kind, op))]
    return ", ".join(found) or "-"


def _phases(plan: Plan) -> list[Content]:
    found = []
    for each in plan.views.applications:
        if each.enters and each.sentences:
            found.append(f"{each.name} ({_phase(each)}): {'; '.join(each.sentences)}")
    return [found] if found else []


def _outages(plan: Plan) -> list[Content]:
    if not plan.outages:
        return []
    head = ("wave", "application", "window", "days", "estimated outage", "owner")
    return [(head, [_outage(plan, each) for each in plan.outages])]


def _outage(plan: Plan, each: Outage) -> Sequence[str]:
    window = "none: it begins with `pulumi up`"
    if each.opens and each.closes:
        now = plan.made_at
        state = (
            "over"
            if now >= each.closes
            else "open"
            if now >= each.opens
            else f"in {span((each.opens - now).total_seconds())}"
        )
        window = f"{moment(each.opens)} to {moment(each.closes)} ({state})"
    told = each.told if each.fits is not False else f"longer than its window: {each.told}"
    return each.wave or "-", each.application, window, ", ".join(each.days) or "any", told, each.owner or "not named"


def _movement(plan: Plan) -> list[Content]:
    moves = plan.movement
    if not moves.moves:
        return []
    known, unknown = len(moves.moves) - len(moves.unknown), len(moves.unknown)
    parts = [f"{size(moves.known_bytes)} of {count(known, 'server')}"] if known else []
    parts += [f"an unknown amount of {count(unknown, 'server')}"] if unknown else []
    total, time = " and ".join(parts), "how long it takes is not known, for the reasons below"
    if moves.seconds:
        least, most = moves.seconds
        time = (
            f"about {span(least)}"
            if span(least) == span(most)
            else f"{span(least)} with all runs side by side, {span(most)} one after another"
        )
    rows = []
    for source in dict.fromkeys(each.source for each in moves.moves):
        these = moves.of(each.server for each in moves.moves if each.source == source)
        rate = moves.rates.get(source)
        full = sum(each.is_full for each in these.moves)
        rows.append(
            (source, str(len(these.moves)), str(full), size(these.known_bytes if these.known_bytes or not these.unknown else None),
             f"{size(round(rate))}/s a run" if rate else "not measured yet",
             span(these.seconds[1]) if these.seconds else "unknown")
        )  # fmt: skip
    return [
        f"{total}; {time}.",
        (("source", "servers", "full copies", "bytes", "measured rate", "one after another"), rows),
    ]


def _retention(plan: Plan) -> list[Content]:
    if not plan.going:
        return []
    rows = [
        (
            each.server,
            each.why,
            str(len(each.images)),
            str(len(each.snapshots)),
            named(each.images, 3) or "-",
            named(each.in_use, 3) or "-",
        )
        for each in plan.going
    ]
    images, snapshots = (sum(len(getattr(each, key)) for each in plan.going) for key in ("images", "snapshots"))
    told = f"{count(images, 'image')} and {count(snapshots, 'snapshot')}."
    return [told, (("server", "because", "images", "snapshots", "which", "stay, being in use"), rows)]


def _cost(plan: Plan) -> list[Content]:
    cost = plan.cost
    once, before, after = cost.of(cost.servers)
    rows = []
    for part in PARTS:
        was, will = before.parts.get(part, 0.0), after.parts.get(part, 0.0)
        if was or will:
            rows.append(
                (part, money(was, cost.currency), money(will, cost.currency), _signed(will - was, cost.currency))
            )
    rows.append(
        (
            "together",
            money(before.total, cost.currency),
            money(after.total, cost.currency),
            _signed(after.total - before.total, cost.currency),
        )
    )
    priced = f"Prices of {cost.date}, {cost.region}" if cost.region else "The price table has nothing for this region"
    if cost.stands_for:
        priced += f", which stand in for {cost.stands_for}: it is not in the table" if cost.region else ""
    nothing = plan.movement.unknown and not once
    told = f"{'An unknown amount' if nothing else money(once, cost.currency)} once, for the blocks that are sent (PutSnapshotBlock). A month: what this change touches, before and after. {priced}; Linux, on demand, without discounts. An estimate, no bill."
    blocks: list[Content] = [told, (("a month", "before", "after", "difference"), rows)]
    if cost.lacks:
        blocks += ["Not included:", list(cost.lacks)]
    return blocks


def _signed(amount: float, currency: str) -> str:
    if abs(amount) < 0.005:
        return "-"
    return f"{'+' if amount > 0 else '-'}{money(abs(amount), currency)}"


def _concerns(plan: Plan) -> list[Content]:
    # Errors stand against the plan, and are said there.
    rows = [
        (each.severity, each.application or "-", each.id or "-", each.message)
        for each in plan.concerns
        if each.severity != "error"
    ]
    return [(("", "application", "concern", "what"), rows)] if rows else []


def _servers(plan: Plan) -> list[Content]:
    rows = [
        (each.application or "-", each.name, each.what, "; ".join(each.lines), _changes(each.changes))
        for each in plan.views.servers.values()
        if each.lines
    ]
    return [(("application", "server", "it", "what", "changes"), rows)] if rows else []


def _changes(changes: Sequence[Change]) -> str:
    told = [f"`{each.path}`: {_value(each.before)} → {_value(each.after)}" for each in changes[:6]]
    return "; ".join(told) + (f"; {len(changes) - 6} more" if len(changes) > 6 else "")


def _value(value: str | None) -> str:
    if value is None:
        return "nothing"
    return value if len(value) <= 60 else f"{value[:60]}…"


def _spec(plan: Plan) -> list[Content]:
    if plan.spec_changes is None:
        return []
    if not plan.spec_changes:
        return ["Nothing."]
    return [
        [
            f"`{each.section}.{each.name}` {each.what}" + (f": {_changes(each.changes)}" if each.changes else "")
            for each in plan.spec_changes
        ]
    ]


def _policies(plan: Plan) -> list[Content]:
    rows = [
        (each.policy.name, each.policy.description, each.policy.file, str(each.checked),
         "passed" if not each.violations else f"{'refused' if each.refuses else 'warned'} {len(each.violations)} times" if len(each.violations) > 1
         else "refused" if each.refuses else "warned")
        for each in plan.verdicts
    ]  # fmt: skip
    return [(("policy", "what it asks", "file", "looked at", "result"), rows)] if rows else []
