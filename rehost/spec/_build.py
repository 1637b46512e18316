"""The typed model of a spec without errors."""

from __future__ import annotations

import graphlib
import re
from collections.abc import Mapping
from typing import Any

from rehost.spec import _inherit
from rehost.spec._after_launch import checks_of, post_launch_of
from rehost.spec._files import Folder
from rehost.spec._merge import SECTIONS, Merged
from rehost.spec._model import (
    Application,
    Estate,
    Group,
    ImageOptions,
    LaunchConfig,
    NetworkInterface,
    Notification,
    Schedule,
    Server,
    SourceSpec,
    Volume,
    Wave,
    Window,
)
from rehost.spec._schema import schema
from rehost.spec._times import seconds_of
from rehost.spec._user_data import UserData
from rehost.spec._waves import moment_of

Entry = Mapping[str, Any]  # of a shape that the schema has let through

#: Keys of a source that are relative to the file in which they stand.
_PATHS = ("path", "sockets", "scratch", "spool")


def estate(spec: Merged, folder: Folder, user_data: Mapping[str, UserData]) -> Estate:
    entries: Any = spec.entries
    sources = {name: _source(name, each, spec, folder) for name, each in entries["sources"].items()}
    schedules = {name: _schedule(name, each) for name, each in entries["schedules"].items()}
    configs = {
        name: _launch_config(name, _inherit.entry(spec, name), user_data.get(name)) for name in entries["launchConfigs"]
    }
    return Estate(
        sources=sources,
        schedules=schedules,
        launch_configs=configs,
        servers={name: _server(name, each, sources, schedules, configs) for name, each in entries["servers"].items()},
        applications={name: _application(name, each) for name, each in entries["applications"].items()},
        waves={name: _wave(name, each) for name, each in entries["waves"].items()},
        notifications={name: _notification(name, each) for name, each in entries["notifications"].items()},
        positions={(section, name): spec.place(section, name) for section in SECTIONS for name in entries[section]},
    )


def _source(name: str, entry: Entry, spec: Merged, folder: Folder) -> SourceSpec:
    home = (folder.root / spec.file("sources", name)).parent

    def placed(values: Entry, keys: tuple[str, ...]) -> dict[str, Any]:
        return {key: folder.relative(home / value) if key in keys else value for key, value in values.items()}

    config = placed({key: value for key, value in entry.items() if key != "maxConcurrentRuns"}, _PATHS)
    for key, inner in (("tls", "caFile"), ("vddk", "libdir")):
        if key in config:
            config[key] = placed(config[key], (inner,))
    return SourceSpec(name, config, entry.get("maxConcurrentRuns"))


def _schedule(name: str, entry: Entry) -> Schedule:
    retry = entry.get("retry", {})
    pauses = {f"{key}_seconds": seconds_of(retry.get(key)) for key in ("first", "longest")}
    return Schedule(
        every_seconds=seconds_of(entry.get("every")),
        cron=entry.get("cron"),
        time_zone=entry.get("timeZone", Schedule.time_zone),
        seed_at=entry.get("seedTime"),
        jitter_seconds=seconds_of(entry.get("jitter")),
        start_within_seconds=seconds_of(entry.get("startWithin")),
        target_lag_seconds=seconds_of(entry.get("targetLag")),
        blackouts=tuple(dict(each) for each in entry.get("blackouts", {}).values()),
        retry={key: value for key, value in {"attempts": retry.get("attempts"), **pauses}.items() if value is not None},
        continuous=bool(entry.get("continuous")),
        run_once=bool(entry.get("runOnce")),
        keep_images=int(entry.get("keepImages", Schedule.keep_images)),
        name=name,
    )


def _notification(name: str, entry: Entry) -> Notification:
    default = schema()["$defs"]["notification"]["properties"]["events"]["default"]
    return Notification(
        name=name,
        events=tuple(entry.get("events", default)),
        topic=entry.get("topic"),
        webhook=entry.get("webhook"),
        applications=tuple(entry["applications"]) if "applications" in entry else None,
    )


def _launch_config(name: str, entry: Entry, user_data: UserData | None) -> LaunchConfig:
    kept = {
        key: value for key, value in entry.items() if key not in ("configureScript", "networkInterfaces", "volumes")
    }
    values = _values(kept)
    if user_data is not None:
        values |= {"user_data": user_data.text, "user_data_file": user_data.file}
    for key, make in (("networkInterfaces", NetworkInterface), ("volumes", Volume)):
        values[_snake(key)] = {each: make(**_values(of)) for each, of in entry.get(key, {}).items()}
    return LaunchConfig(name=name, **values)


def _values(entry: Entry) -> dict[str, Any]:
    return {_snake(key): tuple(value) if isinstance(value, list) else value for key, value in entry.items()}


def _server(
    name: str,
    entry: Entry,
    sources: Mapping[str, SourceSpec],
    schedules: Mapping[str, Schedule],
    configs: Mapping[str, LaunchConfig],
) -> Server:
    return Server(
        name=name,
        source=sources[entry["source"]],
        locator=entry["locator"],
        schedule=schedules[entry["schedule"]] if "schedule" in entry else Schedule(run_once=True),
        launch_config=configs[entry["launchConfig"]] if "launchConfig" in entry else None,
        image=_image(entry.get("image", {})),
        quiesce=entry.get("quiesce", "try"),
        throttle=entry.get("throttle"),
        ignore=entry.get("ignore", {}),
        tags=entry.get("tags", {}),
    )


def _image(entry: Entry) -> ImageOptions:
    values = _values(entry)
    if "copies" in entry:
        values["copies"] = {region: each.get("kmsKey") for region, each in entry["copies"].items()}
    return ImageOptions(**values)


def _application(name: str, entry: Entry) -> Application:
    groups = {
        group: Group(group, tuple(each["servers"]), tuple(each.get("after", ())))
        for group, each in entry["groups"].items()
    }
    order = graphlib.TopologicalSorter({group: each.after for group, each in groups.items()}).static_order()
    return Application(
        name=name,
        phase=entry.get("phase", "replicate"),
        groups=tuple(groups[group] for group in order),
        tags=entry.get("tags", {}),
        ignore=entry.get("ignore", {}),
        owner=entry.get("owner"),
        force=entry.get("force"),
        power=entry.get("cutover", {}).get("power"),
        shutdown_seconds=seconds_of(entry.get("cutover", {}).get("shutdown")),
        validation={group: checks_of(each) for group, each in entry.get("validation", {}).items()},
        post_launch=tuple(post_launch_of(each, values) for each, values in entry.get("postLaunch", {}).items()),
    )


def _wave(name: str, entry: Entry) -> Wave:
    window = entry.get("window", {})
    opens, closes = (moment_of(window[key]) if window else None for key in ("opens", "closes"))
    return Wave(
        name=name,
        applications=tuple(entry["applications"]),
        window=Window(opens, closes) if opens and closes else None,
        concurrency=entry.get("concurrency"),
        after=tuple(entry.get("after", ())),
        owner=entry.get("owner"),
    )


def _snake(key: str) -> str:
    return re.sub("[A-Z]", lambda found: f"_{found[0].lower()}", key)
