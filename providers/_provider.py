"""What the four providers share: configuration, properties as Pulumi hands them over, and errors said for a person."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

from pulumi.dynamic import CheckFailure, ConfigureRequest, DiffResult, ResourceProvider
from pulumi.runtime import rpc

from providers import _engine, _stack
from rehost.errors import RehostError

Props = dict[str, Any]
T = TypeVar("T")

#: The key under which Pulumi keeps the pickled provider in the properties.
PROVIDER_KEY = "__provider"


class RehostProvider(ResourceProvider):
    """Base of all: no fields, so that it is pickled by reference."""

    # Without it the engine encrypts `__provider` for each resource: slower, and a larger state (pulumi #15864).
    serialize_as_secret_always = False

    def configure(self, req: ConfigureRequest) -> None:
        _engine.end_with_engine()
        _stack.configure(req.config.get)


def plain(value: Any) -> Any:
    """Properties as the program gave them: Pulumi's wire format makes every number a float and drops nulls."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, Mapping):
        return {key: plain(entry) for key, entry in value.items() if key != PROVIDER_KEY}
    if isinstance(value, list | tuple):
        return [plain(entry) for entry in value]
    return value


def is_known(value: Any) -> bool:
    """Whether a preview knows the value already."""
    return bool(value != rpc.UNKNOWN)


def changed(olds: Props, news: Props, keys: Iterable[str]) -> list[str]:
    """Which of the keys differ; a value not known yet counts as changed."""
    olds, news = plain(olds), plain(news)
    return [key for key in keys if olds.get(key) != news.get(key)]


def diff(olds: Props, news: Props, *, replaces: Iterable[str], updates: Iterable[str]) -> DiffResult:
    """A DiffResult from the two lists of inputs. A replaced resource goes before its successor comes."""
    replaced = changed(olds, news, replaces)
    updated = changed(olds, news, updates)
    return DiffResult(changes=bool(replaced or updated), replaces=replaced, delete_before_replace=bool(replaced))


def failure(prop: str, problem: object) -> CheckFailure:
    return CheckFailure(prop, str(problem))


def said_plainly(what: str, call: Callable[[], T]) -> T:
    """Run `call`; an error that is ours ends in one line that names the resource.

    Pulumi prints a traceback before it: nothing can be done about that, but `from None` keeps it to this frame.
    """
    try:
        return call()
    except RehostError as error:
        raise ProviderError(detail=f"{what}: {error}") from None


class ProviderError(RehostError):
    """What the user reads as the last line of a failed create, update or delete."""
