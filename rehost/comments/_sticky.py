"""Find the comment that carries our mark and change it; make it where there is none."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from rehost.comments._errors import CommentNotSent
from rehost.comments._http import call
from rehost.comments._places import Place

_PAGE = 100  # what both servers give at most
_MARK = re.compile(r"[a-z0-9][a-z0-9.-]*")


@dataclass(frozen=True)
class Posted:
    """`made` is False where an earlier comment was changed; `address` is its page, where the server says it."""

    made: bool
    address: str | None
    cut: bool


def post(place: Place, text: str, *, mark: str, pause: float = 1.0) -> Posted:
    """Make `text` the one comment with this mark on the pull request. Safe to repeat.

    The mark is an HTML comment in the first line, which neither GitHub nor GitLab shows. Text longer than the server takes is cut
    at a line, with a word about it. `pause` is how many seconds pass before the second try of a request. Raises CommentError.
    """
    line = f"<!-- rehost:{mark} -->"
    body, cut = _fitting(f"{line}\n{text}", place.limit)
    known = next((each for each in _comments(place, pause) if str(each.get("body", "")).startswith(line)), None)
    if known is None:
        answer = call(place, "POST", place.comments, {"body": body}, pause=pause)
    else:
        url = place.comment.format(id=int(known["id"]))
        answer = call(place, place.change_method, url, {"body": body}, pause=pause)
    address = answer.get("html_url") if isinstance(answer, dict) else None
    return Posted(made=known is None, address=address, cut=cut)


def is_mark(text: str) -> bool:
    return _MARK.fullmatch(text) is not None


def _comments(place: Place, pause: float) -> Iterator[dict[str, Any]]:
    number = 1
    while True:
        page = call(place, "GET", f"{place.comments}?per_page={_PAGE}&page={number}", pause=pause)
        if not isinstance(page, list):
            raise CommentNotSent(host=place.host, reason="its list of comments is none")
        yield from page
        if len(page) < _PAGE:
            return
        number += 1


def _fitting(text: str, limit: int) -> tuple[str, bool]:
    """The text, cut at a line where it is longer than `limit` characters, and whether it was cut."""
    if len(text) <= limit:
        return text, False
    note = (
        "\n\n*What follows was cut off: it is longer than a comment may be. The pipeline's own page has all of it.*\n"
    )
    kept = text[: limit - len(note) - len(_CLOSING) * _MAX_FOLDS]
    kept = kept[: kept.rfind("\n")] if "\n" in kept else kept
    # A fold that stays open would hide the note, and all that comes after it.
    opened = min(kept.count("<details") - kept.count("</details"), _MAX_FOLDS)
    return kept + _CLOSING * max(opened, 0) + note, True


_CLOSING = "\n</details>"
_MAX_FOLDS = 8
