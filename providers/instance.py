"""Instance: an EC2 instance of a MachineImage, as its launch config says."""

from __future__ import annotations

from typing import Any

from pulumi.dynamic import CheckFailure, CheckResult, CreateResult, DiffResult, ReadResult, UpdateResult

from providers._instance_properties import UPDATES, replacing
from providers._launch_facts import resolved
from providers._provider import (
    Props,
    ProviderError,
    RehostProvider,
    changed,
    diff,
    failure,
    is_known,
    plain,
    said_plainly,
)
from providers._stack import Stack, stack
from rehost.aws import SERVER_TAG, STACK_TAG, Asked, Interface, LaunchRequest, VolumeSettings

#: What EC2 is asked about before a launch.
_ASKED = (
    "instanceType",
    "subnet",
    "securityGroups",
    "keyName",
    "instanceProfile",
    "privateIp",
    "networkInterfaces",
    "interfaceSecurityGroups",
    "placement",
    "launchTemplate",
)
_DISK = "disk-"


class InstanceProvider(RehostProvider):
    def check(self, olds: Props, news: Props) -> CheckResult:
        here = stack()
        before, after = plain(olds), plain(news)
        if here.access_problem and (not before or changed(before, after, _ASKED)):
            return CheckResult(news, [failure("imageId", here.access_problem)])
        added, failures = resolved(here, before, after)
        failures += _protected(before, {**after, **added})
        if not failures:
            failures = _launch_failures(here, before, {**after, **added})
        return CheckResult({**news, **added}, failures)

    def diff(self, _id: str, olds: Props, news: Props) -> DiffResult:
        return diff(olds, news, replaces=replacing(plain(olds), plain(news)), updates=UPDATES)

    def create(self, props: Props) -> CreateResult:
        wanted = plain(props)

        def launch() -> Props:
            view = stack().aws.instances.launch(_request(wanted), on_progress=_say(wanted))
            return {
                **props,
                "instanceId": view.instance_id,
                "privateAddress": view.private_ip,
                "publicAddress": view.public_ip,
            }

        outs = said_plainly(f"server {props['server']}", launch)
        return CreateResult(outs["instanceId"], outs)

    def update(self, id: str, olds: Props, news: Props) -> UpdateResult:  # noqa: A002 - Pulumi's name
        wanted = plain(news)
        differs = changed(olds, news, UPDATES)

        def apply() -> Props:
            _change(id, plain(olds), wanted, differs)
            view = stack().aws.instances.describe(id)
            addresses = {"privateAddress": view.private_ip, "publicAddress": view.public_ip} if view else {}
            return {**news, "instanceId": id, **addresses}

        return UpdateResult(said_plainly(f"server {news['server']}", apply))

    def read(self, id_: str, props: Props) -> ReadResult:
        view = stack().aws.instances.describe(id_)
        if view is None:
            return ReadResult("", {})
        seen = {
            "instanceType": view.instance_type,
            "privateAddress": view.private_ip,
            "publicAddress": view.public_ip,
        }
        return ReadResult(id_, {**props, **seen})

    def delete(self, id: str, props: Props) -> None:  # noqa: A002 - Pulumi's name
        def terminate() -> None:
            if props.get("terminationProtection"):
                raise ProviderError(detail=f"instance {id} is protected from termination; {_UNPROTECT}")
            stack().aws.instances.terminate(id, stack=props["stack"])

        said_plainly(f"server {props['server']}", terminate)


_UNPROTECT = "set terminationProtection: false and `pulumi up` first"


def _protected(olds: Props, news: Props) -> list[CheckFailure]:
    """EC2 would refuse to end the old instance, in the middle of an update."""
    if not olds.get("terminationProtection"):
        return []
    return [
        failure(each, f"its change replaces the instance, which is protected from termination; {_UNPROTECT}")
        for each in changed(olds, news, replacing(olds, news))
    ]


