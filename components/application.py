"""Application: servers that move together; its phase says how far."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pulumi

from components.resources import Instance, PostLaunch, Readiness, Validation
from components.server import Server, ServerArgs

#: Phases in which the application's servers run as instances.
LAUNCHED = frozenset({"test"})


@dataclass(frozen=True)
class GroupArgs:
    """Servers that launch side by side, once every instance of the groups in `after` runs."""

    servers: Sequence[str]
    after: Sequence[str] = ()


@dataclass(frozen=True)
class ApplicationArgs:
    """`groups` stand in launch order: a group after those that its `after` names."""

    stack: str
    phase: str
    servers: Mapping[str, ServerArgs]
    groups: Mapping[str, GroupArgs]
    wait: str = "image"  # or "accepted"
    validation: Mapping[str, Sequence[Mapping[str, Any]]] = field(default_factory=dict)  # checks by group
    post_launch: Mapping[str, Sequence[Mapping[str, Any]]] = field(default_factory=dict)  # actions by server, in order


class Application(pulumi.ComponentResource):
    """`rehost:index:Application`: its servers, the Readiness of its phase, and in a launched phase the instances in order."""

    servers: dict[str, Server]
    readiness: Readiness

    def __init__(self, name: str, args: ApplicationArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("rehost:index:Application", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        self.servers = {server: Server(server, each, child) for server, each in args.servers.items()}
        launched = args.phase in LAUNCHED
        self.readiness = Readiness(
            f"{name}-{args.phase}",
            {
                "stack": args.stack,
                "application": name,
                "phase": args.phase,
                "jobs": {server: each.job.id for server, each in self.servers.items()},
                # A launch needs images whatever the stack's setting says.
                "wait": "image" if launched else args.wait,
            },
            child,
        )
        if launched:
            self._launch(name, args)
        self.register_outputs({"phase": args.phase})

    def _launch(self, name: str, args: ApplicationArgs) -> None:
        running: dict[str, list[pulumi.Resource]] = {}
        for group, each in args.groups.items():
            before = [self.readiness, *(resource for other in each.after for resource in running[other])]
            instances = {server: self.servers[server].launch(before) for server in each.servers}
            running[group] = [*instances.values(), *self._after_launch(name, group, args, instances)]

    def _after_launch(
        self, name: str, group: str, args: ApplicationArgs, instances: Mapping[str, Instance]
    ) -> list[pulumi.Resource]:
        """What follows the instances of a group, and what the next group waits for."""
        done: list[pulumi.Resource] = [
            PostLaunch(
                server,
                {"stack": args.stack, "server": server, "instanceId": instance.id, "actions": list(actions)},
                pulumi.ResourceOptions(parent=self.servers[server], depends_on=[instance]),
            )
            for server, instance in instances.items()
            if (actions := args.post_launch.get(server))
        ]
        checks = args.validation.get(group)
        if not checks:
            return done
        validation = Validation(
            f"{name}-{group}",
            {
                "stack": args.stack,
                "application": name,
                "group": group,
                "phase": args.phase,
                "checks": list(checks),
                "instances": {server: _facts(instance) for server, instance in instances.items()},
            },
            pulumi.ResourceOptions(parent=self, depends_on=[*instances.values(), *done]),
        )
        return [*done, validation]

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
