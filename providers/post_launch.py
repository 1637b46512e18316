"""PostLaunch: what is done on one server's instance once it runs."""

from __future__ import annotations

from pulumi.dynamic import CheckResult, CreateResult, DiffResult, ReadResult, UpdateResult

from providers._provider import Props, RehostProvider, diff, is_known, plain, said_plainly
from providers._stack import stack
from rehost.control import ControlError, ValidationState
from rehost.validation import Action, Target, post_launch

REPLACES = ("stack", "server")
UPDATES = ("instanceId", "actions")


class PostLaunchProvider(RehostProvider):
    def check(self, _olds: Props, news: Props) -> CheckResult:
        return CheckResult(news, [])

    def diff(self, _id: str, olds: Props, news: Props) -> DiffResult:
        found = diff(olds, news, replaces=REPLACES, updates=UPDATES)
        if not found.changes and _is_unfinished(plain(news)):
            return DiffResult(changes=True, replaces=[])
        return found

    def create(self, props: Props) -> CreateResult:
        said_plainly(f"server {props['server']}", lambda: _run(plain(props)))
        return CreateResult(f"{props['stack']}/{props['server']}", props)

    def update(self, _id: str, olds: Props, news: Props) -> UpdateResult:
        said_plainly(f"server {news['server']}", lambda: _run(plain(news)))
        gone = plain(olds).get("instanceId")
        if gone and gone != news["instanceId"]:
            said_plainly(f"server {news['server']}", lambda: stack().control.validations.forget_actions([gone]))
        return UpdateResult(news)

    def read(self, id_: str, props: Props) -> ReadResult:
        return ReadResult(id_, props)  # what was done is not looked for again in the guest

    def delete(self, _id: str, props: Props) -> None:
        def forget() -> None:
            stack().control.validations.forget_actions([props["instanceId"]])

        said_plainly(f"server {props['server']}", forget)


def _is_unfinished(props: Props) -> bool:
    """Whether an action that must succeed has not, whatever the state of the stack says."""
    if not is_known(props["instanceId"]):
        return False
    try:
        known = stack().control.validations.actions(instance_id=props["instanceId"])
    except ControlError:
        return False  # the update says it
    names = {each["name"] for each in props["actions"]}
    return any(
        each.must_succeed and each.state is not ValidationState.SUCCEEDED for each in known if each.action in names
    )


def _run(props: Props) -> None:
    here = stack()
    target = Target(props["server"], props["instanceId"])
    actions = [Action.of(each) for each in props["actions"]]
    post_launch(
        props["stack"], target, actions, control=here.control, aws=here.aws, say=lambda line: print(line, flush=True)
    )
