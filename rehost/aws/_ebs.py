"""EBS snapshots: started, filled block by block, sealed, read back and deleted."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from rehost.aws._blocks import BlockPlane
from rehost.aws._errors import NotFound, SnapshotFailed, TooSlow, translated
from rehost.aws._retry import RetryPolicy
from rehost.aws._session import Session
from rehost.aws._tags import from_list, require_ours, to_list
from rehost.pacing import Pause

#: Minutes without a block after which AWS gives a pending snapshot up (StartSnapshot, `Timeout`: 10 to 4320): a connector that
#: was killed has a day to come back.
TIMEOUT_MINUTES = 24 * 60


@dataclass(frozen=True)
class SnapshotView:
    snapshot_id: str
    state: str  # pending, completed, error
    message: str
    volume_gib: int
    encrypted: bool
    kms_key_id: str | None
    tags: Mapping[str, str]


@dataclass(frozen=True)
class Listing:
    volume_gib: int
    blocks: Iterator[tuple[int, str]]  # index, block token; ascending


class SnapshotSink:
    """Where the pipeline puts the blocks of one snapshot."""

    def __init__(self, plane: BlockPlane, snapshot_id: str) -> None:
        self._plane, self.snapshot_id = plane, snapshot_id

    def put(self, index: int, data: memoryview, digest: bytes, pause: Pause) -> int:
        return self._plane.put(self.snapshot_id, index, data, digest, pause)


class SnapshotBlocks:
    """What the blocks of one snapshot are read back by."""

    def __init__(self, plane: BlockPlane, snapshot_id: str) -> None:
        self._plane, self.snapshot_id = plane, snapshot_id

    def read(self, index: int, handle: str, buffer: memoryview, pause: Pause) -> bytes:
        return self._plane.get_into(self.snapshot_id, index, handle, buffer, pause)


class EbsDirect:
    """The EBS direct APIs and what of EC2 belongs to snapshots. Thread-safe."""

    def __init__(self, session: Session, retry: RetryPolicy | None = None) -> None:
        self._session = session
        self._ebs = session.client("ebs")
        self.blocks = BlockPlane(session, retry)

    @cached_property
    def _ec2(self) -> Any:
        # Its model takes a third of a second to load, and a first upload does without it.
        return self._session.client("ec2")

    def start(
        self,
        *,
        volume_gib: int,
        token: str,
        description: str,
        tags: Mapping[str, str],
        parent: str | None = None,
        encrypted: bool = False,
        kms_key_arn: str | None = None,
    ) -> str:
        """Start a snapshot and return its id; the same token gives the same snapshot, so a retry is safe.

        With a parent neither `encrypted` nor a key may be given: the child has its parent's (StartSnapshot).
        """
        request: dict[str, Any] = {
            "VolumeSize": volume_gib,
            "ClientToken": token,
            "Description": description[:255],
            "Tags": to_list(tags),
            "Timeout": TIMEOUT_MINUTES,
        }
        if parent is not None:
            request["ParentSnapshotId"] = parent
        elif encrypted:
            request["Encrypted"] = True
            if kms_key_arn:
                request["KmsKeyArn"] = kms_key_arn
        with translated():
            return str(self._ebs.start_snapshot(**request)["SnapshotId"])

    def reader(self, snapshot_id: str) -> SnapshotBlocks:
        return SnapshotBlocks(self.blocks, snapshot_id)

    def sink(self, snapshot_id: str) -> SnapshotSink:
        return SnapshotSink(self.blocks, snapshot_id)

    def complete(self, snapshot_id: str, *, changed_blocks: int, checksum: str) -> None:
        """Seal it. `checksum` is the LINEAR aggregate; AWS refuses a snapshot that does not match. A retry is safe."""
        request: dict[str, Any] = {"SnapshotId": snapshot_id, "ChangedBlocksCount": changed_blocks}
        if changed_blocks:
            request |= {"Checksum": checksum, "ChecksumAlgorithm": "SHA256", "ChecksumAggregationMethod": "LINEAR"}
        with translated():
            self._ebs.complete_snapshot(**request)

    def wait_completed(
        self, snapshot_id: str, *, seconds: float = 3600.0, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        """Until EC2 calls it completed. Raises `SnapshotFailed`, `NotFound`, `TooSlow`."""
        deadline = time.monotonic() + seconds
        pause = 0.05
        while True:
            view = self.describe(snapshot_id)
            if view is None:
                raise NotFound(operation="DescribeSnapshots", message=f"snapshot {snapshot_id} does not exist")
            if view.state == "completed":
                return
            if view.state == "error":
                raise SnapshotFailed(snapshot=snapshot_id, message=view.message or "AWS gave no reason")
            if time.monotonic() > deadline:
                raise TooSlow(resource=f"snapshot {snapshot_id}", state=view.state, seconds=seconds)
            sleep(pause)
            pause = min(pause * 2, 10.0)

    def describe(self, snapshot_id: str) -> SnapshotView | None:
        """None where it does not exist (any more)."""
        try:
            with translated():
                found = self._ec2.describe_snapshots(SnapshotIds=[snapshot_id])["Snapshots"]
        except NotFound:
            return None
        return view_of(found[0]) if found else None

    def blocks_of(self, snapshot_id: str) -> Iterator[tuple[int, str]]:
        """(index, block token) of every block the snapshot holds, ascending, by pages."""
        return self.listing(snapshot_id).blocks

    def listing(self, snapshot_id: str) -> Listing:
        """What a snapshot holds; its pages are asked for as they are needed. Raises `NotFound`."""
        request: dict[str, Any] = {"SnapshotId": snapshot_id, "MaxResults": 10_000}
        with translated():
            first = self._ebs.list_snapshot_blocks(**request)
        return Listing(first["VolumeSize"], self._pages(request, first))

    def _pages(self, request: dict[str, Any], page: Mapping[str, Any]) -> Iterator[tuple[int, str]]:
        while True:
            for block in page.get("Blocks", ()):
                yield block["BlockIndex"], block["BlockToken"]
            if not page.get("NextToken"):
                return
            request["NextToken"] = page["NextToken"]
            with translated():
                page = self._ebs.list_snapshot_blocks(**request)

    def discard(self, snapshot_id: str) -> None:
        """Delete a snapshot that this process has started and that never became one. A retry is safe."""
        with suppress(NotFound), translated():
            self._ec2.delete_snapshot(SnapshotId=snapshot_id)

    def set_tags(self, snapshot_id: str, tags: Mapping[str, str], *, stack: str) -> None:
        """Put tags onto a snapshot of ours. A retry is safe. Raises `NotOurs`, `NotFound`."""
        view = self.describe(snapshot_id)
        if view is None:
            raise NotFound(operation="DescribeSnapshots", message=f"snapshot {snapshot_id} does not exist")
        require_ours(f"snapshot {snapshot_id}", view.tags, stack)
        with translated():
            self._ec2.create_tags(Resources=[snapshot_id], Tags=to_list(tags))

    def delete(self, snapshot_id: str, *, stack: str) -> bool:
        """Delete a snapshot of ours; False where it is gone already. Raises `NotOurs`, or `Refused` while an AMI uses it."""
        view = self.describe(snapshot_id)
        if view is None:
            return False
        require_ours(f"snapshot {snapshot_id}", view.tags, stack)
        try:
            with translated():
                self._ec2.delete_snapshot(SnapshotId=snapshot_id)
        except NotFound:
            return False
        return True


def view_of(snapshot: Mapping[str, Any]) -> SnapshotView:
    return SnapshotView(
        snapshot_id=snapshot["SnapshotId"],
        state=snapshot["State"],
        message=snapshot.get("StateMessage", ""),
        volume_gib=snapshot["VolumeSize"],
        encrypted=bool(snapshot.get("Encrypted")),
        kms_key_id=snapshot.get("KmsKeyId") or None,
        tags=from_list(snapshot.get("Tags")),
    )
