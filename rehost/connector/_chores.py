"""What a connector does beside runs: delivers notifications, looks at its sources for the catalog, carries power requests out,
prunes the history.

A thread each: a receiver that does not answer must not hold up a catalog, nor any of them a run.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import asdict

import structlog

from rehost import secrets
from rehost.aws import Aws, AwsSettings
from rehost.connector._power import PowerDuty
from rehost.connector._settings import ConnectorSettings
from rehost.connector._webhook import post
from rehost.control import ControlError, ControlPlane, Delivery
from rehost.errors import RehostError
from rehost.sources import open_source

log = structlog.get_logger("rehost.connector")

POLL_SECONDS = 1.0
PRUNE_SECONDS = 3600.0
STOP_SECONDS = 5.0  # how long the end of a connector waits for a delivery under way; it is at least once anyway


class Chores:
    def __init__(self, connector_id: str, control: ControlPlane, settings: ConnectorSettings) -> None:
        self._id, self._control, self._settings = connector_id, control, settings
        self._stop = threading.Event()
        self._pruned = time.monotonic()
        self._busy: set[str] = set()
        self._power = PowerDuty(connector_id, control, settings)
        self._threads = [
            threading.Thread(target=self._repeat, args=(name, chore), name=name, daemon=True)
            for name, chore in (
                ("notifications", self._deliver),
                ("catalog", self._look),
                ("power", self._power.look),
            )
        ]

    @property
    def busy(self) -> bool:
        return bool(self._busy) or self._power.busy

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(STOP_SECONDS)
        self._power.stop()

    def _repeat(self, name: str, chore: Callable[[], bool]) -> None:
        while not self._stop.is_set():
            try:
                self._busy.add(name)
                while chore() and not self._stop.is_set():
                    pass
            except ControlError as error:
                if not error.retryable:
                    log.error("a chore of the connector has ended", chore=name, error=str(error))
                    return
                log.warning("the control plane cannot be reached; trying again", chore=name, error=str(error))
            finally:
                self._busy.discard(name)
            self._stop.wait(POLL_SECONDS)

    def _deliver(self) -> bool:
        """Send what is due; whether there was anything."""
        taken = self._control.outbox.take(self._settings.sources)
        for delivery in taken:
            try:
                send(delivery)
            except RehostError as error:
                again = self._control.outbox.failed(delivery, str(error))
                log.warning("a notification was not delivered", id=delivery.id, error=str(error), again=again)
            else:
                self._control.outbox.delivered(delivery)
        if time.monotonic() - self._pruned > PRUNE_SECONDS:
            self._pruned = time.monotonic()
            log.info("history pruned", runs=self._control.prune())
        return bool(taken)

    def _look(self) -> bool:
        """Discover the servers of a source whose catalog was asked for; whether there was one."""
        taken = self._control.catalogs.take(self._id, self._settings.sources)
        if taken is None:
            return False
        name, config = taken
        try:
            source = open_source(config, base=self._settings.base)
            try:
                found = [
                    {
                        "name": server.name,
                        "locator": dict(server.locator),
                        "disks": [asdict(disk) for disk in server.disks],
                        "facts": dict(server.facts),
                    }
                    for server in source.discover()
                ]
            finally:
                source.close()
        except RehostError as error:
            log.warning("discovery failed", source=name, error=str(error))
            self._control.catalogs.failed(name, self._id, str(error))
        else:
            self._control.catalogs.put(name, self._id, found)
            log.info("catalog refreshed", source=name, servers=len(found))
        return True


def send(delivery: Delivery) -> None:
    """To the channel's topic and its webhook. Raises RehostError; a retry sends it again to both."""
    channel, aws = delivery.channel, delivery.aws
    if topic := channel.get("topic"):
        settings = AwsSettings(aws.get("region"), aws.get("profile"), aws.get("endpoint"))
        Aws(settings).notify.publish(topic, delivery.message)
    if webhook := channel.get("webhook"):
        secret = secrets.resolve(webhook["secret"]) if webhook.get("secret") else None
        url = str(webhook["url"]) if "url" in webhook else secrets.resolve(webhook["urlFrom"])
        post(url, delivery.message, secret)
