"""The resources as Pulumi knows them: type names, outputs, and which provider serves each.

The type names (`pulumi-python:dynamic/rehost:ReplicationJob` ...) stand in every user's state.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pulumi
from pulumi.dynamic import Resource

from providers import Reference

Inputs = Mapping[str, Any]


class Preflight(Resource, module="rehost", name="Preflight"):
    def __init__(self, name: str, inputs: Inputs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__(Reference("PreflightProvider"), name, dict(inputs), opts)


class Phase(Resource, module="rehost", name="Phase"):
    entry: pulumi.Output[int]
    plan: pulumi.Output[list[str]]

    def __init__(self, name: str, inputs: Inputs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__(Reference("PhaseProvider"), name, {**inputs, "entry": None, "plan": None}, opts)


class Cutover(Resource, module="rehost", name="Cutover"):
    runs: pulumi.Output[dict[str, str]]

    def __init__(self, name: str, inputs: Inputs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__(Reference("CutoverProvider"), name, {**inputs, "runs": None}, opts)


class Milestone(Resource, module="rehost", name="Milestone"):
    def __init__(self, name: str, inputs: Inputs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__(Reference("MilestoneProvider"), name, dict(inputs), opts)


class ReplicationJob(Resource, module="rehost", name="ReplicationJob"):
    def __init__(self, name: str, inputs: Inputs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__(Reference("ReplicationJobProvider"), name, {**inputs, "jobId": None}, opts)

    jobId: pulumi.Output[str]  # noqa: N815 - the property's name in the state


class Readiness(Resource, module="rehost", name="Readiness"):
    def __init__(self, name: str, inputs: Inputs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__(Reference("ReadinessProvider"), name, dict(inputs), opts)


class MachineImage(Resource, module="rehost", name="MachineImage"):
    imageId: pulumi.Output[str]  # noqa: N815
    runId: pulumi.Output[str]  # noqa: N815
    takenAt: pulumi.Output[str]  # noqa: N815

    def __init__(self, name: str, inputs: Inputs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__(
            Reference("MachineImageProvider"), name, {**inputs, "imageId": None, "runId": None, "takenAt": None}, opts
        )


class Instance(Resource, module="rehost", name="Instance"):
    instanceId: pulumi.Output[str]  # noqa: N815
    privateAddress: pulumi.Output[str | None]  # noqa: N815
    publicAddress: pulumi.Output[str | None]  # noqa: N815

    def __init__(self, name: str, inputs: Inputs, opts: pulumi.ResourceOptions | None = None) -> None:
        outputs = {"instanceId": None, "privateAddress": None, "publicAddress": None}
        super().__init__(Reference("InstanceProvider"), name, {**inputs, **outputs}, opts)


class PostLaunch(Resource, module="rehost", name="PostLaunch"):
    def __init__(self, name: str, inputs: Inputs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__(Reference("PostLaunchProvider"), name, dict(inputs), opts)


class Validation(Resource, module="rehost", name="Validation"):
    def __init__(self, name: str, inputs: Inputs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__(Reference("ValidationProvider"), name, dict(inputs), opts)
