"""The subcommands, put together."""

from __future__ import annotations

import typer

from rehost import __version__
from rehost.cli import _catalog, _connector, _discover, _doctor, _jobs, _run, _sandbox, _status, _validate, _verify
from rehost.cli._output import Exit, fail
from rehost.errors import RehostError

app = typer.Typer(
    name="rehost",
    help="Move servers into AWS as code. Declare them in YAML, then `pulumi preview` and `pulumi up`; this command looks at what runs.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("validate")(_validate.validate)
app.command("discover")(_discover.discover)
app.command("status")(_status.status)
app.command("run")(_run.run)
app.command("pause")(_jobs.pause)
app.command("resume")(_jobs.resume)
app.command("retry")(_jobs.retry)
app.command("verify")(_verify.verify)
app.command("doctor")(_doctor.doctor)
app.add_typer(_connector.app, name="connector")
app.add_typer(_catalog.app, name="catalog")
app.add_typer(_sandbox.app, name="sandbox")


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
        try:
            fail(error)
        except typer.Exit as end:
            raise SystemExit(end.exit_code) from None
