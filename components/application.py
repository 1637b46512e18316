"""Application: servers that move together; its phase says how far."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pulumi

from components.resources import Cutover, Instance, Milestone, Phase, PostLaunch, Preflight, Readiness, Validation
from components.server import Server, ServerArgs

TYPE = "rehost:index:Application"
#: Phases in which the application's servers run as instances.
LAUNCHED = frozenset({"test", "cutover", "complete"})
#: Those in which they are instances of its last runs.
CUT_OVER = frozenset({"cutover", "complete"})


@dataclass(frozen=True)
class GroupArgs:
    """Servers that launch side by side, once the groups in `after` are good."""

    servers: Sequence[str]
    after: Sequence[str] = ()


@dataclass(frozen=True)
class WindowArgs:
    """When a wave may be cut over (RFC 3339)."""

    wave: str
    opens: str
    closes: str


@dataclass(frozen=True)
class ApplicationArgs:
    """`groups` stand in launch order: a group after those that its `after` names.

    `power`: by server, what a cutover does to its source (off, quiesce or keep); keep where it is not named.
    """

    stack: str
    phase: str
    servers: Mapping[str, ServerArgs]
    groups: Mapping[str, GroupArgs]
    wait: str = "image"  # or "accepted"
    force: str | None = None  # why it may be cut over untested
    power: Mapping[str, str] = field(default_factory=dict)
    shutdown_seconds: int | None = None  # that a guest has to shut itself down, before its power is cut
    wave: str | None = None
    window: WindowArgs | None = None
    validation: Mapping[str, Sequence[Mapping[str, Any]]] = field(default_factory=dict)  # checks by group
    post_launch: Mapping[str, Sequence[Mapping[str, Any]]] = field(default_factory=dict)  # actions by server, in order
    preflight: Mapping[str, Any] | None = (
        None  # rehost.preflight.ApplicationPlan.as_inputs(); None asks nothing beforehand
    )


class Application(pulumi.ComponentResource):
    """`rehost:index:Application`: the gate of its phase, its servers, and in a launched phase the instances in order."""

    preflight: Preflight | None
    phase: Phase
    servers: dict[str, Server]
    readiness: Readiness
    cutover: Cutover | None
    milestone: Milestone

    def __init__(
        self,
        name: str,
        args: ApplicationArgs,
        opts: pulumi.ResourceOptions | None = None,
        *,
        estate: pulumi.Resource | None = None,
    ) -> None:
        """`estate`: the component that its servers were children of before they were in an application, so that they stay."""
        super().__init__(TYPE, name, None, opts)
        self._name, self._args = name, args
        self._child = pulumi.ResourceOptions(parent=self)
        self.preflight = self._preflight()
        self.phase = self._gate()
        below = pulumi.ResourceOptions(parent=self, aliases=[pulumi.Alias(parent=estate)] if estate else None)
        self.servers = {
            server: Server(server, each, below, after=[self.phase], ended=args.phase == "complete")
            for server, each in args.servers.items()
        }
        launched = args.phase in LAUNCHED
        self.readiness = Readiness(
            f"{name}-{args.phase}",
            {
                "stack": args.stack,
                "application": name,
                "phase": args.phase,
                "jobs": self._jobs(),
                # A launch needs images whatever the stack's setting says.
                "wait": "image" if launched else args.wait,
            },
            self._after([self.phase]),
        )
        self.cutover = self._cut_over() if args.phase in CUT_OVER else None
        gates = self._launch() if launched else {}
        self.milestone = self._milestone([gate for each in gates.values() for gate in each])
        self.register_outputs({"phase": args.phase})

    def _gate(self) -> Phase:
        args = self._args
        servers = [server for group in args.groups.values() for server in group.servers]
        inputs = {
            "stack": args.stack,
            "application": self._name,
            "phase": args.phase,
            "servers": servers,
            "power": self._power(),
            "force": args.force,
            "wave": args.wave,
            "window": vars(args.window) if args.window else None,
            # What it comes after, and how many at once: looked at when the phase is entered, no difference by itself.
            "waves": (args.preflight or {}).get("waves"),
        }
        given = {key: value for key, value in inputs.items() if value is not None}
        return Phase(self._name, given, self._after([self.preflight] if self.preflight else []))

    def _preflight(self) -> Preflight | None:
        if self._args.preflight is None:
            return None
        return Preflight(self._name, {"stack": self._args.stack, **self._args.preflight}, self._child)

    def _power(self) -> dict[str, str]:
        return {server: self._args.power.get(server, "keep") for server in self._args.servers}

    def _jobs(self) -> dict[str, pulumi.Output[str]]:
        return {server: each.job.id for server, each in self.servers.items()}

    def _cut_over(self) -> Cutover:
        inputs = {
            "stack": self._args.stack,
            "application": self._name,
            "jobs": self._jobs(),
            "power": self._power(),
            **({"window": vars(self._args.window)} if self._args.window else {}),
            **({"shutdownSeconds": self._args.shutdown_seconds} if self._args.shutdown_seconds is not None else {}),
        }
        return Cutover(self._name, inputs, self._after([self.phase, self.readiness]))

    def _launch(self) -> dict[str, list[pulumi.Resource]]:
        """By group, its gates: all that the groups after it wait for."""
        begin: list[pulumi.Resource] = [self.phase, self.readiness, *([self.cutover] if self.cutover else [])]
        gates: dict[str, list[pulumi.Resource]] = {}
        for name, group in self._args.groups.items():
            before = [*begin, *(gate for other in group.after for gate in gates[other])]
            protect = self._args.phase == "complete"
            instances = {
                server: self.servers[server].launch(
                    before, cutover=self.cutover, application=self._name, protect=protect
                )
                for server in group.servers
            }
            gates[name] = self._gates(name, instances)
        return gates

    def _gates(self, group: str, instances: Mapping[str, Instance]) -> list[pulumi.Resource]:
        """What must be good of a group before the next one begins: its instances, their actions, and then its checks."""
        args = self._args
        gates: list[pulumi.Resource] = [*instances.values()]
        for server, instance in instances.items():
            if actions := args.post_launch.get(server):
                inputs = {"stack": args.stack, "server": server, "instanceId": instance.id, "actions": list(actions)}
                options = pulumi.ResourceOptions(parent=self.servers[server], depends_on=[instance])
                gates.append(PostLaunch(server, inputs, options))
        if checks := args.validation.get(group):
            inputs = {
                "stack": args.stack,
                "application": self._name,
                "group": group,
                "phase": args.phase,
                "checks": list(checks),
                "instances": {server: _facts(instance) for server, instance in instances.items()},
            }
            gates.append(Validation(f"{self._name}-{group}", inputs, self._after(gates)))
        return gates

    def _milestone(self, gates: Sequence[pulumi.Resource]) -> Milestone:
        inputs = {
            "stack": self._args.stack,
            "application": self._name,
            "phase": self._args.phase,
            "entry": self.phase.entry,
            "jobs": self._jobs(),
            "instances": {server: instance.id for server, instance in self.instances.items()},
            "images": {name: server.image.id for name, server in self.servers.items() if server.image is not None},
            **({"cutover": self.cutover.id} if self.cutover else {}),
        }
        before = [self.phase, self.readiness, *([self.cutover] if self.cutover else []), *gates]
        return Milestone(self._name, inputs, self._after(before))

    def _after(self, before: Sequence[pulumi.Resource]) -> pulumi.ResourceOptions:
        return pulumi.ResourceOptions(parent=self, depends_on=list(before))

    @property
    def instances(self) -> dict[str, Instance]:
        return {name: server.instance for name, server in self.servers.items() if server.instance is not None}


def _facts(instance: Instance) -> dict[str, pulumi.Input[str | None]]:
    return {
        # An id, not an output: the engine knows it while it previews an update.
        "instanceId": instance.id,
        "privateAddress": instance.privateAddress,
        "publicAddress": instance.publicAddress,
    }
