"""What carries rehost's name at a machine: of a point in time, and the bitmaps that changes are told from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rehost.sources._protocol import ChangePosition
from rehost.sources.qemu import _names
from rehost.sources.qemu._clear import all_bitmaps, ours, remove_bitmap
from rehost.sources.qemu._machines import Machine
from rehost.sources.qemu._scratch import Scratch


def remains(machine: Machine, scratch: Scratch) -> Sequence[str]:
    with machine.session() as monitor:
        found = [f"job {job['id']}" for job in ours(monitor, "query-jobs", "id")]
        found += [f"export {export['id']}" for export in ours(monitor, "query-block-exports", "id")]
        for node, bitmaps in all_bitmaps(monitor).items():
            found += [f"node {node}"] if node.startswith(_names.PREFIX) else []
            found += [f"bitmap {each['name']} of {node}" for each in bitmaps if each["name"].startswith(_names.PREFIX)]
    return sorted([*found, *(f"file {path}" for path in scratch.files())])


def forget(machine: Machine, positions: Mapping[str, ChangePosition]) -> None:
    runs = {parsed[0] for each in positions.values() if (parsed := _names.parse_position(each)) is not None}
    with machine.session() as monitor:
        for node, bitmaps in all_bitmaps(monitor).items():
            for bitmap in bitmaps:
                named = _names.parse_bitmap(bitmap["name"])
                if named is not None and named[0] in runs:
                    remove_bitmap(monitor, node, bitmap["name"])
