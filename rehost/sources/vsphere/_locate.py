"""From a spec's locator to the one machine it means."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from urllib.parse import unquote

from pyVmomi import vim

from rehost.sources._errors import LocatorInvalid, ServerNotFound
from rehost.sources._protocol import Locator
from rehost.sources.vsphere._client import Client
from rehost.sources.vsphere._errors import ObjectGone
from rehost.sources.vsphere._inventory import names, retrieve

KEYS = ("name", "uuid", "moref", "path")
_SHOWN = 10


def locate(client: Client, locator: Locator) -> str:
    """The machine's moref. Raises LocatorInvalid, ServerNotFound."""
    given = [key for key in KEYS if key in locator]
    if len(given) != 1 or len(locator) != 1:
        raise LocatorInvalid(locator=dict(locator), reason=f"give one of {', '.join(KEYS)}")
    key = given[0]
    value = locator[key]
    if not isinstance(value, str) or not value:
        raise LocatorInvalid(locator=dict(locator), reason=f"`{key}` is a text that is not empty")
    finders = {"name": _by_name, "uuid": _by_uuid, "moref": _by_moref, "path": _by_path}
    return finders[key](client, value)


def _by_name(client: Client, name: str) -> str:
    known = client.remembered_names or names(client)
    found = _called(known, name)
    if client.remembered_names and (len(found) != 1 or not _still(client, found[0], name)):
        # What was listed a moment ago serves a preview of many servers, as long as it is right for this one.
        known = names(client)
        found = _called(known, name)
    client.remember_names(known)
    if len(found) > 1:
        reason = f"{len(found)} machines have this name ({', '.join(found[:_SHOWN])}); give `path`, `uuid` or `moref`"
        raise LocatorInvalid(locator={"name": name}, reason=reason)
    if not found:
        near = difflib.get_close_matches(name, [each for _, each in known], n=3)
        hint = f"did you mean {' or '.join(near)}?" if near else "`rehost discover` lists what the user can see"
        raise ServerNotFound(name=name, place=client.config.place, hint=hint)
    return found[0]


def _called(known: Sequence[tuple[str, str]], name: str) -> list[str]:
    return [moref for moref, each in known if name in (each, unquote(each))]


def _still(client: Client, moref: str, name: str) -> bool:
    try:
        now = retrieve(client, client.managed(vim.VirtualMachine, moref), ["name"]).get("name")
    except ObjectGone:
        return False
    return name in (now, unquote(str(now)))


def _by_uuid(client: Client, uuid: str) -> str:
    index = client.content.searchIndex
    for instance in (True, False):
        found = client.call(
            lambda instance=instance: index.FindAllByUuid(None, uuid, True, instance),  # type: ignore[misc]
            "looking for a machine",
        )
        if len(found or ()) > 1:
            reason = f"{len(found)} machines have this BIOS UUID; give the instance UUID, which is unique"
            raise LocatorInvalid(locator={"uuid": uuid}, reason=reason)
        if found:
            return str(found[0]._moId)
    raise ServerNotFound(name=uuid, place=client.config.place, hint="`rehost discover --json` lists the UUIDs")


def _by_moref(client: Client, moref: str) -> str:
    try:
        retrieve(client, client.managed(vim.VirtualMachine, moref), ["name"])
    except ObjectGone:
        hint = "morefs change when a machine is registered again; `name` or `uuid` does not"
        raise ServerNotFound(name=moref, place=client.config.place, hint=hint) from None
    return moref


def _by_path(client: Client, path: str) -> str:
    index = client.content.searchIndex
    found = client.call(lambda: index.FindByInventoryPath(path.strip("/")), "looking for a machine")
    if not isinstance(found, vim.VirtualMachine):
        hint = "a path is /DATACENTER/vm/FOLDER/NAME; `rehost discover --json` lists them"
        raise ServerNotFound(name=path, place=client.config.place, hint=hint)
    return str(found._moId)
