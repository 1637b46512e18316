"""Which dirty bitmaps a disk keeps, and for how long.

Each freeze adds one that marks what is written from then on, so a run's changes are those of the bitmap of the run that
it builds on: nothing has to be merged back when a run fails, its own bitmap is simply one too many. Which run builds on
which is not known before the connector asks for changes; then the bitmap's name says so, and what has become useless
goes: the bitmap of a run two back, and those of runs that built on the same one and came to nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rehost.sources._errors import ChangesUnknown
from rehost.sources._protocol import ChangePosition
from rehost.sources.qemu import _names
from rehost.sources.qemu._clear import all_bitmaps, remove_bitmap
from rehost.sources.qemu._disks import Disk
from rehost.sources.qemu._monitor import Monitor

#: At most so many of ours on a disk; first runs that fail one after the other leave one each.
MOST = 8


def make_room(monitor: Monitor, disk: Disk, run: str) -> None:
    """Before a freeze: remove what this very run left when it was interrupted, what is damaged, and the oldest beyond `MOST`."""
    known = _ours(monitor, disk.node)
    keep = []
    for name in sorted(known, key=_run_of):  # run names ascend in time
        if _run_of(name) == run or known[name].get("inconsistent"):
            remove_bitmap(monitor, disk.node, name)
        else:
            keep.append(name)
    for name in keep[: max(0, len(keep) - MOST + 1)]:
        remove_bitmap(monitor, disk.node, name)


def add_action(disk: Disk, run: str) -> dict[str, Any]:
    """The action of a transaction that begins to mark what is written from then on."""
    data = {"node": disk.node, "name": _names.bitmap(run), "persistent": disk.persistent}
    return {"type": "block-dirty-bitmap-add", "data": data}


def changes_since(monitor: Monitor, disk: Disk, run: str, since: ChangePosition) -> str:
    """A bitmap of what was written since the position `since` (and perhaps some more, after the point in time of `run`).

    It is temporary, and does not change any more, as a read-only export needs it. Raises ChangesUnknown.
    """
    parsed = _names.parse_position(since)
    if parsed is None:
        raise ChangesUnknown(disk=disk.key, reason="the position that was stored is not one of a QEMU disk")
    base, size = parsed
    if size != disk.size:
        raise ChangesUnknown(disk=disk.key, reason=f"its size went from {size} to {disk.size} bytes")
    known = _ours(monitor, disk.node)
    old = _named(known, base)
    if old is None:
        reason = f"its bitmap of run {base} is gone: QEMU was restarted and its format keeps none, or it was removed"
        raise ChangesUnknown(disk=disk.key, reason=reason)
    if known[old].get("inconsistent"):
        reason = f"its bitmap of run {base} is damaged: QEMU was killed while it ran"
        raise ChangesUnknown(disk=disk.key, reason=reason)
    if not known[old]["recording"]:
        reason = f"somebody has switched its bitmap of run {base} off"
        raise ChangesUnknown(disk=disk.key, reason=reason)
    temporary = _names.temporary_bitmap(run)
    remove_bitmap(monitor, disk.node, temporary)
    actions = [_add(disk, temporary, persistent=False, disabled=True), _merge(disk, old, temporary)]
    own = _named(known, run)
    if own == _names.bitmap(run):
        renamed = _names.bitmap(run, base)
        actions += [_add(disk, renamed, persistent=disk.persistent, disabled=False), _merge(disk, own, renamed)]
        actions += [{"type": "block-dirty-bitmap-remove", "data": {"node": disk.node, "name": own}}]
    monitor.execute("transaction", actions=actions)
    _forget_useless(monitor, disk, known, run, base)
    return temporary


def written_since(monitor: Monitor, disk: Disk, since: ChangePosition | None) -> bool | None:
    """Whether anything was written to the disk after the position `since`; None where its bitmap cannot tell."""
    parsed = _names.parse_position(since or "")
    if parsed is None:
        return None
    base, size = parsed
    if size != disk.size:
        return True
    known = _ours(monitor, disk.node)
    bitmap = known.get(_named(known, base) or "")
    if bitmap is None or bitmap.get("inconsistent") or not bitmap["recording"]:
        return None
    return bool(bitmap["count"])  # bytes


def _forget_useless(monitor: Monitor, disk: Disk, known: Mapping[str, Any], run: str, base: str) -> None:
    parents = {parsed[0]: parsed[1] for name in known if (parsed := _names.parse_bitmap(name)) is not None}
    grandparent = parents.get(base)
    for name in known:
        of = _run_of(name)
        if of not in (run, base) and (of == grandparent or parents.get(of) == base):
            remove_bitmap(monitor, disk.node, name)


def _ours(monitor: Monitor, node: str) -> dict[str, dict[str, Any]]:
    found: Sequence[dict[str, Any]] = all_bitmaps(monitor).get(node, [])
    return {each["name"]: each for each in found if _names.parse_bitmap(each["name"]) is not None}


def _run_of(name: str) -> str:
    parsed = _names.parse_bitmap(name)
    return parsed[0] if parsed else ""


def _named(known: Mapping[str, Any], run: str) -> str | None:
    return next((name for name in known if _run_of(name) == run), None)


def _add(disk: Disk, name: str, *, persistent: bool, disabled: bool) -> dict[str, Any]:
    data = {"node": disk.node, "name": name, "persistent": persistent, "disabled": disabled}
    return {"type": "block-dirty-bitmap-add", "data": data}


def _merge(disk: Disk, source: str, target: str) -> dict[str, Any]:
    return {
        "type": "block-dirty-bitmap-merge",
        "data": {"node": disk.node, "target": target, "bitmaps": [source]},
    }
