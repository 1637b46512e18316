"""Help, exit codes and errors: what the command says before it does anything."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
import typer.main

from rehost.cli._app import app
from sandbox import Sandbox
from tests.docs.test_references import subcommands

from .conftest import REHOST, ROOT, Command

OK, FAILED, USAGE = 0, 1, 2


@pytest.mark.parametrize("name", sorted(subcommands()))
def test_help_has_an_example_that_is_a_command_of_ours(name: str, command: Command) -> None:
    said = command(*name.split(), "--help")
    assert said.code == OK
    text = " ".join(said.out.split())
    assert re.search(rf"Example: (\w+=\S+ )?rehost {name}\b", text), text


def test_without_arguments_the_help_is_shown_and_the_version_can_be_asked(command: Command) -> None:
    said = command()
    assert said.code == USAGE
    assert all(name.split()[0] in said.out + said.err for name in subcommands())
    assert re.fullmatch(r"rehost \d+\.\d+\.\d+\n", command("--version").out)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["nonsense"], "No such command"),
        (["run"], "Missing argument"),
        (["connector", "run", "--workers", "0"], "--workers"),
        (["sandbox", "up", "--port", "65536"], "--port"),
        (["status", "--nonsense"], "unrecognized arguments"),
        (["pause", "--nonsense"], "No such option"),
    ],
)
def test_a_wrong_command_line_ends_with_2(arguments: list[str], expected: str, command: Command) -> None:
    said = command(*arguments)
    assert (said.code, said.out) == (USAGE, "")
    assert expected in said.err


@pytest.mark.parametrize("name", ["status", "run web-01", "verify"])
def test_where_nothing_was_declared_that_is_said_and_nothing_is_made(name: str, command: Command) -> None:
    said = command(*name.split())
    assert (said.code, said.out) == (USAGE, "")
    assert re.fullmatch(
        r"error: there is no control plane at .*control\.db\. .*`pulumi up`.*REHOST_DATABASE\n", said.err
    )
    assert list(command.folder.iterdir()) == []


@pytest.mark.parametrize(
    ("database", "expected"),
    [
        ("foo://host/name", "use sqlite:///PATH or postgresql://HOST/NAME"),
        ("sqlite:///notes.txt", "not a database"),
        ("postgresql://somebody:hidden-word@127.0.0.1:1/rehost", "Connection refused"),
    ],
)
def test_a_wrong_database_is_one_line_without_its_password(database: str, expected: str, command: Command) -> None:
    (command.folder / "notes.txt").write_text("This is no database, but it is longer than a header. " * 10)
    command.environment["REHOST_DATABASE"] = database
    said = command("status")
    assert (said.code, said.out) == (FAILED, "")
    assert expected in said.err
    assert said.err.count("\n") == 1
    assert "hidden-word" not in said.err


def test_a_password_among_the_arguments_is_refused(command: Command) -> None:
    said = command("connector", "run", "--database", "postgresql://somebody:hidden-word@127.0.0.1:1/rehost")
    assert said.code == USAGE
    assert "REHOST_DATABASE" in said.err
    assert "hidden-word" not in said.err


def test_a_project_is_found_from_a_folder_below_it(command: Command) -> None:
    (command.folder / "Pulumi.yaml").write_text("name: rehost\nruntime: python\n")
    below = command.folder / "a" / "b"
    below.mkdir(parents=True)
    said = Command(below)("status")
    assert f"{command.folder}/.rehost/control.db" in said.err


def test_validate_says_everything_at_once(command: Command) -> None:
    specs = command.folder / "migration_specs"
    shutil.copytree(ROOT / "migration_specs", specs)
    said = command("validate")
    assert (said.code, said.err) == (OK, "")
    assert said.out == "valid: 2 servers, 1 applications, 1 sources\n"
    assert command("validate", "--json").json == {"valid": True, "findings": []}

    spec = specs / "example.yaml"
    spec.write_text(spec.read_text().replace("source: exports", "source: export").replace("{every: 12h", "{evry: 12h"))
    said = command("validate", "migration_specs")
    assert (said.code, said.out) == (USAGE, "")
    lines = said.err.splitlines()
    assert len([line for line in lines if re.match(r"\S*example\.yaml:\d+:\d+: ", line)]) >= 3
    assert sum("did you mean exports?" in line for line in lines) == 2
    found = command("validate", "--json")
    assert found.code == USAGE
    assert not found.json["valid"]
    assert {"path", "line", "column", "message"} <= found.json["findings"][0].keys()


def test_doctor_says_what_a_machine_lacks(command: Command, tmp_path: Path) -> None:
    bare = tmp_path / "bin"
    bare.mkdir()
    command.environment["PATH"] = str(bare)
    said = command("doctor")
    assert said.code == FAILED
    assert re.search(r"^missing +pulumi +- +nothing can be previewed.*`make setup`", said.out, re.MULTILINE)
    assert re.search(r"^absent +qemu-system-x86_64 .*Debian package qemu-system-x86", said.out, re.MULTILINE)
    assert re.search(r"^absent +AWS .*AWS_REGION", said.out, re.MULTILINE)

    for program in ("pulumi", "pulumi-language-python", "smbd"):
        (bare / program).write_text(f'#!/bin/sh\necho "$1" >> {tmp_path}/{program}.asked\necho {program} v3.250.0\n')
        (bare / program).chmod(0o755)
    said = command("doctor", "--json")
    assert said.code == OK
    # With any other word smbd begins to serve.
    assert (tmp_path / "smbd.asked").read_text() == "--version\n"
    checks = {check["name"]: check for check in said.json["checks"]}
    assert checks["pulumi"] == {
        "name": "pulumi", "ok": True, "needed": True, "found": "pulumi v3.250.0", "remedy": checks["pulumi"]["remedy"],
    }  # fmt: skip


def test_doctor_says_who_we_are_in_aws(command: Command, sandbox: Sandbox) -> None:
    command.environment |= {"AWS_ENDPOINT_URL": sandbox.endpoint, "AWS_REGION": "eu-central-1"}
    assert re.search(r"^ok +AWS +arn:aws:\S+ in eu-central-1", command("doctor").out, re.MULTILINE)


def test_a_port_that_is_taken_is_said_in_a_line(command: Command, sandbox: Sandbox) -> None:
    port = sandbox.endpoint.rsplit(":", 1)[1]
    said = command("sandbox", "up", "--port", port)
    assert said.code == FAILED
    assert re.fullmatch(rf"rehost-sandbox: error: 127\.0\.0\.1:{port} .*in use; choose another --port\n", said.err)


def test_the_exit_codes_are_those_of_the_page() -> None:
    from rehost.cli._output import Exit

    page = (ROOT / "docs" / "command.md").read_text("utf-8")
    listed = {int(code) for code in re.findall(r"^\| (\d+) \|", page, re.MULTILINE)}
    assert {code.value for code in Exit} | {75, 130} == listed
    assert REHOST.exists()
    assert typer.main.get_command(app).name == "rehost"
