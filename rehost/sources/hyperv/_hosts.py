"""The hosts behind a spec's entry, and on which of them a machine is. Thread-safe.

A cluster moves its machines; so where one was found is remembered, and asked for again when it is no longer there.
"""

from __future__ import annotations

import difflib
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import structlog

from rehost.sources._errors import LocatorInvalid, ServerNotFound, SourceError, SourceUnavailable
from rehost.sources._protocol import Locator
from rehost.sources.hyperv._config import Catalog, HyperVConfig
from rehost.sources.hyperv._errors import MachineGone
from rehost.sources.hyperv._host import Host
from rehost.sources.hyperv._inventory import MachineRecord, record

log = structlog.get_logger("rehost.sources.hyperv")

T = TypeVar("T")

_REMEMBER = 30.0  # seconds; names of machines
_RIGHTS = "the account sees no machines that it has no rights to (Hyper-V Administrators)"


@dataclass(frozen=True)
class Known:
    id: str  # upper case
    name: str
    host: str


class Hosts:
    def __init__(self, config: HyperVConfig) -> None:
        self.config = config
        self._lock = threading.Lock()
        self._contact = Host(config, config.endpoint.host, config.endpoint)
        self._hosts: dict[str, Host] = {}
        self._about: dict[str, Any] = {}
        self._where: dict[str, str] = {}  # machine -> host
        self._known: Sequence[Known] = ()
        self._known_born = 0.0

    def machines(self) -> Iterator[MachineRecord]:
        """Every machine of every host. A node that is down has none; that nobody answers is an error."""
        for host in self._all():
            try:
                yield from self._records(host)
            except SourceUnavailable as error:
                if self.config.catalog is Catalog.HOST:
                    raise
                log.warning("a host does not answer; its machines are left out", host=host.name, reason=str(error))

    def machine(self, machine: str) -> MachineRecord:
        """One machine, wherever it is now. Raises ServerNotFound."""
        return self.on(machine, lambda host: self._one(host, machine))

    def locate(self, locator: Locator) -> str:
        """The machine's id. Raises LocatorInvalid, ServerNotFound."""
        given = [key for key in ("name", "uuid") if key in locator]
        if len(given) != 1 or set(locator) - {"name", "uuid", "host"}:
            raise LocatorInvalid(locator=dict(locator), reason="give `name` or `uuid`, and `host` if you like")
        if not all(isinstance(value, str) and value for value in locator.values()):
            raise LocatorInvalid(locator=dict(locator), reason="its values are texts that are not empty")
        wanted, host = str(locator[given[0]]), locator.get("host")
        fresh = time.monotonic() - self._known_born < _REMEMBER
        found = self._matching(given[0], wanted, host) if fresh else []
        if len(found) != 1:
            self._list()
            found = self._matching(given[0], wanted, host)
        if len(found) > 1:
            reason = f"{len(found)} machines have this name ({', '.join(f'{each.id} on {each.host}' for each in found[:5])}); give `uuid` or `host`"
            raise LocatorInvalid(locator=dict(locator), reason=reason)
        if not found:
            near = difflib.get_close_matches(wanted, [each.name for each in self._known], n=3)
            hint = f"did you mean {' or '.join(near)}?" if near else f"`rehost discover` lists what is there; {_RIGHTS}"
            raise ServerNotFound(name=wanted, place=self.config.place, hint=hint)
        return found[0].id

    def on(self, machine: str, what: Callable[[Host], T]) -> T:
        """`what(host)` on the host that the machine is on, and once more where it has moved. Raises ServerNotFound."""
        host = self._host_of(machine)
        try:
            return what(host)
        except (MachineGone, SourceUnavailable) as error:
            moved = self._moved(machine, host)
            if moved is None:
                if isinstance(error, MachineGone):
                    raise ServerNotFound(
                        name=machine, place=self.config.place, hint=f"it was deleted, or {_RIGHTS}"
                    ) from error
                raise
            log.info("a machine is on another host now", machine=machine, was=host.name, now=moved.name)
            return what(moved)

    def where(self, machine: str, *, again: bool = False) -> Host:
        """The host that it is on; with `again`, asked anew."""
        host = self._host_of(machine)
        return (self._moved(machine, host) or host) if again else host

    def about(self, host: Host) -> dict[str, Any]:
        """`host.ps1`, once a process: name, build, cluster, nodes."""
        key = str(host.endpoint)
        if key not in self._about:
            self._about[key] = host.run("host")
        return dict(self._about[key])

    def close(self) -> None:
        with self._lock:
            hosts = [self._contact, *self._hosts.values()]
            self._hosts = {}
        for host in hosts:
            host.close()

    def _all(self) -> list[Host]:
        catalog = self.config.catalog
        if catalog is Catalog.HOST:
            return [self._contact]
        if catalog is Catalog.CLUSTER:
            told = self._contact.run("host")
            names = [str(node["name"]) for node in told.get("nodes") or () if node.get("state") in ("Up", "Paused")]
            if not names:
                reason = "it is not a node of a failover cluster, or its cluster service is stopped; a single host is an `endpoint`"
                raise SourceUnavailable(place=self.config.place, reason=reason)
        else:
            told = self._contact.run("catalog")
            names = sorted(
                {
                    str(each["host"])
                    for each in told["machines"]
                    if each.get("platform") == "HyperV" and each.get("host")
                }
            )
        return [self._named(name) for name in names]

    def _named(self, name: str) -> Host:
        if self.config.catalog is Catalog.HOST:
            return self._contact
        with self._lock:
            return self._hosts.setdefault(name.lower(), Host(self.config, name, self.config.node(name)))

    def _records(self, host: Host, machine: str = "") -> list[MachineRecord]:
        about = self.about(host)
        told = host.run("machines", Id=machine) if machine else host.run("machines")
        return [
            record(
                each,
                host=str(about["name"]),
                cluster=str(about.get("cluster") or ""),
                build=int(about.get("build") or 0),
            )
            for each in told["machines"] or ()
        ]

    def _one(self, host: Host, machine: str) -> MachineRecord:
        found = self._records(host, machine)
        if not found:
            raise MachineGone(place=str(host.endpoint), machine=machine)
        return found[0]

    def _list(self) -> None:
        known: list[Known] = []
        failed: SourceError | None = None
        answered = False
        for host in self._all():
            try:
                told = host.run("list")
            except SourceUnavailable as error:
                failed = error
                continue
            answered = True
            known += [Known(str(each["id"]).upper(), str(each["name"]), host.name) for each in told["machines"] or ()]
        if failed is not None and not answered:
            raise failed
        self._known, self._known_born = known, time.monotonic()
        self._where.update({each.id: each.host for each in known})

    def _matching(self, key: str, wanted: str, host: object) -> list[Known]:
        def fits(each: Known) -> bool:
            here = host is None or str(host).lower().partition(".")[0] == each.host.lower().partition(".")[0]
            return here and (each.name == wanted if key == "name" else each.id == wanted.upper())

        return [each for each in self._known if fits(each)]

    def _host_of(self, machine: str) -> Host:
        if self.config.catalog is Catalog.HOST:
            return self._contact
        if machine not in self._where:
            self._list()
        if machine not in self._where:
            raise ServerNotFound(name=machine, place=self.config.place, hint=f"it was deleted, or {_RIGHTS}")
        return self._named(self._where[machine])

    def _moved(self, machine: str, host: Host) -> Host | None:
        """The host that it is on now, where that is another one."""
        if self.config.catalog is Catalog.HOST:
            return None
        try:
            if self.config.catalog is Catalog.CLUSTER:
                name = str(self._contact.run("owner", Id=machine).get("node") or "")
            else:
                told = self._contact.run("catalog")["machines"]
                name = next((str(each["host"]) for each in told if str(each["id"]).upper() == machine), "")
        except SourceUnavailable as error:
            log.warning("where a machine is cannot be asked", machine=machine, reason=str(error))
            return None
        if not name or name.lower() == host.name.lower():
            return None
        self._where[machine] = name
        return self._named(name)
