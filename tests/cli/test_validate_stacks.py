"""`rehost validate` and `rehost digest` where a spec differs between stacks."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.conftest import Command

SPEC = """
sources: {exports: {type: images, path: ../exports}}
schedules: {daily: {every: 1d, keepImages: "${config:keep}"}}
servers: {web-01: {source: exports, locator: {name: web-01}, schedule: daily}}
applications: {shop: {groups: {web: {servers: [web-01]}}}}
"""


@pytest.fixture(autouse=True)
def project(tmp_path: Path) -> None:
    (tmp_path / "migration_specs").mkdir()
    (tmp_path / "migration_specs" / "a.yaml").write_text(SPEC)
    (tmp_path / "Pulumi.yaml").write_text("name: estate\nruntime: python\n")
    for stack, keep in (("dev", "3"), ("prod", "many")):
        (tmp_path / f"Pulumi.{stack}.yaml").write_text(f"config:\n  estate:keep: {keep}\n")


def test_each_stack_is_checked_or_the_one_that_is_named(command: Command) -> None:
    said = command("validate")
    assert said.code == 2
    assert "keepImages must be a whole number, not 'many', on stack prod" in said.err
    assert command("validate", "--stack", "dev").code == 0
    assert command("validate", "--stack", "dev", "--stack", "prod").code == 2
    command.environment["PULUMI_STACK"] = "dev"
    assert command("validate").code == 0


def test_a_digest_is_of_one_stack(command: Command) -> None:
    said = command("digest")
    assert (said.code, "name it: --stack, or PULUMI_STACK (dev, prod)" in said.err) == (2, True)
    digest = command("digest", "--stack", "dev").out.strip()
    assert len(digest) == 32
    (command.folder / "Pulumi.dev.yaml").write_text("config:\n  keep: '4'\n")
    assert command("digest", "--stack", "dev").out.strip() != digest
