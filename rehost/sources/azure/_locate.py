"""From a spec's locator to the id of the one machine that it means."""

from __future__ import annotations

import difflib

from rehost.sources._errors import LocatorInvalid, ServerNotFound
from rehost.sources._protocol import Locator
from rehost.sources.azure import _inventory
from rehost.sources.azure._client import Client
from rehost.sources.azure._names import ResourceId, same

_SHOWN = 10
_TYPE = "Microsoft.Compute/virtualMachines"


def locate(client: Client, locator: Locator) -> str:
    """The id. Whether the machine is there shows when it is asked for. Raises LocatorInvalid, ServerNotFound."""
    keys = set(locator)
    if keys not in ({"name"}, {"name", "resourceGroup"}, {"id"}):
        raise LocatorInvalid(
            locator=dict(locator), reason="give `name`, with `resourceGroup` where it is not unique, or `id`"
        )
    if not all(isinstance(each, str) and each for each in locator.values()):
        raise LocatorInvalid(locator=dict(locator), reason="its values are texts that are not empty")
    if "id" in locator:
        return _by_id(client, str(locator["id"]))
    name = str(locator["name"])
    if "/" in name or "/" in str(locator.get("resourceGroup", "")):
        raise LocatorInvalid(locator=dict(locator), reason="a name has no slash; `id` is the key for an id")
    if "resourceGroup" in locator:
        start = f"/subscriptions/{client.config.subscription}/resourceGroups/{locator['resourceGroup']}"
        return f"{start}/providers/{_TYPE}/{name}"
    return _by_name(client, name)


def _by_id(client: Client, text: str) -> str:
    parsed = ResourceId.parse(text)
    if parsed is None or not same(parsed.type, _TYPE):
        reason = f"an id is /subscriptions/ID/resourceGroups/GROUP/providers/{_TYPE}/NAME"
        raise LocatorInvalid(locator={"id": text}, reason=reason)
    if not same(parsed.subscription, client.config.subscription):
        raise LocatorInvalid(locator={"id": text}, reason=f"it is not of {client.config.place}, which the source names")
    return text


def _by_name(client: Client, name: str) -> str:
    found = _called(client, name)
    if not found:
        client.forget("names")  # what was listed a moment ago may be too old
        found = _called(client, name)
    if len(found) > 1:
        groups = ", ".join(_inventory.group_of(each) for each in found[:_SHOWN])
        reason = f"{len(found)} machines have this name, in the resource groups {groups}; give `resourceGroup`"
        raise LocatorInvalid(locator={"name": name}, reason=reason)
    if not found:
        raise not_found(client, name)
    return found[0]


def _called(client: Client, name: str) -> list[str]:
    return [each for each in _inventory.names(client) if same(each.rpartition("/")[2], name)]


def not_found(client: Client, name: str) -> ServerNotFound:
    known = [each.rpartition("/")[2] for each in _inventory.names(client)]
    near = difflib.get_close_matches(name, known, n=3)
    hint = f"did you mean {' or '.join(near)}?" if near else "`rehost discover` lists what the account can see"
    return ServerNotFound(name=name, place=client.config.place, hint=hint)
