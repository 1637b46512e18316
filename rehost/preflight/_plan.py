"""What preflight has to know of an application: plain data, which goes through Pulumi's state as well as from the spec at once."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any

from rehost.spec import Application, Estate, ImageOptions, LaunchConfig, Server
from rehost.waves import WavePlan

#: Phases that launch instances.
LAUNCHING = frozenset({"test", "cutover", "complete"})


@dataclass(frozen=True)
class LaunchPlan:
    """What is not in the launch config is not asked about: a launch template's, or what is chosen by the source."""

    instance_type: str | None = None
    subnets: tuple[str, ...] = ()  # one for each network interface that names one, the first one's first
    security_groups: tuple[str, ...] = ()  # of the first network interface
    private_ip: str | None = None  # of the first network interface
    key_name: str | None = None
    instance_profile: str | None = None
    volume_type: str | None = None
    volumes: Mapping[str, str] = field(default_factory=dict)  # type, by disk-1, disk-2 ...
    template: bool | None = None  # the subnet may be that of a launch template
    host: bool | None = None  # on a dedicated host, which no quota of vCPUs counts


@dataclass(frozen=True)
class ServerPlan:
    name: str
    launch: LaunchPlan | None
    image: Mapping[str, Any] = field(default_factory=dict)  # as ImageSettings reads it
    ignore: Mapping[str, str] = field(default_factory=dict)
    keep_images: int = 3
    source: str = ""


@dataclass(frozen=True)
class ApplicationPlan:
    name: str
    phase: str
    servers: tuple[ServerPlan, ...]
    ignore: Mapping[str, str] = field(default_factory=dict)
    waves: tuple[WavePlan, ...] = ()  # its own first, then those that it comes after

    @property
    def launches(self) -> bool:
        return self.phase in LAUNCHING

    def as_inputs(self) -> dict[str, Any]:
        """As JSON has it, without what is not set. Servers that are alike stand together: a preview has fewer words to show."""
        alike: dict[str, dict[str, Any]] = {}
        for server in self.servers:
            told = asdict(server)
            del told["name"]
            entry = alike.setdefault(json.dumps(told, sort_keys=True), {"servers": [], **told})
            entry["servers"].append(server.name)
        waves = [
            {
                **asdict(wave),
                **{key: at.isoformat() for key, at in (("opens", wave.opens), ("closes", wave.closes)) if at},
            }
            for wave in self.waves
        ]
        inputs: dict[str, Any] = _without_nothing(
            {
                "application": self.name,
                "phase": self.phase,
                "kinds": list(alike.values()),
                "ignore": dict(self.ignore) or None,
                "waves": waves or None,
            }
        )
        return inputs

    @classmethod
    def from_inputs(cls, values: Mapping[str, Any]) -> ApplicationPlan:
        return cls(
            name=values["application"],
            phase=values["phase"],
            servers=tuple(_server_of(name, kind) for kind in values["kinds"] for name in kind["servers"]),
            ignore=values.get("ignore", {}),
            waves=tuple(map(wave_from, values.get("waves", ()))),
        )


def plan_of(estate: Estate, application: Application) -> ApplicationPlan:
    waves = {name: wave.plan for name, wave in estate.waves.items()}
    own = next((wave for wave in waves.values() if application.name in wave.applications), None)
    return ApplicationPlan(
        application.name,
        application.phase,
        tuple(_server(estate.servers[server]) for server in application.servers),
        application.ignore,
        (own, *(waves[other] for other in own.after)) if own else (),
    )


def plans_of(estate: Estate) -> Iterator[ApplicationPlan]:
    """One for each application, and one without a name for the servers that are in none: those only replicate."""
    homes = {server for each in estate.applications.values() for server in each.servers}
    for application in estate.applications.values():
        yield plan_of(estate, application)
    rest = tuple(_server(each) for name, each in estate.servers.items() if name not in homes)
    if rest:
        yield ApplicationPlan("", "replicate", rest)


def _server(server: Server) -> ServerPlan:
    return ServerPlan(
        server.name,
        _launch(server.launch_config) if server.launch_config else None,
        _image(server.image),
        server.ignore,
        server.schedule.keep_images,
        server.source.name,
    )


def _launch(config: LaunchConfig) -> LaunchPlan:
    others = [each.subnet for each in config.network_interfaces.values()]
    return LaunchPlan(
        instance_type=config.instance_type if config.instance_type != "auto" else None,
        subnets=tuple(each for each in (config.subnet, *others) if each),
        security_groups=config.security_groups,
        private_ip=config.private_ip if config.private_ip != "copy" else None,
        key_name=config.key_name,
        instance_profile=config.instance_profile,
        volume_type=config.volume_type,
        volumes={disk: each.type for disk, each in config.volumes.items() if each.type},
        template=True if config.launch_template else None,
        host=True if "host" in config.placement else None,
    )


def _image(image: ImageOptions) -> dict[str, Any]:
    """What preflight asks about, in the words of the spec; what is as usual is left out."""
    values = {
        "conversion": image.conversion,
        "encrypt": image.encrypt or None,
        "kmsKey": image.kms_key,
        "bootMode": image.boot_mode if image.boot_mode != "auto" else None,
        "architecture": image.architecture if image.architecture != "x86_64" else None,
        "role": image.role,
        "ena": None if image.ena else False,
        "tpm": image.tpm or None,
        "copies": {region: {"kmsKey": key} for region, key in image.copies.items()} or None,
        "shareWith": list(image.share_with) or None,
    }
    return {key: value for key, value in values.items() if value is not None}


def _server_of(name: str, values: Mapping[str, Any]) -> ServerPlan:
    launch: dict[str, Any] | None = values.get("launch")
    if launch is not None:
        launch = {key: tuple(value) if isinstance(value, list) else value for key, value in launch.items()}
    return ServerPlan(
        name,
        LaunchPlan(**launch) if launch is not None else None,
        values.get("image", {}),
        values.get("ignore", {}),
        int(values.get("keep_images", 3)),
        values.get("source", ""),
    )


def wave_from(values: Mapping[str, Any]) -> WavePlan:
    moments = {key: datetime.fromisoformat(values[key]) for key in ("opens", "closes") if values.get(key)}
    return WavePlan(
        values["name"],
        tuple(values["applications"]),
        concurrency=values.get("concurrency"),
        after=tuple(values.get("after", ())),
        **moments,
    )


def _without_nothing(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _without_nothing(each) for key, each in value.items() if each is not None}
    return [_without_nothing(each) for each in value] if isinstance(value, list | tuple) else value
