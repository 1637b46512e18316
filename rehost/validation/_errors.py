"""What can go wrong after a launch.

RehostError
└── ValidationError
    ├── ChecksFailed    a group does not hold what its checks ask
    ├── ActionFailed    a post-launch action that must succeed has not
    └── NoSuchStep      a ready action has no way for this platform
"""

from __future__ import annotations

from rehost.errors import RehostError


class ValidationError(RehostError):
    """Root of this package's errors."""


class ChecksFailed(ValidationError):
    template = (
        "{failed} of {total} checks of group {group} failed. {reasons}. `rehost status` has their output; "
        "`pulumi up` tries them again"
    )


class ActionFailed(ValidationError):
    template = (
        "the post-launch action {action} failed on {instance}: {reason}. `rehost status` has its output; "
        "`pulumi up` tries it again"
    )


class NoSuchStep(ValidationError):
    template = "the action {action} is not for {platform}; name the servers it is for with `servers`"
