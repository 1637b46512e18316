"""Application: servers that move together; its phase says how far."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pulumi

from components.resources import Instance, Readiness
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
            self._launch(args.groups)
        self.register_outputs({"phase": args.phase})

    def _launch(self, groups: Mapping[str, GroupArgs]) -> None:
        running: dict[str, list[Instance]] = {}
        for name, group in groups.items():
            before = [self.readiness, *(instance for other in group.after for instance in running[other])]
            running[name] = [self.servers[server].launch(before) for server in group.servers]

    @property
    def instances(self) -> dict[str, Instance]:
        return {name: server.instance for name, server in self.servers.items() if server.instance is not None}
