"""Systems Manager's commands, in place of moto's, which succeed without running: here an agent in the guest runs them.

An instance is managed once its agent has answered. What cannot be delivered is InvalidInstanceId, Undeliverable or
DeliveryTimedOut, as in AWS. Commands are kept in memory, and end with the sandbox.
"""

from __future__ import annotations

import json
import threading
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from moto.core.responses import ActionResult
from moto.ssm.exceptions import SSMException, ValidationException
from moto.ssm.responses import SimpleSystemManagerResponse

from sandbox._agents import AgentAway, Agents, Ran
from sandbox._documents import Script, script_of
from sandbox._requests import backend, service_backends

#: SendCommand, API reference.
SHORTEST, LONGEST, DEFAULT = 30, 2_592_000, 3600
OUTPUT_CHARACTERS, ERROR_CHARACTERS = 24_000, 8_000
PAUSE = 0.2
PROBE_SECONDS = 1.0


class InvalidInstanceId(SSMException):
    code = "InvalidInstanceId"


class InvocationDoesNotExist(SSMException):
    code = "InvocationDoesNotExist"


class InvalidCommandId(SSMException):
    code = "InvalidCommandId"


@dataclass
class Invocation:
    """A command on one instance."""

    instance_id: str
    status: str = "Pending"
    detail: str = "Pending"
    code: int = -1
    output: str = ""
    error: str = ""
    started: datetime | None = None
    ended: datetime | None = None

    def end(self, status: str, detail: str, code: int = -1) -> None:
        self.status, self.detail, self.code, self.ended = status, detail, code, datetime.now(UTC)

    @property
    def has_ended(self) -> bool:
        return self.ended is not None


@dataclass
class Command:
    id: str
    region: str
    document: str
    comment: str
    parameters: Mapping[str, Any]
    seconds: int
    script: Script
    invocations: list[Invocation]
    requested: datetime = field(default_factory=lambda: datetime.now(UTC))
    cancelled: threading.Event = field(default_factory=threading.Event)


class SystemsManager:
    def __init__(self, agents: Agents) -> None:
        self.agents = agents
        self.commands: dict[str, Command] = {}
        self._online: dict[str, datetime] = {}  # when each instance's agent last answered
        self._lock = threading.Lock()

    def nodes(self, region: str, wanted: list[str] | None) -> list[dict[str, Any]]:
        """What DescribeInstanceInformation lists: instances whose agent has answered, and that are not terminated."""
        found = []
        for instance in _instances(region):
            if wanted is not None and instance.id not in wanted:
                continue
            online = self.is_online(region, instance.id)
            seen = self._online.get(instance.id)
            if seen is None:
                continue
            found.append(
                {
                    "InstanceId": instance.id,
                    "PingStatus": "Online" if online else "ConnectionLost",
                    "LastPingDateTime": seen,
                    "AgentVersion": "3.0.0.0",
                    "IsLatestVersion": True,
                    "PlatformType": "Linux",
                    "PlatformName": "sandbox",
                    "ResourceType": "EC2Instance",
                    "IPAddress": instance.private_ip or "",
                    "ComputerName": instance.id,
                }
            )
        return found

    def is_online(self, region: str, instance_id: str) -> bool:
        running = any(each.id == instance_id and each.state == "running" for each in _instances(region))
        if running and self.agents.of(instance_id).answers(PROBE_SECONDS):
            with self._lock:
                self._online[instance_id] = datetime.now(UTC)
            return True
        return False

    def send(self, region: str, asked: Mapping[str, Any]) -> Command:
        instances = list(asked.get("InstanceIds") or [])
        if not instances or asked.get("Targets"):
            raise ValidationException("this sandbox sends commands to InstanceIds alone")
        seconds = int(asked.get("TimeoutSeconds") or DEFAULT)
        if not SHORTEST <= seconds <= LONGEST:
            raise ValidationException(f"TimeoutSeconds must be between {SHORTEST} and {LONGEST}")
        documents = service_backends("ssm")[region]._documents
        parameters = asked.get("Parameters") or {}
        script = script_of(str(asked["DocumentName"]), parameters, documents)
        unfit = [each for each in instances if not self.is_online(region, each)]
        if unfit:
            raise InvalidInstanceId(f"Instances [[{', '.join(unfit)}]] not in a valid state for account")
        command = Command(
            str(uuid.uuid4()), region, str(asked["DocumentName"]), str(asked.get("Comment") or ""), parameters, seconds,
            script, [Invocation(each) for each in instances],
        )  # fmt: skip
        self.commands[command.id] = command
        for invocation in command.invocations:
            name = f"command-{command.id}-{invocation.instance_id}"
            threading.Thread(target=self._carry_out, args=(command, invocation), name=name, daemon=True).start()
        return command

    def command(self, command_id: str) -> Command:
        if command_id not in self.commands:
            raise InvalidCommandId(f"Command {command_id} does not exist.")
        return self.commands[command_id]

    def invocation(self, command_id: str, instance_id: str) -> tuple[Command, Invocation]:
        for invocation in self.command(command_id).invocations:
            if invocation.instance_id == instance_id:
                return self.commands[command_id], invocation
        raise InvocationDoesNotExist(f"Command {command_id} was not sent to {instance_id}.")

    def _carry_out(self, command: Command, invocation: Invocation) -> None:
        agent = self.agents.of(invocation.instance_id)
        deadline = time.monotonic() + command.seconds
        while True:
            if command.cancelled.is_set():
                return invocation.end("Cancelled", "Cancelled")
            if not any(each.id == invocation.instance_id for each in _instances(command.region)):
                return invocation.end("Failed", "Undeliverable")
            try:
                number = agent.start(command.script.text)
                break
            except AgentAway:
                if time.monotonic() > deadline:
                    return invocation.end("TimedOut", "DeliveryTimedOut")
                time.sleep(PAUSE)
        invocation.started = datetime.now(UTC)
        invocation.status = invocation.detail = "InProgress"
        deadline = time.monotonic() + command.script.seconds
        while True:
            try:
                ran = agent.result(number)
                if ran is not None:
                    return _ended(invocation, ran)
                if command.cancelled.is_set() or time.monotonic() > deadline:
                    agent.kill(number)
            except AgentAway:
                pass  # it may come back, and the script may run on meanwhile
            if command.cancelled.is_set():
                return invocation.end("Cancelled", "Cancelled")
            if time.monotonic() > deadline:
                return invocation.end("TimedOut", "ExecutionTimedOut")
            time.sleep(PAUSE)


