"""What a migration looks like, as one page: a file to pass on, or live over HTTP. It reads the control plane and the spec, and changes nothing."""

from rehost.report._errors import CannotListen, ReportError, StackUnclear
from rehost.report._live import Live, Shown
from rehost.report._look import Past, Report, ServerView, look, past_of
from rehost.report._page import page
from rehost.report._serve import ReportServer
from rehost.report._waves import Member, WaveView, looked_at, measured_runs

__all__ = [
    "CannotListen",
    "Live",
    "Member",
    "Past",
    "Report",
    "ReportError",
    "ReportServer",
    "ServerView",
    "Shown",
    "StackUnclear",
    "WaveView",
    "look",
    "looked_at",
    "measured_runs",
    "page",
    "past_of",
]
