"""The price table: which figures, of which date, for which region."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.resources import files
from typing import Any

import yaml

from rehost.plan._errors import PricesWrong

MAX_BYTES = 1 << 20
_KEYS = {"date", "currency", "hoursPerMonth", "regions", "otherRegions"}
_REGION_KEYS = {"putSnapshotBlockPerThousand", "snapshotPerGbMonth", "volumePerGbMonth", "instancePerHour"}
_DEFAULT = "prices.yaml"


@dataclass(frozen=True)
class RegionPrices:
    """None: the table has no such price."""

    put_per_thousand: float | None = None
    snapshot_gb_month: float | None = None
    volume_gb_month: Mapping[str, float] = field(default_factory=dict)
    instance_hour: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Prices:
    date: str
    currency: str
    hours_per_month: float
    regions: Mapping[str, RegionPrices]
    other: str | None = None
    file: str = _DEFAULT

    def of(self, region: str | None) -> tuple[str | None, RegionPrices]:
        """The region whose prices hold for `region`, and them; None and no prices where there are none."""
        name = region if region in self.regions else self.other
        return (name, self.regions[name]) if name is not None else (None, RegionPrices())


def read_prices(content: bytes | None = None, name: str = _DEFAULT) -> Prices:
    """The table in `content`, without it the one that comes with rehost. Raises PricesWrong."""
    if content is None:
        content = files("rehost.plan").joinpath(_DEFAULT).read_bytes()
    if len(content) > MAX_BYTES:
        raise PricesWrong(file=name, where="the file", reason=f"it is larger than {MAX_BYTES} bytes")
    try:
        data = yaml.load(content, Loader=_NoAliases)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise PricesWrong(
            file=name, where="the file", reason=f"it is not YAML: {' '.join(str(error).split())}"
        ) from None
    top = _mapping(data, "the file", name, _KEYS)
    regions = {
        str(region): _region(each, f"regions.{region}", name)
        for region, each in _mapping(top.get("regions", {}), "regions", name).items()
    }
    if not regions:
        raise PricesWrong(file=name, where="regions", reason="it names no region")
    other = top.get("otherRegions")
    if other is not None and other not in regions:
        raise PricesWrong(file=name, where="otherRegions", reason=f"there is no region {other!r} in the table")
    for key in ("date", "currency"):
        if not isinstance(top.get(key), str) or not top[key].strip():
            raise PricesWrong(file=name, where=key, reason="it is missing, or is not text (dates need quotes)")
    hours = _price(top.get("hoursPerMonth", 730), "hoursPerMonth", name)
    return Prices(top["date"], top["currency"], hours, regions, other, name)


class _NoAliases(yaml.SafeLoader):
    """An alias can make a file of a page into gigabytes."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            message = "aliases are not taken"
            raise yaml.YAMLError(message)
        return super().compose_node(parent, index)


def _region(value: Any, where: str, file: str) -> RegionPrices:
    entry = _mapping(value, where, file, _REGION_KEYS)
    single = {
        key: _price(entry[key], f"{where}.{key}", file)
        for key in ("putSnapshotBlockPerThousand", "snapshotPerGbMonth")
        if key in entry
    }
    many = {
        key: {
            str(name): _price(each, f"{where}.{key}.{name}", file)
            for name, each in _mapping(entry.get(key, {}), f"{where}.{key}", file).items()
        }
        for key in ("volumePerGbMonth", "instancePerHour")
    }
    return RegionPrices(
        single.get("putSnapshotBlockPerThousand"),
        single.get("snapshotPerGbMonth"),
        many["volumePerGbMonth"],
        many["instancePerHour"],
    )


def _mapping(value: Any, where: str, file: str, keys: set[str] | None = None) -> Mapping[Any, Any]:
    if not isinstance(value, dict):
        raise PricesWrong(file=file, where=where, reason="it is not a mapping")
    unknown = sorted(map(str, set(value) - keys)) if keys is not None else []
    if unknown:
        raise PricesWrong(
            file=file, where=where, reason=f"unknown key {unknown[0]!r}; it can have {', '.join(sorted(keys or ()))}"
        )
    return value


def _price(value: Any, where: str, file: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or value < 0:
        raise PricesWrong(file=file, where=where, reason=f"{value!r} is no price: a number, zero or more")
    return float(value)
