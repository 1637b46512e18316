"""The worker near a source: claims due runs and carries each through to an image, as one durable DBOS workflow."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rehost.late import names_of

if TYPE_CHECKING:
    from rehost.connector._aws_secrets import resolve_from_aws
    from rehost.connector._databases import (
        DEFAULT_DATABASE,
        absolute_database,
        database_path,
        is_embedded,
        state_folder,
    )
    from rehost.connector._errors import (
        ConnectorError,
        ConnectorNotStarted,
        CopyIncomplete,
        ImageImpossible,
        ImportFailed,
        NothingToVerify,
        RunCancelled,
        RunStillActive,
    )
    from rehost.connector._forgetting import forget_base
    from rehost.connector._image_settings import ImageSettings
    from rehost.connector._launcher import ensure_connector, is_served
    from rehost.connector._patience import Patience
    from rehost.connector._preflight import disk_problems, image_problems
    from rehost.connector._retention import end_replication, remove_job, retire_images
    from rehost.connector._settings import ConnectorSettings
    from rehost.connector._spreading import settle
    from rehost.connector._verify import VerifiedDisk, VerifiedServer, verify_run

#: By module. They are imported when first used.
_HOMES = {
    "_aws_secrets": ("resolve_from_aws",),
    "_errors": (
        "ConnectorError",
        "ConnectorNotStarted",
        "CopyIncomplete",
        "ImageImpossible",
        "ImportFailed",
        "NothingToVerify",
        "RunCancelled",
        "RunStillActive",
    ),
    "_forgetting": ("forget_base",),
    "_image_settings": ("ImageSettings",),
    "_launcher": ("ensure_connector", "is_served"),
    "_patience": ("Patience",),
    "_preflight": ("disk_problems", "image_problems"),
    "_retention": ("end_replication", "remove_job", "retire_images"),
    "_databases": ("DEFAULT_DATABASE", "absolute_database", "database_path", "is_embedded", "state_folder"),
    "_settings": ("ConnectorSettings",),
    "_spreading": ("settle",),
    "_verify": ("VerifiedDisk", "VerifiedServer", "verify_run"),
}
__getattr__ = names_of(__name__, _HOMES)

__all__ = [
    "DEFAULT_DATABASE",
    "ConnectorError",
    "ConnectorNotStarted",
    "ConnectorSettings",
    "CopyIncomplete",
    "ImageImpossible",
    "ImageSettings",
    "ImportFailed",
    "NothingToVerify",
    "Patience",
    "RunCancelled",
    "RunStillActive",
    "VerifiedDisk",
    "VerifiedServer",
    "absolute_database",
    "database_path",
    "disk_problems",
    "end_replication",
    "ensure_connector",
    "forget_base",
    "image_problems",
    "is_embedded",
    "is_served",
    "remove_job",
    "resolve_from_aws",
    "retire_images",
    "settle",
    "state_folder",
    "verify_run",
]
