"""Which changes of a job cost a full copy, said in words that a preview shows. Pure but for the one question about keys."""

from __future__ import annotations

from collections.abc import Callable

from providers._provider import Props

NO = "no"
FIRST = "yes, the first one"


def full_copy(olds: Props, news: Props, *, same_key: Callable[[str | None, str | None], bool]) -> str:
    """Whether the next run copies everything, and because of what. `olds` is empty for a job that is new.

    `same_key` says whether two keys, each by id, alias or ARN, or None for the account's default one, are the same key.
    """
    if not olds:
        return FIRST
    reasons = [*_elsewhere(olds, news), *_encryption(olds, news, same_key)]
    if reasons:
        return f"yes, because {' and '.join(reasons)}"
    if olds.get("source") != news.get("source"):
        return f"no, but {news['sourceName']} changes: the next run reads the whole disks and sends what differs"
    return NO


def _elsewhere(olds: Props, news: Props) -> list[str]:
    reasons = [f"{key} changes" for key in ("sourceName", "locator") if olds.get(key) != news.get(key)]
    if olds.get("region") != news.get("region"):
        reasons.append(
            f"region changes from {olds.get('region')} to {news.get('region')}, and snapshots stay where they are"
        )
    return reasons


def _encryption(olds: Props, news: Props, same_key: Callable[[str | None, str | None], bool]) -> list[str]:
    """A snapshot has its parent's encryption and key (EBS direct, StartSnapshot), so another one begins anew."""
    before, after = olds.get("image", {}), news.get("image", {})
    was, will = bool(before.get("encrypt")), bool(after.get("encrypt"))
    if was != will:
        return [f"image.encrypt is turned {'on' if will else 'off'}"]
    old, new = before.get("kmsKey"), after.get("kmsKey")
    if will and old != new and not same_key(old, new):
        default = "the account's default key"
        return [f"image.kmsKey changes from {old or default} to {new or default}"]
    return []
