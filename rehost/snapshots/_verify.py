"""A snapshot read back and compared with the manifest of its upload."""

from __future__ import annotations

from rehost.aws import EbsDirect
from rehost.snapshots._manifests import ManifestFolder
from rehost.transfer import MOST_IN_FLIGHT, StopSignal, VerifyResult, verify_snapshot


def verify_snapshot_of(
    snapshot_id: str,
    ebs: EbsDirect,
    manifests: ManifestFolder,
    *,
    in_flight: int = MOST_IN_FLIGHT,
    stop: StopSignal | None = None,
) -> VerifyResult:
    """Read every block back and compare it with the manifest. Raises ManifestInvalid, AwsError, TransferError."""
    with manifests.open(snapshot_id) as manifest:
        return verify_snapshot(
            ebs.blocks_of(snapshot_id), ebs.reader(snapshot_id), manifest, in_flight=in_flight, stop=stop
        )
