"""The wrong specs in `bad/` and what is to be said of each.

`bad/NAME.yaml` is a spec of one file, `bad/NAME/` one of several; `bad/NAME.expected` has a line for each finding. To write
those anew after a change of wording, and then to read the diff:

    python -m tests.spec.golden
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from rehost import spec

BAD = Path(__file__).parent / "bad"


def cases() -> list[Path]:
    return sorted(path for path in BAD.iterdir() if path.suffix != ".expected")


def expected_file(case: Path) -> Path:
    return case.with_suffix(".expected") if case.is_file() else case.parent / f"{case.name}.expected"


def findings(case: Path, project: Path) -> list[spec.Finding]:
    """What is found in a project whose `specs` folder holds this case and nothing else."""
    specs = project / "specs"
    if case.is_dir():
        shutil.copytree(case, specs)
    else:
        specs.mkdir()
        shutil.copy(case, specs)
    return spec.check(specs)[1]


def lines(found: list[spec.Finding]) -> str:
    return "".join(f"{finding} [{finding.rule}]\n" for finding in found)


def main() -> None:
    for case in cases():
        with tempfile.TemporaryDirectory() as project:
            expected_file(case).write_text(lines(findings(case, Path(project))), encoding="utf-8")


if __name__ == "__main__":
    main()
