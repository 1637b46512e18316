"""The self-test of a source: whether a real place answers as the protocol of `rehost.sources` says, and how fast."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rehost.late import names_of

if TYPE_CHECKING:
    from rehost.doctor._book import Book, Check, Result
    from rehost.doctor._server import ServerTest
    from rehost.doctor._source import SourceTest

#: By module. They are imported when first used.
_HOMES = {
    "_book": ("Book", "Check", "Result"),
    "_server": ("ServerTest",),
    "_source": ("SourceTest",),
}
__getattr__ = names_of(__name__, _HOMES)

__all__ = ["Book", "Check", "Result", "ServerTest", "SourceTest"]
