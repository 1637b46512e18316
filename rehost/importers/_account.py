"""Nothing of an inventory is passed over in silence: what was not read is told of, with the reason where there is one."""

from __future__ import annotations

from collections.abc import Container, Mapping

from rehost.importers._documents import Record
from rehost.importers._inventory import Inventory
from rehost.importers._remarks import Kind

UNKNOWN = "rehost does not know this field"


def account(
    inventory: Inventory, record: Record, subject: str, no_place: Mapping[str, str], ignored: Container[str]
) -> None:
    """A remark for each field of the record that has a value and was not asked for."""
    for key, value in record.unread():
        if key not in ignored:
            text = value if isinstance(value, str | int | float) else ""
            inventory.tell(
                Kind.NOT_CARRIED, no_place.get(key, UNKNOWN), subject, field=key, value=text, where=record.where
            )
