"""Estate: everything that the spec declares, as components and resources."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import pulumi

from components.application import Application, ApplicationArgs, GroupArgs, WindowArgs
from components.server import Server, ServerArgs
from components.wave import Wave, WaveArgs, homeless, waveless
from rehost import spec
from rehost.preflight import plan_of
from rehost.validation import agent_script


@dataclass(frozen=True)
class EstateArgs:
    """`wait`: `image` makes an update wait for each application's first images, `accepted` only for the jobs."""

    estate: spec.Estate
    stack: str
    wait: str = "image"


class Estate(pulumi.ComponentResource):
    """`rehost:index:Estate`: a Wave for each in the spec, an Application for each that is in none, a Server likewise."""

    waves: dict[str, Wave]
    applications: dict[str, Application]  # of all waves, and those of none
    servers: dict[str, Server]

    def __init__(self, name: str, args: EstateArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("rehost:index:Estate", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        estate = args.estate
        homes = {server: app for app in estate.applications.values() for server in app.servers}
        channels = tuple(estate.notifications.values())
        each_args = {
            name: server_args(server, homes.get(name), args.stack, channels) for name, server in estate.servers.items()
        }
        waves = {app: wave for wave in estate.waves.values() for app in wave.applications}
        applications = {
            app.name: ApplicationArgs(
                stack=args.stack,
                phase=app.phase,
                servers={server: each_args[server] for server in app.servers},
                groups={group.name: GroupArgs(group.servers, group.after) for group in app.groups},
                wait=args.wait,
                force=app.force,
                power={server: power_of(app, estate.servers[server]) for server in app.servers},
                shutdown_seconds=app.shutdown_seconds,
                wave=waves[app.name].name if app.name in waves else None,
                window=window_args(waves.get(app.name)),
                validation={group: [check_args(each) for each in checks] for group, checks in app.validation.items()},
                post_launch={server: post_launch_args(app, server) for server in app.servers},
                preflight=plan_of(estate, app).as_inputs(),
            )
            for app in estate.applications.values()
        }
        self.waves = {
            wave.name: Wave(
                wave.name,
                WaveArgs({app: applications[app] for app in wave.applications}, window_args(wave)),
                child,
                before=self,
            )
            for wave in estate.waves.values()
        }
        self.applications = {
            app: self.waves[waves[app].name].applications[app]
            if app in waves
            else Application(app, each, waveless(self), estate=self)
            for app, each in applications.items()
        }
        self.servers = {
            server: Server(server, each_args[server], homeless(self))
            for server in estate.servers
            if server not in homes
        }
        self.register_outputs({})

    def instances(self) -> pulumi.Output[dict[str, Any]]:
        """By server: `instanceId`, `privateAddress`, `publicAddress`, for a program that goes on with them."""
        launched = {
            server: pulumi.Output.all(
                instanceId=instance.instanceId,
                privateAddress=instance.privateAddress,
                publicAddress=instance.publicAddress,
            )
            for application in self.applications.values()
            for server, instance in application.instances.items()
        }
        # Without names, `all` would make a list.
        return pulumi.Output.all(**launched) if launched else pulumi.Output.from_input({})


def power_of(application: spec.Application, server: spec.Server) -> str:
    """What its cutover does to a source. A folder of images has no power."""
    return application.power or ("keep" if server.source.type == "images" else "off")


def window_args(wave: spec.Wave | None) -> WindowArgs | None:
    if wave is None or wave.window is None:
        return None
    return WindowArgs(wave.name, wave.window.opens.isoformat(), wave.window.closes.isoformat())


def schedule_args(schedule: spec.Schedule) -> dict[str, Any]:
    """As the control plane reads it; what is not set is left out, so that a new key is no diff."""
    return {
        "every_seconds": schedule.every_seconds,
        "cron": schedule.cron,
        "continuous": schedule.continuous or None,
        "run_once": schedule.run_once or None,
        "time_zone": None if schedule.time_zone == "UTC" else schedule.time_zone,
        "seed_at": schedule.seed_at,
        "jitter_seconds": schedule.jitter_seconds,
        "start_within_seconds": schedule.start_within_seconds,
        "target_lag_seconds": schedule.target_lag_seconds,
        "blackouts": [dict(each) for each in schedule.blackouts] or None,
        "retry": dict(schedule.retry) or None,
        "keep_images": schedule.keep_images,
    }


def notification_args(channel: spec.Notification) -> dict[str, Any]:
    """A channel as a job carries it: references to secrets, no secrets."""
    values = {
        "name": channel.name,
        "events": list(channel.events),
        "topic": channel.topic,
        "webhook": dict(channel.webhook) if channel.webhook else None,
    }
    return {key: value for key, value in values.items() if value is not None}


def check_args(check: spec.Check) -> dict[str, Any]:
    """A check as a Validation carries it; what is not set is left out."""
    values = {
        "name": check.name,
        "kind": check.kind,
        "settings": dict(check.settings),
        "server": check.server,
        "timeout": check.timeout_seconds,
        "interval": check.interval_seconds,
        "attempts": check.attempts,
    }
    return {key: value for key, value in values.items() if value is not None}


def post_launch_args(application: spec.Application, server: str) -> list[dict[str, Any]]:
    """The actions on one server in the application's phase, in order; what is as it is by default is left out."""
    phase = "cutover" if application.phase == "complete" else application.phase
    found = []
    for each in application.post_launch:
        if phase not in each.phases or (each.servers is not None and server not in each.servers):
            continue
        values = {
            "name": each.name,
            "action": each.action,
            "ssm": dict(each.ssm) if each.ssm else None,
            "settings": dict(each.settings) or None,
            "mustSucceed": None if each.must_succeed else False,
            "timeout": each.timeout_seconds,
        }
        found.append({key: value for key, value in values.items() if value is not None})
    return found


def server_args(
    server: spec.Server,
    application: spec.Application | None,
    stack: str,
    channels: Iterable[spec.Notification] = (),
) -> ServerArgs:
    """The inputs of a server's resources, named as they show in a preview."""
    image, config = server.image, server.launch_config
    job_application = application.name if application else None
    tags = {**(application.tags if application else {}), **server.tags}
    job = {
        "stack": stack,
        "server": server.name,
        "application": job_application,
        "sourceName": server.source.name,
        "source": dict(server.source.config),
        "locator": dict(server.locator),
        "schedule": schedule_args(server.schedule),
        "maxConcurrentRuns": server.source.max_concurrent_runs,
        "notify": [notification_args(each) for each in channels if each.is_about(job_application)] or None,
        "image": {
            "conversion": image.conversion,
            "encrypt": image.encrypt,
            "kmsKey": image.kms_key,
            "license": image.license,
            "bootMode": image.boot_mode,
            "architecture": image.architecture,
            "role": image.role,
            "name": image.name,
            "description": image.description,
            # What is as AWS has it is left out: a default that is added later is no diff of every job.
            "platform": image.platform if image.platform != "auto" else None,
            "ena": None if image.ena else False,
            "imdsv2": image.imdsv2 if image.imdsv2 != "optional" else None,
            "tpm": image.tpm or None,
            "uefiData": image.uefi_data,
            "copies": {region: {"kmsKey": key} for region, key in image.copies.items()} or None,
            "shareWith": list(image.share_with) or None,
        },
        "quiesce": server.quiesce,
        **({"throttle": server.throttle} if server.throttle else {}),
        # Concerns of its source that are accepted: a preview is silent of them.
        "ignore": {**(application.ignore if application else {}), **server.ignore} or None,
        "tags": tags,
    }
    launch = launch_args(server, config, tags) if config is not None else {}
    if (
        config is not None
        and application
        and any(each["action"] == "install-ssm-agent" for each in _ready(application, server.name))
    ):
        # Systems Manager cannot install its own agent. User data of one's own is left as it is.
        launch["userData"] = launch["userData"] or agent_script(image.platform)
    return ServerArgs(_without_nothing(job), _without_nothing(launch), image.run, config.protect if config else False)


def launch_args(server: spec.Server, config: spec.LaunchConfig, tags: Mapping[str, str]) -> dict[str, Any]:
    """The inputs of an Instance, but for its stack, server and image. What is as EC2 has it is left out."""
    interfaces, volumes = config.network_interfaces.values(), config.volumes
    values: dict[str, Any] = {
        "instanceType": config.instance_type,
        "launchTemplate": dict(config.launch_template) if config.launch_template else None,
        "subnet": config.subnet,
        "securityGroups": list(config.security_groups),
        "instanceProfile": config.instance_profile,
        "keyName": config.key_name,
        "userData": config.user_data,
        "privateIp": config.private_ip,
        "publicIp": config.public_ip,
        # Of an interface and of a volume, what changes in place and what does not are inputs of their own.
        "networkInterfaces": [_interface(each) for each in interfaces] or None,
        "interfaceSecurityGroups": [list(each.security_groups) for each in interfaces] or None,
        "placement": dict(config.placement) or None,
        "volumeType": config.volume_type,
        "volumeIops": config.volume_iops,
        "volumeThroughput": config.volume_throughput,
        "volumeKmsKey": config.volume_kms_key,
        "volumes": {disk: _volume(each) for disk, each in volumes.items() if _volume(each)} or None,
        "volumeKeys": {disk: each.kms_key for disk, each in volumes.items() if each.kms_key} or None,
        "imdsv2": config.imdsv2,
        "metadataHopLimit": config.metadata_hop_limit,
        "terminationProtection": config.termination_protection or None,
        "started": None if config.started else False,
        "tags": {**tags, **config.tags},
    }
    if config.instance_type == "auto" or config.private_ip == "copy":
        # Which machine of which source is asked for its CPUs, memory and address.
        values["origin"] = {
            "sourceName": server.source.name,
            "source": dict(server.source.config),
            "locator": dict(server.locator),
            "architecture": server.image.architecture,
            "bootMode": server.image.boot_mode,
        }
    return values


def _ready(application: spec.Application, server: str) -> list[dict[str, Any]]:
    return [each for each in post_launch_args(application, server) if "action" in each]


def _interface(each: spec.NetworkInterface) -> dict[str, Any]:
    return _without_nothing({"subnet": each.subnet, "privateIp": each.private_ip, "description": each.description})


def _volume(each: spec.Volume) -> dict[str, Any]:
    return _without_nothing({"type": each.type, "iops": each.iops, "throughput": each.throughput})


def _without_nothing(values: dict[str, Any]) -> dict[str, Any]:
    """Pulumi drops nulls on the way to the state; dropping them here keeps both sides of a diff alike."""
    return {
        key: _without_nothing(value) if isinstance(value, dict) else value
        for key, value in values.items()
        if value is not None
    }
