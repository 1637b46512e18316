"""The estate as typed, frozen data: what the spec says, with names resolved and defaults filled in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from rehost.spec._findings import Position
from rehost.waves import WavePlan


@dataclass(frozen=True)
class SourceSpec:
    name: str
    config: Mapping[str, Any]  # `type` and what belongs to it; paths relative to the project where they lie in it
    max_concurrent_runs: int | None = None

    @property
    def type(self) -> str:
        return str(self.config["type"])


@dataclass(frozen=True)
class Schedule:
    """Exactly one of the first four says when. A server without a schedule has the nameless one: a single run."""

    every_seconds: int | None = None
    cron: str | None = None
    continuous: bool = False
    run_once: bool = False
    keep_images: int = 3  # 0 keeps all
    name: str = ""
    time_zone: str = "UTC"  # an IANA name
    seed_at: str | None = None  # RFC 3339
    jitter_seconds: int | None = None
    start_within_seconds: int | None = None
    target_lag_seconds: int | None = None
    blackouts: tuple[Mapping[str, Any], ...] = ()  # days, from, to; or opens, closes
    retry: Mapping[str, int] = field(default_factory=dict)  # attempts, first_seconds, longest_seconds


@dataclass(frozen=True)
class Notification:
    """A channel: exactly one of `topic` and `webhook` (url or urlFrom, and perhaps secret: references, no secrets)."""

    name: str
    events: tuple[str, ...]
    topic: str | None = None
    webhook: Mapping[str, Any] | None = None
    applications: tuple[str, ...] | None = None  # None: all servers

    def is_about(self, application: str | None) -> bool:
        return self.applications is None or application in self.applications


@dataclass(frozen=True)
class NetworkInterface:
    """Beside the first one, which the launch config itself describes."""

    subnet: str
    security_groups: tuple[str, ...] = ()
    private_ip: str | None = None
    description: str | None = None


@dataclass(frozen=True)
class Volume:
    """What one disk has instead of what the launch config says of all."""

    type: str | None = None
    iops: int | None = None
    throughput: int | None = None  # MiB/s
    kms_key: str | None = None


@dataclass(frozen=True)
class LaunchConfig:
    """With everything that it extends."""

    name: str
    instance_type: str | None = None  # or auto; None is the launch template's
    launch_template: Mapping[str, str] | None = None  # id or name, and version
    subnet: str | None = None
    security_groups: tuple[str, ...] = ()
    private_ip: str | None = None  # or copy
    public_ip: bool | None = None
    network_interfaces: Mapping[str, NetworkInterface] = field(default_factory=dict)
    instance_profile: str | None = None
    key_name: str | None = None
    user_data: str | None = None  # the text itself, wherever it stood, the configure script within it
    user_data_file: str | None = None  # the file that it came from, relative to the project where it lies in it
    volume_type: str | None = None
    volume_iops: int | None = None
    volume_throughput: int | None = None  # MiB/s
    volume_kms_key: str | None = None
    volumes: Mapping[str, Volume] = field(default_factory=dict)  # by disk-1, disk-2 ...
    imdsv2: str = "required"
    metadata_hop_limit: int | None = None
    placement: Mapping[str, str] = field(default_factory=dict)  # zone, tenancy, group, host
    started: bool = True
    termination_protection: bool = False
    protect: bool = False
    tags: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class ImageOptions:
    conversion: str = "import"
    encrypt: bool = False
    kms_key: str | None = None
    license: str = "auto"
    boot_mode: str = "auto"
    architecture: str = "x86_64"
    role: str | None = None  # of VM import; None is its own default, vmimport
    run: str | None = None  # pinned; None is the newest
    name: str | None = None  # a template of rehost.image_names
    description: str | None = None
    platform: str = "auto"
    ena: bool = True
    imdsv2: str = "optional"
    tpm: bool = False
    uefi_data: str | None = None  # base64
    copies: Mapping[str, str | None] = field(
        default_factory=dict
    )  # key of each further region; None is its default key
    share_with: tuple[str, ...] = ()  # accounts


@dataclass(frozen=True)
class Server:
    name: str
    source: SourceSpec
    locator: Mapping[str, Any]
    schedule: Schedule = Schedule(run_once=True)
    launch_config: LaunchConfig | None = None
    image: ImageOptions = ImageOptions()
    quiesce: str = "try"
    tags: Mapping[str, str] = field(default_factory=dict)
    throttle: str | None = None
    ignore: Mapping[str, str] = field(default_factory=dict)  # why, by the concern's id


@dataclass(frozen=True)
class Group:
    name: str
    servers: tuple[str, ...]
    after: tuple[str, ...] = ()


@dataclass(frozen=True)
class Check:
    """One check of a group. `settings` are those of its kind, as the schema has them."""

    name: str
    kind: str  # http, tcp, ssm, userData, command
    settings: Mapping[str, Any]
    server: str | None = None  # None: each server of the group
    timeout_seconds: int = 900
    interval_seconds: int = 10
    attempts: int | None = None  # None: as many as the timeout lets it


@dataclass(frozen=True)
class PostLaunchAction:
    """Exactly one of `action`, a ready one, and `ssm`."""

    name: str
    action: str | None = None
    ssm: Mapping[str, Any] | None = None
    settings: Mapping[str, str] = field(default_factory=dict)
    phases: tuple[str, ...] = ("test", "cutover")
    servers: tuple[str, ...] | None = None  # None: all of the application
    must_succeed: bool = True
    timeout_seconds: int = 900


@dataclass(frozen=True)
class Application:
    name: str
    phase: str
    groups: tuple[Group, ...]  # in launch order: a group after those it names
    tags: Mapping[str, str] = field(default_factory=dict)
    ignore: Mapping[str, str] = field(default_factory=dict)  # why, by the concern's id
    owner: str | None = None
    force: str | None = None  # why it may be cut over untested
    power: str | None = None  # off, quiesce or keep; None is what its sources can
    shutdown_seconds: int | None = None  # that a guest has, before its power is cut
    validation: Mapping[str, tuple[Check, ...]] = field(default_factory=dict)  # by group
    post_launch: tuple[PostLaunchAction, ...] = ()  # in order

    @property
    def servers(self) -> tuple[str, ...]:
        return tuple(server for group in self.groups for server in group.servers)


@dataclass(frozen=True)
class Window:
    opens: datetime
    closes: datetime


@dataclass(frozen=True)
class Wave:
    name: str
    applications: tuple[str, ...]
    window: Window | None
    concurrency: int | None = None  # None: all of them at once
    after: tuple[str, ...] = ()
    owner: str | None = None

    @property
    def plan(self) -> WavePlan:
        opens, closes = (self.window.opens, self.window.closes) if self.window else (None, None)
        return WavePlan(self.name, self.applications, opens, closes, self.concurrency, self.after)


@dataclass(frozen=True)
class Estate:
    """Everything by name, in the order of the files. Plain data: it can be copied, compared and pickled."""

    sources: Mapping[str, SourceSpec] = field(default_factory=dict)
    schedules: Mapping[str, Schedule] = field(default_factory=dict)
    launch_configs: Mapping[str, LaunchConfig] = field(default_factory=dict)
    servers: Mapping[str, Server] = field(default_factory=dict)
    applications: Mapping[str, Application] = field(default_factory=dict)
    waves: Mapping[str, Wave] = field(default_factory=dict)
    positions: Mapping[tuple[str, str], Position] = field(default_factory=dict)  # of each entry, by section and name
    notifications: Mapping[str, Notification] = field(default_factory=dict)

    def position(self, section: str, name: str) -> Position:
        """Where an entry stands: `position("servers", "web-01")`. Raises KeyError where there is none."""
        return self.positions[section, name]


def group_order(application: Application) -> list[list[Group]]:
    """The groups in levels: those of one level launch side by side, once all of the levels before run."""
    level: dict[str, int] = {}
    levels: list[list[Group]] = []
    for group in application.groups:  # in launch order: what a group waits for stands before it
        level[group.name] = max((level[other] + 1 for other in group.after), default=0)
        if level[group.name] == len(levels):
            levels.append([])
        levels[level[group.name]].append(group)
    return levels
