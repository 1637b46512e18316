"""Lists of page ranges: Get Page Ranges and its difference (Blob service REST API), as extents."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from xml.etree import ElementTree as ET

from rehost.blocks import Extent


def parse(text: bytes) -> tuple[list[Extent], str]:
    """The ranges of one answer, ascending, and the marker of the next one ("" at the end).

    Cleared ranges count as well: they read as zeros now. Raises ValueError.
    """
    try:
        root = ET.fromstring(text)
        ranges = [
            Extent(int(each.findtext("Start", "")), int(each.findtext("End", "")) - int(each.findtext("Start", "")) + 1)
            for each in root
            if each.tag in ("PageRange", "ClearRange")
        ]
    except (ET.ParseError, ValueError) as error:
        raise ValueError(f"it is no list of page ranges: {error}") from None
    if any(each.offset < 0 or each.length <= 0 or each.offset % 512 or each.length % 512 for each in ranges):
        raise ValueError("it names ranges that are no whole pages")
    return sorted(ranges, key=lambda each: each.offset), (root.findtext("NextMarker") or "").strip()


def merged(ranges: Iterable[Extent], size: int) -> Iterator[Extent]:
    """Ascending ones that touch or overlap as one, and nothing from `size` on: there the footer stands. Raises ValueError."""
    start = end = -1
    for each in ranges:
        if each.offset < start:
            raise ValueError(f"byte {each.offset} is named after byte {start}")
        if each.offset > end:
            if end > start:
                yield Extent(start, end - start)
            start, end = min(each.offset, size), min(each.end, size)
        else:
            end = max(end, min(each.end, size))
    if end > start:
        yield Extent(start, end - start)


def code_of(text: bytes) -> tuple[str, str]:
    """(code, message) of the service's error, without what it repeats of the request."""
    code = re.search(rb"<Code>([^<]{1,100})</Code>", text)
    message = re.search(rb"<Message>([^<\n]{1,300})", text)
    return tuple((each[1].decode(errors="replace").strip() if each else "") for each in (code, message))  # type: ignore[return-value]
