"""Launch configs that extend others: which one a value comes from, and what all of them say together."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from rehost.spec._extends import chain
from rehost.spec._merge import Merged

SECTION = "launchConfigs"


def home(spec: Merged, config: str, *keys: str) -> str | None:
    """The launch config whose value holds for `config`; None where none of them has one."""
    return next((each for each in chain(spec, SECTION, config) if spec.get(SECTION, each, *keys) is not None), None)


def text(spec: Merged, config: str, *keys: str) -> str | None:
    value = get(spec, config, *keys)
    return value if isinstance(value, str) else None


def get(spec: Merged, config: str, *keys: str) -> object:
    where = home(spec, config, *keys)
    return None if where is None else spec.get(SECTION, where, *keys)


def names(spec: Merged, config: str, *keys: str) -> list[str]:
    """The keys of a mapping, those of all levels."""
    return list(
        dict.fromkeys(
            name for each in reversed(chain(spec, SECTION, config)) for name in spec.names(SECTION, each, *keys)
        )
    )


def is_whole(spec: Merged, config: str) -> bool:
    """Whether all that it extends is known."""
    return SECTION not in spec.unsure and spec.text(SECTION, chain(spec, SECTION, config)[-1], "extends") is None


def in_use(spec: Merged) -> Iterator[str]:
    """Launch configs that a server has, or that none extends: what must be complete. The others are bases."""
    extended = {spec.text(SECTION, each, "extends") for each in spec.names(SECTION)}
    used = {spec.text("servers", server, "launchConfig") for server in spec.names("servers")}
    yield from (each for each in spec.names(SECTION) if each in used or each not in extended)


def entry(spec: Merged, config: str) -> dict[str, Any]:
    """All levels as one entry: mappings merged key by key, the nearest first; anything else replaced. Of a spec without errors."""
    found: dict[str, Any] = {}
    for each in reversed(chain(spec, SECTION, config)):
        values: Any = spec.entries[SECTION][each]
        for key, value in values.items():
            found[key] = _over(found.get(key), value) if key not in _WHOLE else value
    found.pop("extends", None)
    return found


#: Mappings that are one value: half of them from elsewhere would be another thing.
_WHOLE = frozenset({"userData", "configureScript", "launchTemplate"})


def _over(base: Any, value: Any) -> Any:
    if not (isinstance(base, Mapping) and isinstance(value, Mapping)):
        return value
    return {**base, **{key: _over(base.get(key), each) for key, each in value.items()}}
