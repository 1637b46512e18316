"""What an instance's user data says of itself: on the console, or in a tag of the instance. No server of ours is needed."""

from __future__ import annotations

import re

from rehost.aws import Commands, Instances
from rehost.validation._check import Check, Target, Tried

#: The tag, and what begins the line on the console.
MARK = "rehost-validation"
_LINE = re.compile(rf"{MARK}: (ok|failed)\b:?[ \t]*([^\r\n]*)")
_KEPT = 20  # lines of the console before the report


def reported(check: Check, target: Target, seconds: float, *, commands: Commands, instances: Instances) -> Tried:
    """The newest report counts: a service that recovers may say so."""
    if check.settings.get("report", "console") == "tag":
        view = instances.describe(target.instance_id)
        if view is None:
            return Tried(False, f"instance {target.instance_id} is terminated", final=True)
        text, where = view.tags.get(MARK, ""), f"the tag {MARK} of {target.instance_id}"
        text = f"{MARK}: {text}" if text else ""
    else:
        text, where = commands.console(target.instance_id), f"the console of {target.instance_id}"
    reports = list(_LINE.finditer(text))
    if not reports:
        return Tried(False, f"{where} has no report yet", _end(text))
    word, reason = reports[-1].groups()
    if word == "ok":
        return Tried(True, f"{where} says ok" + (f": {reason}" if reason else ""), _end(text))
    return Tried(False, f"{where} says failed" + (f": {reason}" if reason else ""), _end(text), final=True)


def _end(text: str) -> str:
    return "\n".join(text.splitlines()[-_KEPT:])
