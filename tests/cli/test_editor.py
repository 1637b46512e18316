"""What helps while a spec is written: `rehost schema`, `explain`, `fmt` and `migrate-spec`."""

from __future__ import annotations

import json
import stat
import subprocess
from pathlib import Path

import pytest

from rehost import spec
from tests.spec.test_editing import MESSY, NEW, OLD, TIDY

from .conftest import REHOST, ROOT, Command

OK, FAILED, USAGE = 0, 1, 2


def test_the_schema_is_printed_or_written(command: Command) -> None:
    said = command("schema")
    assert (said.code, said.json, said.err) == (OK, spec.schema(), "")
    said = command("schema", "--output", "schema.json")
    assert (said.code, said.out) == (OK, "")
    assert "yaml-language-server: $schema=" in said.err
    assert json.loads((command.folder / "schema.json").read_text()) == spec.schema()
    said = command("schema", "--output", "missing/schema.json")
    assert (said.code, said.err) == (
        FAILED,
        "error: missing/schema.json cannot be written: No such file or directory\n",
    )


def test_the_example_names_the_schema_for_editors() -> None:
    example = ROOT / "migration_specs" / "example.yaml"
    first = example.read_text("utf-8").splitlines()[0]
    name = first.removeprefix("# yaml-language-server: $schema=")
    assert name != first
    assert json.loads((example.parent / name).read_text("utf-8")) == spec.schema()


def test_a_key_is_explained(command: Command) -> None:
    said = command("explain", "servers.web-01.image.conversion")
    assert said.code == OK
    assert said.out.splitlines() == [
        "servers.NAME.image.conversion",
        "  import: VM import adapts drivers, fstab and boot loader; register: the disks as they are.",
        "",
        "  value: import or register; default import",
        "  example: conversion: import",
    ]
    assert command("explain", "servers.image.conversion", "--json").json["schema"]["default"] == "import"


def test_an_entry_is_explained_with_its_keys(command: Command) -> None:
    said = command("explain", "servers")
    assert "  KEY " in said.out
    for key in spec.schema()["$defs"]["server"]["properties"]:
        assert f"\n  {key} " in said.out
    assert "\n  locator       required  Which machine of its source it is\n" in said.out
    assert all(f"\n  {section} " in command("explain").out for section in ("sources", "servers", "waves"))


def test_a_key_that_does_not_exist(command: Command) -> None:
    said = command("explain", "servers.imge.conversion")
    assert (said.code, said.out) == (USAGE, "")
    assert said.err == "error: servers.NAME has no key imge (did you mean image?)\n"


@pytest.fixture
def messy(command: Command) -> Path:
    file = command.folder / "migration_specs" / "a.yaml"
    file.parent.mkdir()
    file.write_text(MESSY)
    file.chmod(0o640)
    return file


def test_fmt_writes_files_in_form(command: Command, messy: Path) -> None:
    (messy.parent / "b.yml").write_text("sources: {}\n")
    said = command("fmt")
    assert (said.code, said.out) == (OK, "")
    assert said.err == "migration_specs/a.yaml: formatted\n1 formatted, 1 left as they are\n"
    assert messy.read_text() == TIDY
    assert stat.S_IMODE(messy.stat().st_mode) == 0o640
    assert sorted(each.name for each in messy.parent.iterdir()) == ["a.yaml", "b.yml"], "nothing is left behind"
    assert command("fmt").err == "0 formatted, 2 left as they are\n"


def test_fmt_only_looks_with_check_and_diff(command: Command, messy: Path) -> None:
    said = command("fmt", "--check")
    assert (said.code, said.out) == (FAILED, "")
    assert said.err.startswith("migration_specs/a.yaml: would be formatted\n")
    said = command("fmt", "migration_specs/a.yaml", "--diff")
    assert said.code == OK
    assert said.out.startswith("--- a/migration_specs/a.yaml\n+++ b/migration_specs/a.yaml\n")
    assert command("fmt", "--diff", "--check").code == FAILED
    assert messy.read_text() == MESSY
    applied = subprocess.run(
        ["patch", "-p1"], input=said.out, cwd=command.folder, text=True, capture_output=True, check=True
    )
    assert "patching file" in applied.stdout
    assert messy.read_text() == TIDY
    assert command("fmt", "--check").code == OK


