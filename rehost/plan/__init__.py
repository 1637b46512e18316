"""What a change of the spec means for each server, from `pulumi preview --json` and two versions of the spec: for a pull request."""

from rehost.plan._base import Base, base_of, default_base
from rehost.plan._errors import BaseUnreadable, PlanError, PolicyWrong, PreviewUnreadable, PricesWrong
from rehost.plan._html import as_html
from rehost.plan._known import Known, KnownServer, ask_control, nothing_known
from rehost.plan._make import make_plan
from rehost.plan._markdown import LIMIT, as_markdown
from rehost.plan._movement import full_copies
from rehost.plan._plan import Plan
from rehost.plan._policies import Policy, Verdict, policy_files, read_policies
from rehost.plan._preview import Preview, read_preview
from rehost.plan._prices import Prices, read_prices
from rehost.plan._retention import candidates

__all__ = [
    "LIMIT",
    "Base",
    "BaseUnreadable",
    "Known",
    "KnownServer",
    "Plan",
    "PlanError",
    "Policy",
    "PolicyWrong",
    "Preview",
    "PreviewUnreadable",
    "Prices",
    "PricesWrong",
    "Verdict",
    "as_html",
    "as_markdown",
    "ask_control",
    "base_of",
    "candidates",
    "default_base",
    "full_copies",
    "make_plan",
    "nothing_known",
    "policy_files",
    "read_policies",
    "read_preview",
    "read_prices",
]
