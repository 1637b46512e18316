"""What keeps a report from being made."""

from __future__ import annotations

from rehost.errors import RehostError


class ReportError(RehostError):
    """The root of this package's errors."""


class StackUnclear(ReportError):
    """Attributes: `stacks`, the names of those there are."""

    template = "the control plane knows several stacks ({stacks}): name one with --stack"


class CannotListen(ReportError):
    """Attributes: `host`, `port`, `reason`. Another port may do."""

    template = "{host}:{port} cannot be listened on: {reason}; take another one with --port, or 0 for a free one"
