"""The subcommands, put together."""

from __future__ import annotations

from importlib import import_module

import typer

from rehost import __version__
from rehost.cli._lazy import LazyGroup
from rehost.cli._output import Exit, fail
from rehost.errors import RehostError


class Commands(LazyGroup):
    lazy = {  # noqa: RUF012 - a ClassVar of the base class
        "init": "rehost.cli._init:init",
        "validate": "rehost.cli._validate:validate",
        "plan": "rehost.cli._plan:plan",
        "fmt": "rehost.cli._fmt:fmt",
        "explain": "rehost.cli._explain:explain",
        "schema": "rehost.cli._schema:schema",
        "migrate-spec": "rehost.cli._migrate_spec:migrate_spec",
        "discover": "rehost.cli._discover:discover",
        "digest": "rehost.cli._digest:digest",
        "select": "rehost.cli._select:select",
        "run": "rehost.cli._run:run",
        "pause": "rehost.cli._jobs:pause",
        "resume": "rehost.cli._jobs:resume",
        "retry": "rehost.cli._jobs:retry",
        "verify": "rehost.cli._verify:verify",
        "preflight": "rehost.cli._preflight:preflight",
        "eject": "rehost.cli._eject:eject",
        "wave": "rehost.cli._wave:app",
        "comment": "rehost.cli._comment:comment",
        "report": "rehost.cli._report:report",
        "serve": "rehost.cli._report:serve",
        "doctor": "rehost.cli._doctor:doctor",
        "connector": "rehost.cli._connector:app",
        "catalog": "rehost.cli._catalog:app",
        "import": "rehost.cli._import:app",
        "sandbox": "rehost.cli._sandbox:app",
    }


app = typer.Typer(
    name="rehost",
    cls=Commands,
    help="Move servers into AWS as code. Declare them in YAML, then `pulumi preview` and `pulumi up`; this command looks at what runs.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _listed(name: str, text: str) -> None:
    """Show in `rehost --help` a command that `main` of the package has taken care of before."""

    everything = {"ignore_unknown_options": True, "allow_extra_args": True, "help_option_names": []}

    @app.command(name, help=text, context_settings=everything)
    def shown(context: typer.Context) -> None:
        raise SystemExit(import_module(f"rehost.cli._{name}").main(context.args))


_listed("status", "Show each server's job, present run, last good image and last error, and the connectors.")
_listed("upload", "Make one EBS snapshot of one disk image and print its id.")
_listed("restore", "Write one EBS snapshot into a sparse file: the way back out of AWS.")


@app.callback(invoke_without_command=True)
def _root(version: bool = typer.Option(False, "--version", help="Print the version and exit.")) -> None:
    if version:
        typer.echo(f"rehost {__version__}")
        raise typer.Exit(Exit.OK)


def main() -> None:
    """Run the command; an error that is ours is one line on standard error and exit code 1. Ctrl-C is typer's: 130."""
    try:
        app()
    except RehostError as error:
        fail(error)
