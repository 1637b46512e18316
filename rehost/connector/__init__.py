"""The worker near a source: claims due runs and carries each through to an image, as one durable DBOS workflow."""

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
from rehost.connector._image_settings import ImageSettings
from rehost.connector._launcher import ensure_connector, is_served
from rehost.connector._patience import Patience
from rehost.connector._preflight import disk_problems, image_problems
from rehost.connector._retention import remove_job, retire_images
from rehost.connector._settings import (
    DEFAULT_DATABASE,
    ConnectorSettings,
    absolute_database,
    database_path,
    is_embedded,
    state_folder,
)
from rehost.connector._spreading import settle
from rehost.connector._verify import VerifiedDisk, VerifiedServer, verify_run

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
    "ensure_connector",
    "image_problems",
    "is_embedded",
    "is_served",
    "remove_job",
    "retire_images",
    "settle",
    "state_folder",
    "verify_run",
]
