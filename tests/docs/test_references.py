"""What the documents and the code point at is there."""

from __future__ import annotations

import ast
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import typer.main
import yaml

from rehost import faults
from rehost.cli._app import app
from rehost.spec import check

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
_MENTION = re.compile(r"\bdocs/[\w./-]*\w")
_HEADING = re.compile(r"^#+ (.*)$", re.MULTILINE)


def tracked() -> list[Path]:
    """The repository's text files, as git knows them; a copy without git is read as it lies there."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    names = listed.stdout.split("\0") if listed.returncode == 0 else [str(p.relative_to(ROOT)) for p in _walk()]
    return [ROOT / name for name in names if name and (ROOT / name).is_file()]


def _walk() -> list[Path]:
    folders = ("rehost", "providers", "components", "sandbox", "tools", "docs", "tests", "migration_specs")
    return [path for folder in folders for path in (ROOT / folder).rglob("*") if path.is_file()]


def anchors(page: Path) -> set[str]:
    """The anchors that GitHub makes of a page's headings."""
    headings = _HEADING.findall(_FENCE.sub("", page.read_text("utf-8")))
    plain = (re.sub(r"[`*]|\[([^\]]*)\]\([^)]*\)", r"\1", heading) for heading in headings)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in plain}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_relative_link_leads_somewhere(page: Path) -> None:
    broken = []
    for target in _LINK.findall(_FENCE.sub("", page.read_text("utf-8"))):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        found = page.parent / path if path else page
        if not found.exists() or (anchor and found.suffix == ".md" and anchor not in anchors(found)):
            broken.append(target)
    assert broken == []


def test_every_page_that_is_mentioned_exists() -> None:
    missing = []
    mentions = 0
    for path in tracked():
        if path.is_relative_to(ROOT / "tests") or path.suffix not in (".py", ".md", ".yaml", ".json", ".toml", ""):
            continue
        text = path.read_bytes().decode("utf-8", "replace")
        for found in _MENTION.finditer(text):
            before = re.search(r"\S*$", text[: found.start()])
            if before and "://" in before[0]:  # a page of somebody else's site
                continue
            mentions += 1
            if not (ROOT / found[0]).exists():
                missing.append(f"{path.relative_to(ROOT)}: {found[0]}")
    assert missing == []
    assert mentions > 20, "the search itself must find something"


def test_every_page_can_be_reached_from_the_readme() -> None:
    reached, todo = set[Path](), [ROOT / "README.md"]
    while todo:
        page = todo.pop()
        if page in reached:
            continue
        reached.add(page)
        links = (page.parent / target.partition("#")[0] for target in _LINK.findall(page.read_text("utf-8")))
        todo += [link.resolve() for link in links if link.suffix == ".md" and link.exists()]
    assert set(PAGES) - reached == set()


def test_every_fault_point_stands_in_the_code_once() -> None:
    passed: list[str] = []
    for path in sorted((ROOT / "rehost").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "faults.point":
                assert isinstance(node.args[0], ast.Constant), f"{path.name}:{node.lineno}: not a literal"
                passed.append(node.args[0].value)  # type: ignore[arg-type]
    assert sorted(passed) == sorted(faults.POINTS + faults.POWER_POINTS)


def test_what_follows_a_kill_is_said_of_every_fault_point() -> None:
    page = (ROOT / "docs" / "operations.md").read_text("utf-8")
    assert [point for point in faults.POINTS + faults.POWER_POINTS if f"`{point}`" not in page] == []


def subcommands() -> set[str]:
    found = set()
    root: Any = typer.main.get_command(app)
    context = root.make_context("rehost", [], resilient_parsing=True)
    for name in root.list_commands(context):
        command = root.get_command(context, name)
        nested = getattr(command, "commands", None)
        found |= {f"{name} {each}" for each in nested} if nested else {name}
    return found


def test_every_subcommand_is_in_its_page() -> None:
    page = (ROOT / "docs" / "command.md").read_text("utf-8")
    described = set(re.findall(r"^\| `([a-z-]+(?: [a-z-]+)*)(?: [\[A-Z][^`]*)?` \|", page, re.MULTILINE))
    assert described == subcommands()


def test_the_readmes_spec_is_valid(tmp_path: Path) -> None:
    """Completed by the sections of the example that it leaves out."""
    blocks = re.findall(r"^```yaml\n(.*?)^```", (ROOT / "README.md").read_text("utf-8"), re.MULTILINE | re.DOTALL)
    assert blocks
    example = yaml.safe_load((ROOT / "migration_specs" / "example.yaml").read_text("utf-8"))
    for block in blocks:
        spec = yaml.safe_load(block)
        spec["servers"] = {"db-01": example["servers"]["db-01"], **spec["servers"]}
        whole = {**example, **spec}
        (tmp_path / "estate.yaml").write_text(yaml.safe_dump(whole))
        estate, findings = check(tmp_path)
        assert [str(finding) for finding in findings] == []
        assert estate is not None


def test_the_pages_yaml_can_be_read() -> None:
    for page in PAGES:
        for block in re.findall(r"^```yaml\n(.*?)^```", page.read_text("utf-8"), re.MULTILINE | re.DOTALL):
            assert yaml.safe_load(block), page
