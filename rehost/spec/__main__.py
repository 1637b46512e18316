"""`python -m rehost.spec docs PAGE` makes the tables of a page anew; `python -m rehost.spec schema` prints the JSON Schema."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from rehost.spec import schema
from rehost.spec._docs import render


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m rehost.spec", description="The spec language's reference.")
    commands = parser.add_subparsers(dest="command", required=True)
    docs = commands.add_parser("docs", help="make the tables of a page anew from the schema")
    docs.add_argument("page", type=Path, nargs="?", default=Path("docs/spec.md"))
    commands.add_parser("schema", help="print the JSON Schema")
    given = parser.parse_args(arguments)
    if given.command == "docs":
        given.page.write_text(render(given.page.read_text(encoding="utf-8")), encoding="utf-8")
    else:
        print(json.dumps(schema(), indent=2, ensure_ascii=False))


if __name__ == "__main__":
    main()
