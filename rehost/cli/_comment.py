"""`rehost comment`: one comment on the pull request of this pipeline, kept up to date."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from rehost.cli._output import Exit, err, fail, out
from rehost.comments import CommentError, NotInPipeline, NotOnAPullRequest, find_place, is_mark, post


def comment(
    file: Annotated[str, typer.Argument(metavar="FILE", help="The Markdown to show; - reads standard input.")],
    mark: Annotated[
        str, typer.Option(help="Which of our comments: one of each mark. Lower-case letters, digits, . and -.")
    ] = "plan",
) -> None:
    """Put a file on the pull request that this pipeline runs for, as one comment that each later call changes.

    In GitHub Actions it needs GITHUB_TOKEN, in GitLab CI REHOST_GITLAB_TOKEN. Exit code 0, 1 where the server refuses or stays away, 2 where
    this is no pipeline of a pull request. Example: [dim]rehost comment plan.md[/]
    """
    if not is_mark(mark):
        fail(f"--mark {mark!r} will not do: lower-case letters, digits, . and -", Exit.USAGE)
    try:
        text = sys.stdin.buffer.read().decode() if file == "-" else Path(file).read_text("utf-8")
    except OSError as error:
        fail(f"{file} cannot be read: {error.strerror}", Exit.USAGE)
    except UnicodeDecodeError:
        fail(f"{file} is not UTF-8", Exit.USAGE)
    try:
        posted = post(find_place(os.environ), text, mark=mark)
    except (NotInPipeline, NotOnAPullRequest) as error:
        fail(error, Exit.USAGE)
    except CommentError as error:
        fail(error)
    if posted.cut:
        err.print("[yellow]the text is longer than a comment may be, and was cut at a line[/]")
    what = "made" if posted.made else "changed"
    out.print(f"{what} the comment{f' {posted.address}' if posted.address else ''}", markup=False)
