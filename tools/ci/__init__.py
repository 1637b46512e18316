"""GitHub on this machine, as far as the pipelines need it: a bare repository with pull requests, comments over HTTP, and the jobs' own steps.

For the demo and the tests: what a workflow's `run:` says is run as it stands there. Actions of others cannot be fetched here; what each
of them would leave behind is put there by `tools.ci.actions`.
"""

from tools.ci.expressions import ExpressionError, evaluate, fill
from tools.ci.forge import Forge, PullRequest
from tools.ci.job import Job, JobResult, StepResult, Unsupported
from tools.ci.workplace import Workplace

__all__ = [
    "ExpressionError",
    "Forge",
    "Job",
    "JobResult",
    "PullRequest",
    "StepResult",
    "Unsupported",
    "Workplace",
    "evaluate",
    "fill",
]
