"""Concerns that machines of several platforms have, and what is done with all of them. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from rehost.limits import IMPORT_BYTES, IMPORT_DISKS, VOLUME_BYTES
from rehost.sources._errors import ServerUnsuitable
from rehost.sources._protocol import Concern, Severity

SECTOR = 512  # bytes; of every EBS volume

VTPM = Concern(
    "vtpm",
    Severity.WARNING,
    "it has a virtual TPM, whose keys stay behind: what is sealed with them (BitLocker) asks for its recovery key",
    "suspend BitLocker before the final run and have the recovery key at hand",
)
SECURE_BOOT = Concern(
    "secure-boot",
    Severity.INFO,
    "it boots by UEFI Secure Boot, and EC2 does not take over its keys",
    "turn it off in the image (`bootMode: uefi` alone starts without it), or give the AMI UEFI data of its own",
)
NO_DISKS = Concern("no-disks", Severity.ERROR, "it has no disks", "leave it out of the spec")


def too_many(disks: int) -> Iterator[Concern]:
    if disks > IMPORT_DISKS:
        yield Concern(
            "too-many-disks",
            Severity.WARNING,
            f"it has {disks} disks, and VM import takes {IMPORT_DISKS}",
            "set `image: {conversion: register}`, or let fewer disks move",
        )


def odd_size(name: str, size: int) -> Iterator[Concern]:
    if size % SECTOR:
        yield Concern("odd-size", Severity.ERROR, f"{name} is not a multiple of 512 bytes", "grow it to a whole MiB")


def too_large(name: str, size: int) -> Iterator[Concern]:
    if size > VOLUME_BYTES:
        yield Concern("disk-too-large", Severity.ERROR, f"{name} is above 64 TiB, the largest EBS volume", "split it")
    elif size > IMPORT_BYTES:
        yield Concern(
            "disk-too-large-for-import",
            Severity.WARNING,
            f"{name} is above 16 TiB, the most that VM import takes",
            "set `image: {conversion: register}`",
        )


def gravest_first(found: Iterable[Concern]) -> list[Concern]:
    return sorted(found, key=lambda each: list(Severity).index(each.severity))


def refuse(name: str, found: Sequence[Concern]) -> None:
    """Raise ServerUnsuitable, with all the errors among them, if there are any."""
    if grave := [each for each in found if each.severity is Severity.ERROR]:
        told = "; ".join(f"{each.message} [{each.id}]: {each.remedy}" for each in grave)
        raise ServerUnsuitable(name=name, problems=told)
