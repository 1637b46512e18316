"""Wave: applications that move in one window, a node between the estate and them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import pulumi

from components.application import TYPE as APPLICATION
from components.application import Application, ApplicationArgs, WindowArgs

_TYPE = "rehost:index:Wave"


@dataclass(frozen=True)
class WaveArgs:
    """`applications` stand in the order of the spec."""

    applications: Mapping[str, ApplicationArgs] = field(default_factory=dict)
    window: WindowArgs | None = None


class Wave(pulumi.ComponentResource):
    """`rehost:index:Wave`: its Applications.

    A wave may be given to a state that knows none, and be taken away: its applications go by their former place as well
    (`before`), so nothing of theirs is replaced.
    """

    applications: dict[str, Application]

    def __init__(
        self, name: str, args: WaveArgs, opts: pulumi.ResourceOptions | None = None, *, before: pulumi.Resource
    ) -> None:
        """`before`: the component that the applications were, or would be, children of without the wave."""
        super().__init__(_TYPE, name, None, opts)
        child = pulumi.ResourceOptions(parent=self, aliases=[pulumi.Alias(parent=before)])
        self.applications = {
            app: Application(app, each, child, estate=before) for app, each in args.applications.items()
        }
        self.register_outputs({})


def waveless(parent: pulumi.Resource) -> pulumi.ResourceOptions:
    """For an application of no wave below `parent`: it may have been in one.

    A URN has the types of all parents and the name of none, so one alias stands for every wave there ever was.
    """
    return pulumi.ResourceOptions(parent=parent, aliases=[pulumi.Alias(parent=former(parent, _TYPE))])


def homeless(parent: pulumi.Resource) -> pulumi.ResourceOptions:
    """For a server of no application below `parent`: it may have been in one, and that in a wave."""
    homes = [former(parent, APPLICATION), former(parent, _TYPE, APPLICATION)]
    return pulumi.ResourceOptions(parent=parent, aliases=[pulumi.Alias(parent=each) for each in homes])


def former(parent: pulumi.Resource, *types: str) -> pulumi.Output[str]:
    """The URN of any component of these types, one below the other, below `parent`."""
    return parent.urn.apply(lambda urn: f"{urn.rsplit('::', 1)[0]}${'$'.join(types)}::former")
