"""A plan, put together from the spec, the version before, the preview and what the control plane knows. It asks nobody."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from rehost.plan._base import Base
from rehost.plan._cost import cost
from rehost.plan._differences import in_words_of_the_spec, spec_changes
from rehost.plan._known import Known
from rehost.plan._movement import Movement, movement
from rehost.plan._plan import Concern, Outage, Plan
from rehost.plan._policies import Policy, judge
from rehost.plan._preview import DELETE, REPLACE, Preview, Resource, together
from rehost.plan._prices import Prices
from rehost.plan._retention import going
from rehost.plan._risks import SERVING, risks
from rehost.plan._views import ApplicationView, Views, views
from rehost.spec import Estate
from rehost.text import named

_PREFLIGHT = re.compile(r"(?s)(?:application )?(?P<application>[^\s:]+): (?P<message>.+) \[(?P<id>[a-z0-9-]+)\]")
_OF_A_SOURCE = re.compile(r"(?s)(?P<server>[^\s:]+): (?P<id>[a-z0-9]+(?:-[a-z0-9]+)+): (?P<message>.+)")


def make_plan(
    estate: Estate,
    preview: Preview,
    *,
    known: Known,
    prices: Prices,
    base: Base | None = None,
    policies: Sequence[Policy] = (),
    used: Collection[str] | None = None,
    notes: Sequence[str] = (),
    missing: Sequence[str] = (),
) -> Plan:
    """`used`: images that an instance uses, None where AWS was not asked. `notes` and `missing` go before those found here."""
    before = base.estate if base else None
    found = views(preview, estate, before)
    jobs, instances = _by_server(preview, "ReplicationJob"), _by_server(preview, "Instance")
    cut_over = {
        server.name: estate.servers[server.name].source.name
        for each in found.applications
        if each.enters == "cutover"
        for server in each.servers
        if server.name in estate.servers
    }
    moves = movement(jobs.values(), cut_over, known)
    # An image that is in use by nothing but what goes with it is in use no longer.
    released = {
        str(each.before["imageId"])
        for each in instances.values()
        if each.op in (DELETE, REPLACE) and "imageId" in each.before
    }
    gone = going(jobs.values(), known, None if used is None else set(used) - released, released)
    region = _region(preview, jobs.values())
    plan = Plan(
        made_at=known.now,
        stack=preview.stack,
        region=region,
        base=base.told if base else None,
        preview=preview,
        estate=estate,
        views=found,
        movement=moves,
        going=tuple(gone),
        cost=cost(jobs, instances, moves, known, prices, region),
        risks=tuple(risks(found, gone, whole=preview.removes_all)),
        outages=tuple(_outages(found, estate, known)),
        concerns=tuple(_concerns(preview, found)),
        spec_changes=tuple(spec_changes(before, estate)) if before is not None else None,
        notes=(*notes, *_notes(estate, before, preview, found, base)),
        missing=(*missing, *_missing(known, moves, gone, used)),
        settings={name: _settings(estate, name) for name in found.servers},
    )
    return replace(plan, verdicts=tuple(judge(policies, plan.as_dict())))


def _by_server(preview: Preview, kind: str) -> dict[str, Resource]:
    found: dict[str, Resource] = {}
    for each in preview.resources:
        if each.kind == kind:
            name = str(each.inputs.get("server", each.name))
            found[name] = together(found[name], each) if name in found else each
    return found


def _region(preview: Preview, jobs: Collection[Resource]) -> str | None:
    configured = next((value for key, value in preview.config.items() if key.endswith(":region")), None)
    return next((str(each.inputs["region"]) for each in jobs if each.inputs.get("region")), configured)


def _settings(estate: Estate, name: str) -> Mapping[str, Any]:
    """What the spec says of a server and how it is launched, for policies; no user data, which may hold what is nobody's business."""
    server = estate.servers.get(name)
    if server is None:
        return {}
    words = in_words_of_the_spec(server)
    config = in_words_of_the_spec(server.launch_config) if server.launch_config else None
    if config is not None:
        config.pop("userData", None)
    schedule = in_words_of_the_spec(server.schedule)
    return {"spec": {**words, "schedule": server.schedule.name or None}, "schedule": schedule, "launch": config}


