"""Files into text, never more of them than is reasonable, and never in an encoding that was guessed."""

from __future__ import annotations

import codecs
import re
from pathlib import Path

from rehost.importers._errors import InventoryUnreadable

#: Of one file. RVTools' workbook of 10,000 machines has some 30 MB.
MAX_BYTES = 64 << 20
_BOMS = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))


def content_of(path: Path) -> bytes:
    """Raises InventoryUnreadable."""
    try:
        if path.exists() and not path.is_file():
            raise InventoryUnreadable(path=str(path), reason="it is not a file")
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise InventoryUnreadable(path=str(path), reason=f"it cannot be read: {error.strerror}") from error
    if len(content) > MAX_BYTES:
        reason = f"it is larger than {MAX_BYTES >> 20} MiB and was not read; export it in parts"
        raise InventoryUnreadable(path=str(path), reason=reason)
    if not content.strip():
        raise InventoryUnreadable(path=str(path), reason="it is empty")
    return content


def text_of(path: Path, encoding: str = "utf-8") -> str:
    """A mark at its beginning counts (PowerShell writes UTF-16 with one), else `encoding`. Raises InventoryUnreadable."""
    content = content_of(path)
    encoding = next((name for mark, name in _BOMS if content.startswith(mark)), encoding)
    try:
        text = content.decode(encoding)
    except LookupError:
        raise InventoryUnreadable(path=str(path), reason=f"there is no encoding {encoding!r}") from None
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        reason = f"line {line} is not {encoding.upper()}; save it as UTF-8, or say which it is: --encoding cp1252, for example"
        raise InventoryUnreadable(path=str(path), reason=reason) from None
    found = re.search("[\x00-\x08\x0e-\x1f]", text)
    if found:
        line = text.count("\n", 0, found.start()) + 1
        reason = f"line {line} has the character U+{ord(found[0]):04X}: it is no text, or in another encoding"
        raise InventoryUnreadable(path=str(path), reason=reason)
    return text
