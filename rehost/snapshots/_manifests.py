"""The manifests of single uploads: a folder of the user's, one file a snapshot."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from rehost.aws import EbsDirect
from rehost.snapshots._errors import ParentUnsuitable
from rehost.transfer import UNKNOWN_DIGEST, Manifest, ManifestInvalid, open_partial


def default_folder() -> Path:
    """`rehost/manifests` in the user's state folder (XDG Base Directory Specification)."""
    return Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "rehost" / "manifests"


class ManifestFolder:
    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, snapshot_id: str) -> Path:
        return self.folder / f"{snapshot_id}.manifest"

    def prepare(self) -> None:
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    def open(self, snapshot_id: str) -> Manifest:
        """Raises ManifestInvalid where there is none, or it is not to be trusted."""
        return Manifest.open(self.path(snapshot_id), snapshot_id=snapshot_id)

    def of_parent(self, parent: str, size: int, ebs: EbsDirect) -> tuple[Manifest, str | None]:
        """The manifest of the parent of a disk of `size` bytes; without a good one, one that knows no content.

        That one is made from the list of the parent's blocks and says of each only that it holds something: then every
        block of the image is sent, and zeros over what the parent has beside. The text says why, or is None.
        """
        try:
            manifest, reason = self.open(parent), None
        except ManifestInvalid as problem:
            manifest, reason = self._unknown(parent, size, ebs), problem.reason
        if manifest.size > size:
            manifest.close()
            raise ParentUnsuitable(parent=parent, reason=f"its disk of {manifest.size} bytes is larger than the image")
        return manifest, reason

    def _unknown(self, parent: str, size: int, ebs: EbsDirect) -> Manifest:
        path = self.folder / f"{parent}.{os.getpid()}.listing"
        partial = open_partial(path, snapshot_id=parent, size=size, parent=None)
        try:
            for index, _ in ebs.blocks_of(parent):
                if index >= partial.block_count:
                    raise ParentUnsuitable(parent=parent, reason="it holds blocks beyond the end of the image")
                partial.record(index, UNKNOWN_DIGEST)
            manifest = partial.finish()
        except BaseException:
            partial.discard()
            raise
        with suppress(OSError):
            path.unlink()  # open, it serves to the end; nobody may take it for the manifest of the parent
        return manifest
