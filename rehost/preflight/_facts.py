"""The answers of AWS, each asked once whatever asks for it: a thousand servers cost as many calls as one."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Hashable
from typing import Any, TypeVar, cast

from rehost.aws import (
    AccessDenied,
    Aws,
    AwsError,
    InstanceTypeView,
    KeyView,
    LiveInstance,
    NotFound,
    Refused,
    SubnetView,
)

T = TypeVar("T")


class Facts:
    """Thread-safe. A question that may not be asked raises AccessDenied each time; one that fails is asked again."""

    def __init__(self, aws: Aws) -> None:
        self.aws = aws
        self._lock = threading.Lock()
        self._asking: dict[Hashable, threading.Lock] = {}
        self._known: dict[Hashable, Any] = {}

    def subnets(self) -> dict[str, SubnetView]:
        return self._once("subnets", self.aws.account.subnets)

    def security_groups(self) -> dict[str, str]:
        return self._once("security groups", self.aws.account.security_groups)

    def key_pairs(self) -> frozenset[str]:
        return self._once("key pairs", self.aws.account.key_pairs)

    def live_instances(self) -> list[LiveInstance]:
        return self._once("instances", self.aws.account.live_instances)

    def volume_gib(self) -> dict[str, int]:
        return self._once("volumes", self.aws.account.volume_gib)

    def quotas(self, service: str) -> dict[str, float]:
        return self._once(("quotas", service), lambda: self.aws.account.quotas(service))

    def profile_roles(self, profile: str) -> int | None:
        return self._once(("profile", profile), lambda: self.aws.account.instance_profile_roles(profile))

    def instance_types(self, names: Collection[str]) -> dict[str, InstanceTypeView]:
        """Those that exist."""
        return self._of_each("type", names, self.aws.account.instance_types)

    def zones(self, names: Collection[str]) -> dict[str, frozenset[str]]:
        return self._of_each("zones", names, self.aws.account.zones)

    def key(self, region: str | None, key: str) -> KeyView:
        """Raises AwsError with what is wrong with it."""
        aws = self.aws.in_region(region) if region else self.aws
        return self._once_or_raise(("key", region, key), lambda: aws.preflight.key(key))

    def may_encrypt(self, region: str | None, key: str) -> bool:
        aws = self.aws.in_region(region) if region else self.aws
        return self._once(("may encrypt", region, key), lambda: aws.preflight.may_encrypt(key))

    def role_problem(self, role: str) -> str | None:
        def ask() -> str | None:
            try:
                self.aws.preflight.check_role(role)
            except (NotFound, Refused) as problem:
                return str(problem.message)
            return None

        return self._once(("role", role), ask)

    def _of_each(
        self, kind: str, names: Collection[str], ask: Callable[[Collection[str]], dict[str, T]]
    ) -> dict[str, T]:
        """What is known of the names; those that nobody asked about yet are asked about together."""
        with self._turn(kind):
            new = {name for name in names if (kind, name) not in self._known}
            if new:
                found = ask(new)
                for name in new:
                    self._known[kind, name] = found.get(name)
        known = {name: self._known[kind, name] for name in names}
        return {name: value for name, value in known.items() if value is not None}

    def _once(self, what: Hashable, ask: Callable[[], T]) -> T:
        with self._turn(what):
            if what not in self._known:
                try:
                    self._known[what] = ask()
                except AccessDenied as denied:
                    self._known[what] = denied
        known = self._known[what]
        if isinstance(known, AccessDenied):
            raise known
        return cast(T, known)

    def _once_or_raise(self, what: Hashable, ask: Callable[[], T]) -> T:
        """The same, where what is refused is an answer to be kept, too."""

        def kept() -> T | AwsError:
            try:
                return ask()
            except AccessDenied:
                raise
            except AwsError as error:
                if error.retryable:
                    raise
                return error

        answer = self._once(what, kept)
        if isinstance(answer, AwsError):
            raise answer
        return answer

    def _turn(self, what: Hashable) -> threading.Lock:
        with self._lock:
            return self._asking.setdefault(what, threading.Lock())
