"""What a provider process knows of its stack: settings from the stack's configuration, and one connection each."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from rehost.aws import Aws, AwsError, AwsSettings, Problem
from rehost.connector import (
    DEFAULT_DATABASE,
    ImageSettings,
    absolute_database,
    disk_problems,
    ensure_connector,
    image_problems,
    is_embedded,
    resolve_from_aws,
    state_folder,
)
from rehost.control import ControlPlane
from rehost.preflight import Facts, Surroundings, standings


@dataclass(frozen=True)
class StackSettings:
    root: Path  # the Pulumi project's folder: the engine starts the provider process in it
    database: str
    region: str | None
    profile: str | None
    endpoint: str | None

    @classmethod
    def read(cls, get: Callable[[str], str | None]) -> StackSettings:
        root = Path.cwd()
        database = get("database") or DEFAULT_DATABASE
        return cls(root, absolute_database(database, root), get("region"), get("profile"), get("endpoint"))


class Stack:
    """Connections of this process, made when first used. Thread-safe: the engine calls on up to four threads."""

    def __init__(self, settings: StackSettings) -> None:
        self.settings = settings
        self._lock = threading.Lock()
        self._image_problems: dict[str, list[Problem]] = {}
        self._surroundings: Surroundings | None = None

    @property
    def embedded(self) -> bool:
        return is_embedded(self.settings.database)

    @cached_property
    def control(self) -> ControlPlane:
        return ControlPlane.open(self.settings.database)

    @cached_property
    def aws_settings(self) -> AwsSettings:
        return AwsSettings(region=self.settings.region, profile=self.settings.profile, endpoint=self.settings.endpoint)

    @cached_property
    def aws(self) -> Aws:
        return Aws(self.aws_settings)

    @cached_property
    def access_problem(self) -> str | None:
        """What is wrong with the credentials or the endpoint, in one line; asked once, however many resources there are."""
        try:
            self.aws.check_access()
        except AwsError as error:
            return str(error)
        return None

    def image_problems(self, image: Mapping[str, Any], sizes: Sequence[int]) -> list[Problem]:
        """What would keep an image from being made. Asked once for each settings, however many servers have them.

        Raises AwsError.
        """
        settings = ImageSettings(image)
        asked = json.dumps(dict(image), sort_keys=True)
        with self._lock:
            known = self._image_problems.get(asked)
        if known is None:
            known = image_problems(self.aws, settings)
            with self._lock:
                self._image_problems[asked] = known
        return known + disk_problems(settings, sizes)

    def surroundings(self, stack: str) -> Surroundings:
        """What the preflights of all applications share: what was asked for one is known for the others."""
        with self._lock:
            if self._surroundings is None:
                sizes = {
                    each.job.spec.server: [disk.size for disk in each.disks]
                    for each in self.control.status(stack=stack)
                    if each.disks
                }
                self._surroundings = Surroundings(Facts(self.aws), stack, self.control.now(), sizes=sizes)
            known = self._surroundings
        return replace(known, now=self.control.now(), standings=standings(self.control, stack))

    def is_same_key(self, one: str | None, other: str | None) -> bool:
        """Whether two keys by id, alias or ARN are one; None is the account's default one. A key that is gone is no other's."""
        try:
            default = self.aws.preflight.encryption()[1] if None in (one, other) else ""
            return self.aws.preflight.key_arn(one or default) == self.aws.preflight.key_arn(other or default)
        except AwsError:
            return False

    def job_aws(self) -> dict[str, str]:
        """What a job carries of these settings to its connector.

        A profile is a name on this machine: a connector elsewhere has its own, so only an embedded one is told.
        """
        settings = self.settings
        known = {"region": self.aws.region, "endpoint": settings.endpoint}
        if self.embedded:
            known["profile"] = settings.profile
        return {name: value for name, value in known.items() if value}

    def ensure_connector(self, source: str) -> None:
        """With an embedded control plane: make sure that a connector is live for `source`."""
        if self.embedded:
            with self._lock:
                ensure_connector(
                    self.settings.database,
                    state=state_folder(self.settings.database, self.settings.root),
                    base=self.settings.root,
                    control=self.control,
                    source=source,
                )


_stack: Stack | None = None
_configured = threading.Lock()


def configure(get: Callable[[str], str | None]) -> None:
    """Take the stack's settings; called by each provider class of the process, with the same settings."""
    global _stack
    with _configured:
        settings = StackSettings.read(get)
        if _stack is None or _stack.settings != settings:
            _stack = Stack(settings)
            resolve_from_aws(_stack.aws_settings)


def stack() -> Stack:
    assert _stack is not None, "the engine configures a provider before it calls it"  # noqa: S101
    return _stack
