"""Whether images can be made as the spec says: the role of VM import, the keys, and the disks where they are known."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from rehost.aws import AccessDenied, AwsError
from rehost.connector import ImageSettings
from rehost.limits import IMPORT_BYTES, IMPORT_DISKS, VOLUME_BYTES
from rehost.preflight._facts import Facts
from rehost.preflight._finding import Raw
from rehost.preflight._plan import ApplicationPlan, ServerPlan

TIB = 1 << 40


def import_roles(plan: ApplicationPlan, facts: Facts) -> Iterator[Raw]:
    for server in plan.servers:
        settings = ImageSettings(server.image)
        problem = facts.role_problem(settings.role) if settings.is_import else None
        if problem:
            yield Raw("import-role", problem, server.name)


def keys(plan: ApplicationPlan, facts: Facts) -> Iterator[Raw]:
    for server in plan.servers:
        settings = ImageSettings(server.image)
        if settings.encrypt:
            named = [(None, settings.kms_key), *settings.copies.items()]
            for region, key in named:
                if key is not None:
                    yield from _key(server, settings, region, key, facts)


def _key(server: ServerPlan, settings: ImageSettings, region: str | None, key: str, facts: Facts) -> Iterator[Raw]:
    try:
        found = facts.key(region, key)
    except AccessDenied:
        raise
    except AwsError as error:
        if error.retryable:
            raise
        yield Raw("kms-key", str(error), server.name)
        return
    if found.is_managed_by_aws and settings.accounts:
        yield Raw(
            "kms-key-shared", f"{key} is a key of AWS's own, which {settings.accounts[0]} cannot use", server.name
        )
    if not facts.may_encrypt(region, key):
        yield Raw("kms-key-denied", f"these credentials may not make data keys under the KMS key {key}", server.name)


def disks(plan: ApplicationPlan, sizes: Mapping[str, Sequence[int]]) -> Iterator[Raw]:
    """`sizes`: bytes of each disk, by server, as far as they are known."""
    for server in plan.servers:
        known, is_import = sizes.get(server.name, ()), ImageSettings(server.image).is_import
        if is_import and len(known) > IMPORT_DISKS:
            message = f"it has {len(known)} disks, and VM import takes {IMPORT_DISKS}"
            yield Raw("too-many-disks", message, server.name, "error")
        for number, size in enumerate(known):
            told = f"disk {number} has {size / TIB:.1f} TiB"
            if size > VOLUME_BYTES:
                yield Raw("disk-too-large", f"{told}; an EBS volume has at most {VOLUME_BYTES // TIB}", server.name)
            elif is_import and size > IMPORT_BYTES:
                message = f"{told}; VM import takes at most {IMPORT_BYTES // TIB}"
                yield Raw("disk-too-large-for-import", message, server.name, "error")
