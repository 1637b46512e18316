"""Which images go. Pure, so that its promises can be tested against every history."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from rehost.control._records import Image


def superseded(images: Iterable[Image], *, keep: int, protected: Collection[str]) -> list[Image]:
    """The images of one job that retention no longer keeps, oldest first.

    Kept are the newest `keep` (0 keeps all), and always the newest one and those in `protected`: pinned by a spec, or
    used by an instance. The order is that of the runs, not of the clocks.
    """
    standing = sorted(
        (image for image in images if image.deleted_at is None), key=lambda image: (image.number, image.run_id)
    )
    if keep == 0:
        return []
    return [image for image in standing[: -max(keep, 1)] if image.image_id not in protected]
