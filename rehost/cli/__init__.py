"""The command `rehost`. `docs/command.md` has the exit codes and an example of each subcommand."""

from rehost.cli._app import app, main

__all__ = ["app", "main"]
