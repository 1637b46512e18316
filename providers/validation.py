"""Validation: what a group's checks found of its instances. Created once they hold; it fails with their own words."""

from __future__ import annotations

from pulumi.dynamic import CheckResult, CreateResult, DiffResult, ReadResult, UpdateResult

from providers._provider import Props, RehostProvider, diff, plain, said_plainly
from providers._stack import stack
from rehost.control import ControlError, ValidationState
from rehost.validation import Check, Scene, Target, validate

REPLACES = ("stack", "application", "group")
UPDATES = ("checks", "instances", "phase")


class ValidationProvider(RehostProvider):
    def check(self, _olds: Props, news: Props) -> CheckResult:
        return CheckResult(news, [])

    def diff(self, _id: str, olds: Props, news: Props) -> DiffResult:
        before, after = _as_validated(olds), _as_validated(news)
        found = diff(before, after, replaces=REPLACES, updates=UPDATES)
        if not found.changes and _last_failed(plain(news)):
            return DiffResult(changes=True, replaces=[])
        return found

    def create(self, props: Props) -> CreateResult:
        said_plainly(_name(props), lambda: _run(plain(props)))
        return CreateResult(f"{props['stack']}/{props['application']}/{props['group']}", props)

    def update(self, _id: str, _olds: Props, news: Props) -> UpdateResult:
        said_plainly(_name(news), lambda: _run(plain(news)))
        return UpdateResult(news)

    def read(self, id_: str, props: Props) -> ReadResult:
        return ReadResult(id_, props)  # it stands for a moment that has passed; nothing of it can drift

    def delete(self, _id: str, props: Props) -> None:
        def forget() -> None:
            stack().control.validations.forget(props["stack"], props["application"], props["group"])

        said_plainly(_name(props), forget)


def _name(props: Props) -> str:
    return f"application {props['application']}"


def _as_validated(props: Props) -> Props:
    """What is complete was validated when it was cut over."""
    return {**props, "phase": "cutover"} if props.get("phase") == "complete" else props


def _last_failed(props: Props) -> bool:
    """Whether the newest round of the group has not succeeded, whatever the state of the stack says."""
    try:
        known = stack().control.validations.latest(stack=props["stack"], application=props["application"])
    except ControlError:
        return False  # the update says it
    of_group = [each for each in known if each.group == props["group"]]
    return any(each.state is not ValidationState.SUCCEEDED for each in of_group)


def _run(props: Props) -> None:
    here = stack()
    scene = Scene(
        props["stack"], props["application"], props["group"], props["phase"], here.settings.root, here.aws.region
    )
    targets = [
        Target(server, each["instanceId"], each.get("privateAddress"), each.get("publicAddress"))
        for server, each in sorted(props["instances"].items())
    ]
    checks = [Check.of(each) for each in props["checks"]]
    validate(scene, checks, targets, control=here.control, aws=here.aws, say=lambda line: print(line, flush=True))
