"""Server: one machine, from its replication job to its instance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pulumi

from components.resources import Cutover, Instance, MachineImage, ReplicationJob


@dataclass(frozen=True)
class ServerArgs:
    """What the spec says of one server, ready for its resources.

    `job` holds the inputs of its ReplicationJob and `launch` those of its Instance (camelCase, as they show in a preview).
    """

    job: Mapping[str, Any]
    launch: Mapping[str, Any] = field(default_factory=dict)
    pinned_run: str | None = None
    protect: bool = False


class Server(pulumi.ComponentResource):
    """`rehost:index:Server`: always a ReplicationJob; an image and an instance once its application launches it."""

    job: ReplicationJob
    image: MachineImage | None
    instance: Instance | None

    def __init__(
        self,
        name: str,
        args: ServerArgs,
        opts: pulumi.ResourceOptions | None = None,
        *,
        after: Sequence[pulumi.Resource] = (),
        ended: bool = False,
    ) -> None:
        """`after`: what has to be there before anything of it. `ended`: its replication is over, its images in use stay."""
        super().__init__("rehost:index:Server", name, None, opts)
        self._name, self._args = name, args
        self.image = self.instance = None
        job = {**args.job, **({"ended": True} if ended else {})}
        self.job = ReplicationJob(name, job, pulumi.ResourceOptions(parent=self, depends_on=list(after)))
        self.register_outputs({"jobId": self.job.jobId})

    def launch(
        self,
        after: Sequence[pulumi.Resource],
        *,
        application: str | None = None,
        cutover: Cutover | None = None,
        protect: bool = False,
    ) -> Instance:
        """Pin an image and run an instance of it, once everything in `after` is there: with `cutover`, that of its last run."""
        args = self._args
        # Ids, not outputs: the engine knows an id while it previews an update, and what depends on it is not a diff.
        identity = {"stack": args.job["stack"], "server": args.job["server"]}
        image = {"cutover": cutover.id, "application": application} if cutover else {"run": args.pinned_run}
        self.image = MachineImage(
            self._name,
            {**identity, "jobId": self.job.id, **image},
            pulumi.ResourceOptions(parent=self, depends_on=list(after)),
        )
        self.instance = Instance(
            self._name,
            {**identity, **args.launch, "imageId": self.image.id},
            pulumi.ResourceOptions(parent=self, depends_on=list(after), protect=protect or args.protect or None),
        )
        return self.instance
