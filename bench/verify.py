"""Read a snapshot back and compare it with its manifest: `python -m bench.verify URL SNAPSHOT MANIFESTS`."""

from __future__ import annotations

import sys
from pathlib import Path

from rehost.aws import Aws, AwsSettings
from rehost.snapshots import ManifestFolder, verify_snapshot_of


def main(url: str, snapshot: str, folder: Path) -> int:
    result = verify_snapshot_of(snapshot, Aws(AwsSettings(endpoint=url)).ebs, ManifestFolder(folder))
    print(result.blocks_read, result.mismatch_count)
    return 0 if result.ok else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2], Path(sys.argv[3])))
