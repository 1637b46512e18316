"""Instance: an EC2 instance of a MachineImage, as its launch config says."""

from __future__ import annotations

from typing import Any

from pulumi.dynamic import CheckFailure, CheckResult, CreateResult, DiffResult, ReadResult, UpdateResult

from providers._provider import Props, RehostProvider, changed, diff, failure, is_known, plain, said_plainly
from providers._stack import stack
from rehost.aws import SERVER_TAG, STACK_TAG, LaunchRequest

#: What EC2 fixes at launch. Everything in UPDATES changes in place.
REPLACES = (
    "stack",
    "server",
    "imageId",
    "subnet",
    "keyName",
    "userData",
    "privateIp",
    "publicIp",
    "volumeType",
    "imdsv2",
    "instanceProfile",
)
#: A change of type stops the instance and starts it again; the others do not interrupt it.
UPDATES = ("instanceType", "securityGroups", "tags")
_STACK_ARGUMENTS = ("subnet", "securityGroups", "keyName", "instanceProfile", "instanceType")


class InstanceProvider(RehostProvider):
    def check(self, olds: Props, news: Props) -> CheckResult:
        return CheckResult(news, _launch_failures(plain(olds), plain(news)))

    def diff(self, _id: str, olds: Props, news: Props) -> DiffResult:
        return diff(olds, news, replaces=REPLACES, updates=UPDATES)

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
            instances = stack().aws.instances
            if "tags" in differs:
                instances.set_tags(
                    id,
                    _tags(wanted),
                    gone=sorted(plain(olds).get("tags", {}).keys() - _tags(wanted).keys()),
                    stack=wanted["stack"],
                )
            if "securityGroups" in differs:
                instances.set_security_groups(id, wanted.get("securityGroups", []), stack=wanted["stack"])
            if "instanceType" in differs:
                instances.change_type(id, wanted["instanceType"], stack=wanted["stack"], on_progress=_say(wanted))
            view = instances.describe(id)
            addresses = {"privateAddress": view.private_ip, "publicAddress": view.public_ip} if view else {}
            return {**olds, **news, **addresses}

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
        said_plainly(f"server {props['server']}", lambda: stack().aws.instances.terminate(id, stack=props["stack"]))


def _request(props: Props) -> LaunchRequest:
    return LaunchRequest(
        token=f"{props['stack']}/{props['server']}",
        image_id=props["imageId"],
        instance_type=props["instanceType"],
        subnet=props.get("subnet"),
        security_groups=tuple(props.get("securityGroups", ())),
        key_name=props.get("keyName"),
        instance_profile=props.get("instanceProfile"),
        user_data=props.get("userData"),
        private_ip=props.get("privateIp"),
        public_ip=props.get("publicIp"),
        volume_type=props.get("volumeType"),
        imdsv2=props.get("imdsv2", "required"),
        tags=_tags(props),
    )


def _tags(props: Props) -> dict[str, str]:
    return {"Name": props["server"], **props.get("tags", {}), STACK_TAG: props["stack"], SERVER_TAG: props["server"]}


def _say(props: Props) -> Any:
    return lambda line: print(f"{props['server']}: {line}", flush=True)


def _launch_failures(olds: Props, news: Props) -> list[CheckFailure]:
    """What EC2 can be asked before a launch. An unchanged launch config was checked when it was launched."""
    if olds and not changed(olds, news, _STACK_ARGUMENTS):
        return []
    here = stack()
    if here.access_problem:
        return [failure("imageId", here.access_problem)]
    known = {key: news[key] for key in _STACK_ARGUMENTS if news.get(key) and is_known(news[key])}
    problems = here.aws.preflight.launch_problems(
        instance_type=known.get("instanceType"),
        subnet=known.get("subnet"),
        security_groups=known.get("securityGroups", []),
        key_name=known.get("keyName"),
        instance_profile=known.get("instanceProfile"),
    )
    return [failure(problem.field, problem.message) for problem in problems]