def test_fmt_leaves_what_it_does_not_understand_and_does_the_rest(command: Command, messy: Path) -> None:
    broken = messy.parent / "broken.yaml"
    broken.write_text("sources: {\n")
    said = command("fmt")
    assert said.code == USAGE
    assert (
        "migration_specs/broken.yaml:2:1: the file ends here, within {} or [] (a closing bracket is missing) [syntax]"
        in said.err
    )
    assert said.err.endswith("1 formatted, 0 left as they are, 1 refused\n")
    assert (broken.read_text(), messy.read_text()) == ("sources: {\n", TIDY)
    broken.write_text("sources: {e: {type: images, # kind\n  path: x}}\n")
    said = command("fmt")
    assert said.code == FAILED
    assert "the comment in line 1 would be lost" in said.err


def test_fmt_keeps_a_link_a_link(command: Command, messy: Path) -> None:
    real = command.folder / "shared.yaml"
    messy.rename(real)
    messy.symlink_to("../shared.yaml")
    assert command("fmt").code == OK
    assert messy.is_symlink()
    assert real.read_text() == TIDY


def test_fmt_as_a_filter_for_editors(command: Command) -> None:
    def filtered(content: bytes) -> tuple[int, bytes]:
        done = subprocess.run([REHOST, "fmt", "-"], input=content, capture_output=True, cwd=command.folder, check=False)
        return done.returncode, done.stdout

    assert filtered(MESSY.encode()) == (OK, TIDY.encode())
    assert filtered(b"a: [\xff") == (USAGE, b"a: [\xff"), "what cannot be formatted comes out as it went in"


def test_migrate_spec_rewrites_old_files(command: Command) -> None:
    folder = command.folder / "migration_specs"
    folder.mkdir()
    (folder / "old.yaml").write_text(OLD)
    (folder / "new.yaml").write_text("waves: {}\n")
    said = command("validate")
    assert said.code == USAGE
    assert "old.yaml:2:13: this file is of the version rehost/v1alpha1" in said.err
    said = command("migrate-spec", "--check")
    assert (said.code, said.err.splitlines()[-1]) == (FAILED, "1 would be rewritten, 1 left as they are")
    assert "+    every: 12h # hours\n" in command("migrate-spec", "--diff").out
    assert (folder / "old.yaml").read_text() == OLD
    assert command("migrate-spec").code == OK
    assert (folder / "old.yaml").read_text() == NEW
    assert command("migrate-spec", "--check").code == OK
    assert command("validate").code == OK
    assert command("fmt", "--check").code == OK


def test_migrate_spec_says_what_it_cannot_rewrite(command: Command) -> None:
    file = command.folder / "a.yaml"
    file.write_text("apiVersion: rehost/v1alpha1\nschedules:\n  a: {frequency: 36}\n")
    said = command("migrate-spec", "a.yaml")
    assert said.code == FAILED
    assert (
        "a.yaml:3:7: the frequency '36' is not a number of hours, 1 to 24 [not-migrated]\n    3 |   a: {freq"
        in said.err
    )
    assert "36" in file.read_text()


def test_files_without_a_version_are_of_the_one_that_is_named(command: Command) -> None:
    file = command.folder / "a.yaml"
    file.write_text("schedules:\n  a: {frequency: 6}\n")
    assert command("migrate-spec", "a.yaml").err == "0 rewritten, 1 left as they are\n"
    assert command("migrate-spec", "a.yaml", "--from", "rehost/v1alpha1").code == OK
    assert "every: 6h" in file.read_text()


def test_a_folder_that_is_not_there(command: Command) -> None:
    for name in ("fmt", "migrate-spec"):
        said = command(name)
        assert said.code == USAGE
        assert "there is no folder migration_specs" in said.err
    assert list(command.folder.iterdir()) == []