def _outages(found: Views, estate: Estate, known: Known) -> Iterator[Outage]:
    for each in found.applications:
        wave = estate.waves.get(each.wave or "")
        window = wave.window if wave else None
        opens, closes = (window.opens, window.closes) if window else (None, None)
        if each.enters == "cutover":
            seconds, told = _estimate(each, known)
            yield Outage(each.name, each.wave, opens, closes, seconds, told, each.owner)
        elif (
            each.to in SERVING
            and not each.enters
            and (out := [server.name for server in each.servers if server.is_away])
        ):
            # No window holds for this: it happens when somebody carries it out.
            told = f"{named(out)} serve, and are away while they are restarted or replaced; how long was not measured"
            yield Outage(each.name, each.wave, None, None, None, told, each.owner)


def _estimate(each: ApplicationView, known: Known) -> tuple[float | None, str]:
    """Its longest last run, then its launch. The provider's own words, where the preview has them."""
    beginning = "the outage is estimated to be "
    told = next((words.removeprefix(beginning) for words in each.sentences if words.startswith(beginning)), "")
    runs = [known.of(server.name).run_seconds for server in each.servers]
    standing = known.standings.get(each.name)
    launch = standing.launch_seconds if standing else None
    if launch is None or not runs or any(run is None for run in runs):
        return None, told or "not measured yet"
    seconds = max(run for run in runs if run is not None) + launch
    return seconds, told or f"{seconds:.0f} s: the longest last run and the launch, as measured"


def _concerns(preview: Preview, found: Views) -> Iterator[Concern]:
    """What the preview said of applications and sources, and what kept it from its end."""
    names = {each.name for each in found.applications}
    homes = {name: server.application for name, server in found.servers.items()}
    seen: set[Concern] = set()
    for each in preview.diagnostics:
        preflight, source = _PREFLIGHT.fullmatch(each.message), _OF_A_SOURCE.fullmatch(each.message)
        severity = "error" if each.is_error else "warning"
        if preflight and preflight["application"] in names:
            concern = Concern(severity, preflight["message"], preflight["application"], preflight["id"])
        elif source and source["server"] in homes:
            message = f"{source['server']}: {source['message']}"
            concern = Concern(severity, message, homes[source["server"]], source["id"])
        elif each.is_error or each.severity == "warning":
            concern = Concern(severity, each.message)
        else:
            continue
        if concern not in seen:
            seen.add(concern)
            yield concern


def _notes(estate: Estate, before: Estate | None, preview: Preview, found: Views, base: Base | None) -> Iterator[str]:
    """Where the spec, the version before and the preview do not go together."""
    if base is not None and base.note:
        yield base.note
    if base is not None and base.estate is None:
        yield f"the spec of {base.told} has {base.errors} errors, so it was not compared with"
    if not preview.errors:
        jobs = {name: each.job.op for name, each in found.servers.items() if each.job}
        odd = sorted(name for name, op in jobs.items() if (op == DELETE) is (name in estate.servers))
        phases = {each.name: each.to for each in found.applications if each.others or each.enters}
        odd += [name for name, each in estate.applications.items() if phases.get(name, each.phase) != each.phase]
        if odd:
            yield f"the preview is of another spec than the one here: they differ in {named(odd)}. Make the preview again"
    if before is not None and (more := _not_of_this_change(estate, before, found)):
        yield f"the preview changes more than this change of the spec does: {named(more)} differ already; something that was merged was not carried out, or drifted"


def _not_of_this_change(estate: Estate, before: Estate, found: Views) -> list[str]:
    """Servers that the preview touches, of which no word differs between the two versions."""
    same = [
        name
        for name, each in found.servers.items()
        if each.lines
        and name in estate.servers
        and estate.servers[name] == before.servers.get(name)
        and _around(estate, each.application) == _around(before, each.application)
        and estate.notifications == before.notifications
    ]
    return same if before.servers else []


def _around(estate: Estate, application: str | None) -> tuple[Any, Any]:
    waves = [wave for wave in estate.waves.values() if application in wave.applications]
    return estate.applications.get(application or ""), waves


def _missing(known: Known, moves: Movement, gone: Collection[Any], used: Collection[str] | None) -> Iterator[str]:
    if known.why:
        yield f"sizes, measured rates, images and how long things took: {known.why}"
    else:
        full = [each.server for each in moves.moves if each.count is None and each.is_full]
        later = [each.server for each in moves.moves if each.count is None and not each.is_full]
        if full:
            yield f"the size of {named(full)}: neither a run nor a catalog has seen them (`rehost catalog refresh`)"
        if later:
            yield f"how much the last run of {named(later)} sends: no second run of them was measured"
        if moves.unmeasured:
            yield f"a measured rate of {named(moves.unmeasured)}: no run of them sent enough yet"
    if gone and used is None:
        yield "whether an instance uses one of the images that go: AWS was not asked. What is in use stays"