def _change(instance_id: str, olds: Props, news: Props, differs: list[str]) -> None:
    """What EC2 changes in place. Each of these may be repeated."""
    changes, stack_name, say = stack().aws.instance_changes, news["stack"], _say(news)
    started = news.get("started", True)
    if "terminationProtection" in differs:
        stack().aws.instances.set_protection(instance_id, bool(news.get("terminationProtection")), stack=stack_name)
    if "tags" in differs:
        gone = sorted(olds.get("tags", {}).keys() - _tags(news).keys())
        changes.set_tags(instance_id, _tags(news), gone=gone, stack=stack_name)
    if "instanceProfile" in differs:
        changes.set_instance_profile(instance_id, news.get("instanceProfile"), stack=stack_name)
    if {"securityGroups", "interfaceSecurityGroups"} & set(differs):
        groups = [news.get("securityGroups", []), *news.get("interfaceSecurityGroups", [])]
        changes.set_security_groups(instance_id, groups, stack=stack_name)
    if {"imdsv2", "metadataHopLimit"} & set(differs):
        limit = news.get("metadataHopLimit")
        changes.set_metadata(instance_id, imdsv2=news.get("imdsv2", "required"), hop_limit=limit, stack=stack_name)
    if {"volumeType", "volumeIops", "volumeThroughput", "volumes"} & set(differs):
        changes.set_volumes(instance_id, _volume(news), _volumes(news), stack=stack_name, on_progress=say)
    if "instanceType" in differs and news.get("instanceType"):
        changes.change_type(instance_id, news["instanceType"], started=started, stack=stack_name, on_progress=say)
    if "started" in differs:
        changes.set_started(instance_id, started, stack=stack_name, on_progress=say)


def _request(props: Props) -> LaunchRequest:
    placement = props.get("placement", {})
    return LaunchRequest(
        token=f"{props['stack']}/{props['server']}",
        image_id=props["imageId"],
        instance_type=props.get("instanceType"),
        subnet=props.get("subnet"),
        security_groups=tuple(props.get("securityGroups", ())),
        key_name=props.get("keyName"),
        instance_profile=props.get("instanceProfile"),
        user_data=props.get("userData"),
        private_ip=props.get("privateIp"),
        public_ip=props.get("publicIp"),
        interfaces=_interfaces(props),
        volume=_volume(props),
        volumes=_volumes(props),
        imdsv2=props.get("imdsv2", "required"),
        hop_limit=props.get("metadataHopLimit"),
        tenancy=placement.get("tenancy"),
        zone=placement.get("zone"),
        placement_group=placement.get("group"),
        host=placement.get("host"),
        template=props.get("launchTemplate"),
        termination_protection=bool(props.get("terminationProtection")),
        started=props.get("started", True),
        tags=_tags(props),
    )


def _interfaces(props: Props) -> tuple[Interface, ...]:
    groups = props.get("interfaceSecurityGroups", [])
    return tuple(
        Interface(
            each.get("subnet"),
            tuple(groups[number]) if number < len(groups) else (),
            each.get("privateIp"),
            each.get("description"),
        )
        for number, each in enumerate(props.get("networkInterfaces", []))
    )


def _volume(props: Props) -> VolumeSettings:
    return VolumeSettings(
        props.get("volumeType"), props.get("volumeIops"), props.get("volumeThroughput"), props.get("volumeKmsKey")
    )


def _volumes(props: Props) -> dict[int, VolumeSettings]:
    each, keys = props.get("volumes", {}), props.get("volumeKeys", {})
    return {
        int(disk.removeprefix(_DISK)): VolumeSettings(
            each.get(disk, {}).get("type"),
            each.get(disk, {}).get("iops"),
            each.get(disk, {}).get("throughput"),
            keys.get(disk),
        )
        for disk in sorted(each.keys() | keys.keys())
    }


def _tags(props: Props) -> dict[str, str]:
    return {"Name": props["server"], **props.get("tags", {}), STACK_TAG: props["stack"], SERVER_TAG: props["server"]}


def _say(props: Props) -> Any:
    return lambda line: print(f"{props['server']}: {line}", flush=True)


def _launch_failures(here: Stack, olds: Props, news: Props) -> list[CheckFailure]:
    """What EC2 can be asked before a launch. Of a launch config that was checked before, only what differs now."""
    differs = set(changed(olds, news, _ASKED)) if olds else set(_ASKED)
    if not differs:
        return []
    known = {key: value for key in _ASKED if (value := news.get(key)) and is_known(value)}
    placement = known.get("placement", {})
    others = {"networkInterfaces", "interfaceSecurityGroups"} & differs
    asked = Asked(
        instance_type=known.get("instanceType"),
        subnet=known.get("subnet"),
        security_groups=known.get("securityGroups", []),
        key_name=known.get("keyName"),
        instance_profile=known.get("instanceProfile"),
        private_ip=known.get("privateIp"),
        interfaces=_interfaces(news) if others else (),
        zone=placement.get("zone"),
        placement_group=placement.get("group"),
        host=placement.get("host"),
        template=known.get("launchTemplate"),
        # What it has is taken by itself; a replacement, too, which the engine checks as if there had been nothing before.
        owner={STACK_TAG: news["stack"], SERVER_TAG: news["server"]},
    )
    return [failure(each.field, each.message) for each in here.aws.launch_checks.problems(asked)]
