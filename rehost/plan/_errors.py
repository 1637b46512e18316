"""What keeps a plan from being made.

RehostError
└── PlanError
    ├── PreviewUnreadable   the file is not what `pulumi preview --json` prints
    ├── BaseUnreadable      the version to compare with cannot be had
    ├── PolicyWrong         a policy file is wrong, or an expression cannot be evaluated
    └── PricesWrong         the price table is wrong
"""

from __future__ import annotations

from rehost.errors import RehostError


class PlanError(RehostError):
    """Root of this package's errors."""


class PreviewUnreadable(PlanError):
    template = "{file} is not a preview: {reason}. Make one with `pulumi preview --json > preview.json`"


class BaseUnreadable(PlanError):
    template = "the base {base} cannot be read: {reason}"


class PolicyWrong(PlanError):
    template = "{file}: {where}: {reason}"


class PricesWrong(PlanError):
    template = "{file}: {where}: {reason}"
