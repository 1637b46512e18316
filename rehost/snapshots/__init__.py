"""Snapshots made and read without a spec or a database: one image file up, one snapshot down into a file."""

from rehost.snapshots._errors import FileInTheWay, ParentUnsuitable, SnapshotsError, SnapshotUnsuitable
from rehost.snapshots._manifests import ManifestFolder, default_folder
from rehost.snapshots._restore import RestoreProgress, restore_snapshot
from rehost.snapshots._upload import UploadRequest, upload_image
from rehost.snapshots._verify import verify_snapshot_of

__all__ = [
    "FileInTheWay",
    "ManifestFolder",
    "ParentUnsuitable",
    "RestoreProgress",
    "SnapshotUnsuitable",
    "SnapshotsError",
    "UploadRequest",
    "default_folder",
    "restore_snapshot",
    "upload_image",
    "verify_snapshot_of",
]
