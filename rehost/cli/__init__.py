"""The command `rehost`."""

from __future__ import annotations

import sys

#: Commands that start without typer; `_plain.py` says why.
PLAIN = ("status", "upload", "restore")


def main() -> None:
    """Run the command that the arguments name, and exit."""
    name = sys.argv[1] if len(sys.argv) > 1 else ""
    if name in PLAIN:
        import gc
        from importlib import import_module

        if name == "status" and not {"-w", "--watch"} & set(sys.argv):
            gc.disable()  # a second's work: nothing that is made is garbage before its end
        code = import_module(f"rehost.cli._{name}").main(sys.argv[2:])
        gc.freeze()  # the interpreter collects once more as it ends: a tenth of a second over what was imported
        raise SystemExit(code)
    from rehost.cli._app import main as typed

    typed()


__all__ = ["PLAIN", "main"]
