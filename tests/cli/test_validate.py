"""`rehost validate` in its formats, on every wrong spec there is, and on files that were made to hurt."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.spec import golden

from .conftest import REHOST, ROOT, Command

OK, USAGE = 0, 2
WRONG = """sources:
  e: {type: images, path: x}
servers:
  a: {source: f, locator: {name: a}}
"""


def test_all_wrong_specs_in_one_call_give_what_is_expected_of_each() -> None:
    command = Command(ROOT)
    cases = [str(case.relative_to(ROOT)) for case in golden.cases()]
    assert len(cases) >= 100
    said = command("validate", *cases)
    expected = "".join(golden.expected_file(case).read_text("utf-8") for case in golden.cases())
    assert (said.code, said.out) == (USAGE, "")
    assert (
        said.err
        == f"{expected}{len(re.findall(r'^tests/(?!.*: warning: )', expected, re.MULTILINE))} errors; nothing was changed anywhere\n"
    )


@pytest.fixture
def estate(command: Command) -> Command:
    (command.folder / "repository" / ".git").mkdir(parents=True)
    specs = command.folder / "repository" / "infra" / "specs"
    specs.mkdir(parents=True)
    (specs / "a.yaml").write_text(WRONG)
    return Command(command.folder / "repository" / "infra")


def test_text_has_the_line_and_a_caret(estate: Command) -> None:
    said = estate("validate", "specs")
    assert said.code == USAGE
    assert "specs/a.yaml:4:15: f is not in sources (known: e) [dangling-name]\n    4 |   a: {source: f" in said.err
    assert said.err.endswith("\n1 error; nothing was changed anywhere\n")


def test_annotations_name_files_as_the_repository_does(estate: Command) -> None:
    said = estate("validate", "specs", "--format", "github")
    assert said.code == USAGE
    assert said.out.splitlines()[-1] == (
        "::error file=infra/specs/a.yaml,line=4,col=15,title=dangling-name::f is not in sources (known: e)"
    )
    estate.environment["GITHUB_WORKSPACE"] = str(estate.folder)
    assert "::error file=specs/a.yaml,line=4" in estate("validate", "specs", "--format", "github").out


def test_sarif_is_one_document(estate: Command) -> None:
    said = estate("validate", "specs", "--format", "sarif")
    assert (said.code, said.err) == (USAGE, "")
    places = [each["locations"][0]["physicalLocation"] for each in said.json["runs"][0]["results"]]
    assert {place["artifactLocation"]["uri"] for place in places} == {"infra/specs/a.yaml"}


def test_json_has_the_same_by_both_names(estate: Command) -> None:
    said = estate("validate", "specs", "--format", "json")
    assert (said.code, said.err) == (USAGE, "")
    assert said.json == estate("validate", "specs", "--json").json
    assert [each["rule"] for each in said.json["findings"]] == ["no-application", "dangling-name"]


def test_several_specs_are_valid_or_not_together(command: Command) -> None:
    for name in ("one.yaml", "two.yaml"):
        (command.folder / name).write_text("sources: {e: {type: images, path: x}}\nservers: {}\n")
    said = command("validate", "one.yaml", "two.yaml")
    assert (said.code, said.out) == (OK, "valid: 2 specs\n")
    (command.folder / "two.yaml").write_text(WRONG)
    assert command("validate", "one.yaml", "two.yaml").code == USAGE


def test_a_format_that_does_not_exist_is_refused(command: Command) -> None:
    said = command("validate", "--format", "xml")
    assert said.code == USAGE
    assert "--format" in said.err


def test_paths_are_those_of_the_project_around_a_spec(command: Command) -> None:
    (command.folder / "Pulumi.yaml").write_text("name: x\nruntime: python\n")
    below = command.folder / "migration_specs" / "eu"
    below.mkdir(parents=True)
    (below / "a.yaml").write_text(WRONG)
    assert Command(below)("validate", ".").err.count("\nmigration_specs/eu/a.yaml:") >= 1


SIZE = 1 << 20


def filled(head: str, unit: Callable[[int], str], tail: str = "") -> bytes:
    """A file of a megabyte, all that is read of one."""
    parts, size, number = [head], len(head) + len(tail), 0
    while size + len(unit(number)) < SIZE:
        parts.append(unit(number))
        size += len(parts[-1])
        number += 1
    return "".join([*parts, tail]).encode()


SOURCE = "sources: {e: {type: images, path: x}}\n"
FEW = "servers:\n" + "".join(f" server-{n:03}: {{source: e, locator: {{name: a{n}}}}}\n" for n in range(199))
HOSTILE = {
    "commas": filled("a: [", lambda _n: "a,", "]"),
    "keys": filled("", lambda n: f"k{n}: \n"),
    "servers of nothing": filled("servers:\n", lambda n: f" s{n}:\n"),
    "servers with a wrong key": filled(f"{SOURCE}servers:\n", lambda n: f" s{n}: {{sorce: e, locator: {{name: xxxxxxxxxxxxxxxxxxxxxxxx}}}}\n"),
    "members that are nearly servers": filled(f"{SOURCE}{FEW}applications: {{a: {{groups: {{g: {{servers: [", lambda n: f"servre-{n:020},", "]}}}}"),
    "one line of findings": filled("servers: {", lambda n: f"s{n}: {{sorce: 'xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx'}},", "}"),
    "secrets": filled("", lambda n: f"password{n}: xxxxxxxxxxxxxxxxxxxx\n"),
    "blackouts": filled("schedules: {a: {every: 1d, blackouts: {", lambda n: f'b{n}: {{from: "00:00", to: "23:59", days: [mon, tue]}},', "}}}"),
    "configs that extend": filled("launchConfigs:\n", lambda n: f" l{n}: {{extends: l{n + 1}, instanceType: t3.small, keyName: xxxxxx}}\n"),
    "brackets": b"[" * SIZE,
    "nothing": b"\0" * (100 * SIZE),
    "a hundred megabytes": b"sources: {}\n" * (100 * SIZE // 12),
}  # fmt: skip


#: A small process in between: Linux counts what a parent had when it forked as the child's own.
_MEASURE = """
import resource, subprocess, sys
code = subprocess.run(sys.argv[1:], stdin=subprocess.DEVNULL, stdout=2).returncode
used = resource.getrusage(resource.RUSAGE_CHILDREN)
print(code, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024)
"""


def spent(folder: Path) -> tuple[float, float, str]:
    """Seconds of processor, MiB of memory and what was said."""
    arguments = [sys.executable, "-S", "-c", _MEASURE, str(REHOST), "validate", "specs"]
    done = subprocess.run(arguments, cwd=folder, capture_output=True, text=True, check=True)
    code, seconds, memory = done.stdout.split()
    assert int(code) == USAGE, done.stderr[-2000:]
    assert "Traceback" not in done.stderr
    return float(seconds), float(memory), done.stderr


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_file_takes_neither_two_seconds_nor_200_megabytes(name: str, tmp_path: Path) -> None:
    """Two seconds of a machine of our own: next to others, what a small file takes says how slow this one is just now."""
    (tmp_path / "specs").mkdir()
    file = tmp_path / "specs" / "a.yaml"
    file.write_text(WRONG)
    small, _memory, _text = spent(tmp_path)
    file.write_bytes(HOSTILE[name])
    seconds, memory, text = spent(tmp_path)
    assert seconds < 2 * max(1, small / 0.4), text[-500:]
    assert memory < 200
    assert len(text) < 1 << 20


def test_findings_beyond_a_thousand_are_counted(command: Command) -> None:
    servers = "".join(f"  s{number}: {{source: e, locator: {{name: s{number}}}}}\n" for number in range(1500))
    (command.folder / "a.yaml").write_text(f"{SOURCE}servers:\n{servers}")
    said = command("validate", "a.yaml")
    assert (said.code, said.out) == (OK, "valid: 1500 servers, 0 applications, 1 sources\n")
    assert said.err.endswith("\n... and 500 more; --format json has them all\n")
    assert len(json.loads(command("validate", "a.yaml", "--json").out)["findings"]) == 1500