def _ended(invocation: Invocation, ran: Ran) -> None:
    invocation.output = ran.output.decode("utf-8", "replace")[:OUTPUT_CHARACTERS]
    invocation.error = ran.error.decode("utf-8", "replace")[:ERROR_CHARACTERS]
    if ran.code == 0:
        invocation.end("Success", "Success", 0)
    else:
        invocation.end("Failed", "Failed", ran.code)


def _instances(region: str) -> list[Any]:
    return [each for each in backend(region).all_instances() if each.state not in ("terminated", "shutting-down")]


def _shown(command: Command) -> dict[str, Any]:
    states = {each.status for each in command.invocations}
    status = next(
        (each for each in ("InProgress", "Pending", "Failed", "TimedOut", "Cancelled") if each in states), "Success"
    )
    return {
        "CommandId": command.id,
        "DocumentName": command.document,
        "Comment": command.comment,
        "Parameters": command.parameters,
        "InstanceIds": [each.instance_id for each in command.invocations],
        "RequestedDateTime": command.requested,
        "TimeoutSeconds": command.seconds,
        "Status": status,
        "StatusDetails": status,
        "TargetCount": len(command.invocations),
        "CompletedCount": sum(each.has_ended for each in command.invocations),
    }


def install_systems_manager(manager: SystemsManager) -> None:
    """Give moto's SSM these operations. Once a process: moto's backends are global."""

    def asked(self: Any) -> dict[str, Any]:
        return dict(json.loads(self.body or b"{}"))

    def send_command(self: Any) -> ActionResult:
        return ActionResult({"Command": _shown(manager.send(self.region, asked(self)))})

    def get_command_invocation(self: Any) -> ActionResult:
        command, found = manager.invocation(self._get_param("CommandId"), self._get_param("InstanceId"))
        answer = {
            "CommandId": command.id,
            "InstanceId": found.instance_id,
            "Comment": command.comment,
            "DocumentName": command.document,
            "PluginName": command.script.plugin,
            "ResponseCode": found.code,
            "Status": found.status,
            "StatusDetails": found.detail,
            "StandardOutputContent": found.output,
            "StandardErrorContent": found.error,
            "ExecutionStartDateTime": found.started.isoformat() if found.started else "",
            "ExecutionEndDateTime": found.ended.isoformat() if found.ended else "",
        }
        return ActionResult(answer)

    def list_commands(self: Any) -> ActionResult:
        found = [
            _shown(each)
            for each in reversed(manager.commands.values())
            if each.region == self.region and self._get_param("CommandId") in (None, each.id)
            and (not self._get_param("InstanceId") or self._get_param("InstanceId") in _shown(each)["InstanceIds"])
        ]  # fmt: skip
        return ActionResult({"Commands": found})

    def list_command_invocations(self: Any) -> ActionResult:
        found = [
            {
                "CommandId": command.id,
                "InstanceId": each.instance_id,
                "Comment": command.comment,
                "DocumentName": command.document,
                "RequestedDateTime": command.requested,
                "Status": each.status,
                "StatusDetails": each.detail,
            }
            for command in reversed(manager.commands.values())
            for each in command.invocations
            if command.region == self.region
            and self._get_param("CommandId") in (None, command.id)
            and self._get_param("InstanceId") in (None, each.instance_id)
        ]
        return ActionResult({"CommandInvocations": found})

    def cancel_command(self: Any) -> ActionResult:
        manager.command(self._get_param("CommandId")).cancelled.set()
        return ActionResult({})

    def describe_instance_information(self: Any) -> ActionResult:
        wanted: list[str] | None = None
        for each in self._get_param("Filters") or []:
            if each["Key"] != "InstanceIds":
                raise ValidationException("this sandbox filters by InstanceIds alone")
            wanted = list(each["Values"])
        return ActionResult({"InstanceInformationList": manager.nodes(self.region, wanted)})

    for method in (
        send_command,
        get_command_invocation,
        list_commands,
        list_command_invocations,
        cancel_command,
        describe_instance_information,
    ):
        setattr(SimpleSystemManagerResponse, method.__name__, method)
