"""Commands on instances through AWS Systems Manager, and what an instance says of itself without it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from rehost.aws._errors import AwsError, Refused, translated
from rehost.aws._session import Session

#: Systems Manager API reference, GetCommandInvocation: Status, as far as it is the end of it.
ENDED = frozenset({"Success", "Cancelled", "TimedOut", "Failed"})
#: The same page: what it answers of the two outputs, in characters.
OUTPUT_CHARACTERS, ERROR_CHARACTERS = 24_000, 8_000
#: Systems Manager API reference, SendCommand: the least that TimeoutSeconds, the time for the delivery, can be; and the
#: longest comment.
DELIVERY_SECONDS, COMMENT_CHARACTERS = 30, 100


@dataclass(frozen=True)
class ManagedNode:
    """An instance whose agent has reported to Systems Manager."""

    instance_id: str
    is_online: bool
    platform: str  # Linux, Windows, MacOS
    agent: str


@dataclass(frozen=True)
class Invocation:
    """A command on one instance."""

    command_id: str
    status: str
    detail: str
    code: int  # -1 while there is none
    output: str
    error: str

    @property
    def has_ended(self) -> bool:
        return self.status in ENDED

    @property
    def has_succeeded(self) -> bool:
        return self.status == "Success"


class Commands:
    def __init__(self, session: Session) -> None:
        self._ssm = session.client("ssm")
        self._ec2 = session.client("ec2")

    def node(self, instance_id: str) -> ManagedNode | None:
        """None where no agent of it has ever reported. May be retried."""
        filters = [{"Key": "InstanceIds", "Values": [instance_id]}]
        with translated():
            found = self._ssm.describe_instance_information(Filters=filters)["InstanceInformationList"]
        for each in found:
            online = each.get("PingStatus") == "Online"
            return ManagedNode(instance_id, online, each.get("PlatformType", ""), each.get("AgentVersion", ""))
        return None

    def send(
        self, instance_id: str, document: str, parameters: Mapping[str, Sequence[str]], *, comment: str, seconds: float
    ) -> str:
        """The command's id. `seconds` is how long its delivery may take. A retry starts a second command."""
        with translated():
            answer = self._ssm.send_command(
                InstanceIds=[instance_id],
                DocumentName=document,
                Parameters={key: list(values) for key, values in parameters.items()},
                Comment=comment[:COMMENT_CHARACTERS],
                TimeoutSeconds=max(DELIVERY_SECONDS, int(seconds)),
            )
        return str(answer["Command"]["CommandId"])

    def look(
        self, command_id: str, instance_id: str, *, seconds: float = 10.0, sleep: Callable[[float], None] = time.sleep
    ) -> Invocation:
        """How it stands. May be retried. A command that was just sent may not be known for a moment: it is waited for."""
        deadline = time.monotonic() + seconds
        while True:
            try:
                with translated():
                    found = self._ssm.get_command_invocation(CommandId=command_id, InstanceId=instance_id)
                break
            except AwsError as error:
                if getattr(error, "code", "") != "InvocationDoesNotExist" or time.monotonic() > deadline:
                    raise
            sleep(0.5)
        return Invocation(
            command_id,
            found["Status"],
            found.get("StatusDetails", found["Status"]),
            int(found.get("ResponseCode", -1)),
            found.get("StandardOutputContent", ""),
            found.get("StandardErrorContent", ""),
        )

    def find(self, instance_id: str, comment: str) -> str | None:
        """The newest command of the instance that was sent with this comment, which is how one is found again."""
        pages = self._ssm.get_paginator("list_command_invocations").paginate(InstanceId=instance_id)
        with translated():
            for page in pages:
                for each in page["CommandInvocations"]:
                    if each.get("Comment") == comment[:COMMENT_CHARACTERS]:
                        return str(each["CommandId"])
        return None

    def cancel(self, command_id: str) -> None:
        """Ask for its end; one that has ended is left alone. May be retried."""
        with translated():
            self._ssm.cancel_command(CommandId=command_id)

    def console(self, instance_id: str) -> str:
        """The last 64 KiB of its serial console: of now where its type lets it, else of the last boot. May be retried."""
        try:
            with translated():
                answer = self._ec2.get_console_output(InstanceId=instance_id, Latest=True)
        except Refused as error:
            # Types that are not of the Nitro system have no newest output (EC2 API reference, GetConsoleOutput).
            if getattr(error, "code", "") != "UnsupportedOperation":
                raise
            with translated():
                answer = self._ec2.get_console_output(InstanceId=instance_id)
        return str(answer.get("Output") or "")
