"""`python -m rehost.preflight [PAGE]` makes the tables of docs/preflight.md anew from the registry of concerns."""

from __future__ import annotations

import re
import sys
from pathlib import Path

from rehost.concerns import ABOUT, KINDS

_REGION = re.compile(r"(<!-- concerns -->\n).*?(<!-- end -->)", re.DOTALL)


def render(page: str) -> str:
    """The page with its tables made anew; everything else in it is written by hand."""
    tables = "".join(_table(about) for about in ABOUT)
    return _REGION.sub(lambda found: found[1] + tables + "\n" + found[2], page)


def _table(about: str) -> str:
    rows = [
        f"| `{each.id}` | {each.severity} | {each.meaning} | {each.remedy} | {'yes' if each.ignorable else 'no'} |"
        for each in KINDS.values()
        if each.about == about
    ]
    return "\n".join(
        [
            "",
            f"### {ABOUT[about]}",
            "",
            "| id | severity | means | to do | ignorable |",
            "|---|---|---|---|---|",
            *rows,
            "",
        ]
    )


if __name__ == "__main__":
    target = Path(sys.argv[1] if len(sys.argv) > 1 else "docs/preflight.md")
    target.write_text(render(target.read_text(encoding="utf-8")), encoding="utf-8")
