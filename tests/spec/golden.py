"""The wrong specs in `bad/` and what is to be said of each.

`bad/NAME.yaml` is a spec of one file, `bad/NAME/` one of several; `bad/NAME.expected` is what `rehost validate` says of it in
the repository's folder. To write those anew after a change of wording, and then to read the diff:

    python -m tests.spec.golden
"""

from __future__ import annotations

from pathlib import Path

from rehost import spec

ROOT = Path(__file__).resolve().parents[2]
BAD = ROOT / "tests" / "spec" / "bad"


def cases() -> list[Path]:
    return sorted(path for path in BAD.iterdir() if path.suffix != ".expected")


def expected_file(case: Path) -> Path:
    return case.with_suffix(".expected") if case.is_file() else case.parent / f"{case.name}.expected"


def findings(case: Path) -> list[spec.Finding]:
    return spec.check(case, root=ROOT)[1]


def text(found: list[spec.Finding]) -> str:
    excerpts = spec.Excerpts(ROOT)
    return "".join(f"{spec.as_text(finding, excerpts)}\n" for finding in found)


def main() -> None:
    for case in cases():
        expected_file(case).write_text(text(findings(case)), encoding="utf-8")


if __name__ == "__main__":
    main()
