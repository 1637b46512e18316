"""What of an image can be asked before a byte moves: the role, the keys, and what an import does not take.

The same questions are put by `pulumi preview`, where the machine that runs it can ask AWS, and at the start of each run.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import structlog

from rehost.aws import AccessDenied, Aws, AwsError, Problem
from rehost.connector._errors import ImageImpossible
from rehost.connector._image_settings import ImageSettings
from rehost.limits import IMPORT_BYTES, IMPORT_DISKS, VOLUME_BYTES

log = structlog.get_logger("rehost.connector")


def image_problems(aws: Aws, settings: ImageSettings, sizes: Sequence[int] | None = None) -> list[Problem]:
    """Everything that would keep an image from being made or spread; `sizes` are those of the disks in bytes, once known.

    Raises AwsError for what says nothing of the settings: AWS is away, or the credentials may not ask.
    """
    problems = disk_problems(settings, sizes or ())
    if settings.is_import:
        problems += _asked("image.role", lambda: aws.preflight.check_role(settings.role))
    if settings.encrypt:
        problems += _key_problems(aws, settings, settings.kms_key, "image.kmsKey")
        for region, key in settings.copies.items():
            there = aws.in_region(region)
            problems += _key_problems(there, settings, key, f"image.copies.{region}.kmsKey")
    return problems


def require_possible(aws: Aws, settings: ImageSettings, sizes: Sequence[int] | None = None) -> None:
    """Raise `ImageImpossible` with everything that is wrong at once, or AwsError."""
    problems = image_problems(aws, settings, sizes)
    if problems:
        raise ImageImpossible(problems="; ".join(f"{each.field}: {each.message}" for each in problems))


def _key_problems(aws: Aws, settings: ImageSettings, key: str | None, field: str) -> list[Problem]:
    if key is None:
        return []

    def ask() -> None:
        if aws.preflight.key(key).is_managed_by_aws and settings.accounts:
            raise ImageImpossible(
                problems=f"{key} is a key of AWS's own, which cannot be shared; make one and name it, or leave shareWith out"
            )

    return _asked(field, ask)


def disk_problems(settings: ImageSettings, sizes: Sequence[int]) -> list[Problem]:
    """What of the disks (bytes each, the root first) cannot become an image so. Asks nobody."""
    problems = []
    if settings.is_import and len(sizes) > IMPORT_DISKS:
        message = f"the server has {len(sizes)} disks; VM import takes at most {IMPORT_DISKS}, use conversion: register"
        problems.append(Problem("image.conversion", message))
    limit, what = (IMPORT_BYTES, "VM import takes") if settings.is_import else (VOLUME_BYTES, "an EBS volume has")
    for number, size in enumerate(sizes):
        if size > limit:
            hint = "; use conversion: register" if settings.is_import and size <= VOLUME_BYTES else ""
            message = f"disk {number} has {size >> 40} TiB; {what} at most {limit >> 40} TiB{hint}"
            problems.append(Problem("image.conversion", message))
    return problems


def _asked(field: str, question: Callable[[], object]) -> list[Problem]:
    try:
        question()
    except ImageImpossible as impossible:
        return [Problem(field, impossible.problems)]
    except AccessDenied as denied:
        # Whoever may not ask may be allowed to do; if not, the run says so in AWS's words.
        log.info("preflight could not ask", field=field, reason=str(denied))
    except AwsError as error:
        if error.retryable:
            raise
        return [Problem(field, str(error))]
    return []
