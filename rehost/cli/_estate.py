"""The spec as the subcommands need it: without errors, or not at all."""

from __future__ import annotations

from pathlib import Path

from rehost.cli._output import Exit, fail, tell
from rehost.cli._output import escape as escaped
from rehost.cli._project import find_project
from rehost.spec import Estate, check


def load_estate(specs: Path, *, accept_stale: bool = False) -> tuple[Estate, Path]:
    """The estate below `specs`, relative to here or to the project, and the folder that its paths are relative to.

    `accept_stale`: for what comes before `rehost select`.
    """
    project = find_project(None)
    folder = specs if specs.exists() else project.root / specs
    root = project.root if folder.resolve().is_relative_to(project.root.resolve()) else folder.parent
    estate, findings = check(folder, root=root, accept_stale=accept_stale)
    if estate is None:
        for finding in findings:
            if finding.is_error:
                tell(f"[red]{escaped(str(finding))}[/]")
        fail("put the spec right first; nothing was asked of anybody", Exit.USAGE)
    return estate, root
