"""The EBS direct APIs as AWS documents them (EBS API reference; names and limits from botocore's service model `ebs`)."""

from __future__ import annotations

import base64
import hashlib
import heapq
import json
import re
import secrets
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO

from sandbox._seal import Seal
from sandbox._store import BLOCK_SIZE, Meta, Snapshot, SnapshotStore

ACCOUNT = "123456789012"
TOKEN_SECONDS = 7 * 24 * 3600  # ListSnapshotBlocks: tokens expire after a week
_SNAPSHOT = re.compile(r"^snap-[0-9a-f]+$")
_KEY_ARN = re.compile(r"^arn:aws[a-z-]*:kms:[^:]*:[0-9]{12}:key/.+$")


@dataclass
class Request:
    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]  # lower-case names
    body: BinaryIO
    length: int
    region: str


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes


class EbsError(Exception):
    """An answer that refuses: code, HTTP status, and the Reason of the service model."""

    def __init__(self, code: str, message: str, status: int, reason: str | None = None) -> None:
        super().__init__(message)
        self.code, self.message, self.status, self.reason = code, message, status, reason

    def answer(self) -> Answer:
        body = {"Message": self.message} | ({"Reason": self.reason} if self.reason else {})
        return Answer(
            self.status, {"x-amzn-ErrorType": self.code, "Content-Type": "application/json"}, json.dumps(body).encode()
        )


def invalid(message: str, reason: str = "INVALID_PARAMETER_VALUE") -> EbsError:
    return EbsError("ValidationException", message, 400, reason)


class EbsApi:
    """`handle` answers one request. `on_start` and `default_key` tie snapshots to EC2 and KMS."""

    def __init__(
        self,
        store: SnapshotStore,
        *,
        on_start: Callable[[Snapshot], None] = lambda _: None,
        default_encryption: Callable[[str], str | None] = lambda _: None,
        default_key: Callable[[str], str] = lambda region: f"arn:aws:kms:{region}:{ACCOUNT}:key/aws-ebs",
    ) -> None:
        self.store = store
        self._on_start = on_start
        self._default_encryption = default_encryption
        self._default_key = default_key
        self._seal = Seal(store.folder / "token-key")
        self._routes: list[tuple[str, re.Pattern[str], Callable[..., Answer]]] = [
            ("POST", re.compile(r"^/snapshots$"), self._start),
            ("POST", re.compile(r"^/snapshots/completion/([^/]+)$"), self._complete),
            ("PUT", re.compile(r"^/snapshots/([^/]+)/blocks/([^/]+)$"), self._put),
            ("GET", re.compile(r"^/snapshots/([^/]+)/blocks/([^/]+)$"), self._get),
            ("GET", re.compile(r"^/snapshots/([^/]+)/blocks$"), self._list),
            ("GET", re.compile(r"^/snapshots/([^/]+)/changedblocks$"), self._list_changed),
        ]

    def operation(self, method: str, path: str) -> str:
        """The name of the operation, for faults and statistics."""
        names = (
            "StartSnapshot",
            "CompleteSnapshot",
            "PutSnapshotBlock",
            "GetSnapshotBlock",
            "ListSnapshotBlocks",
            "ListChangedBlocks",
        )
        for name, (verb, pattern, _) in zip(names, self._routes, strict=True):
            if verb == method and pattern.match(path):
                return name
        return "Unknown"

    def handle(self, request: Request) -> Answer:
        for method, pattern, handler in self._routes:
            found = pattern.match(request.path)
            if found and method == request.method:
                try:
                    return handler(request, *found.groups())
                except EbsError as error:
                    return error.answer()
        return EbsError("UnknownOperationException", f"{request.method} {request.path}", 404).answer()

    def _start(self, request: Request) -> Answer:
        try:
            asked = json.loads(request.body.read(request.length) or b"{}")
        except ValueError:
            asked = None
        if not isinstance(asked, dict):
            raise EbsError("SerializationException", "The body is not a JSON object.", 400)
        size = asked.get("VolumeSize")
        if type(size) is not int or not 1 <= size <= 65536:
            raise invalid(f"VolumeSize must be between 1 and 65536 GiB, not {size!r}.", "INVALID_VOLUME_SIZE")
        timeout = asked.get("Timeout", 60)
        if type(timeout) is not int or not 10 <= timeout <= 4320:
            raise invalid("Timeout must be between 10 and 4320 minutes.")
        parent_id, key = asked.get("ParentSnapshotId"), asked.get("KmsKeyArn")
        if parent_id and (asked.get("Encrypted") is not None or key):
            raise invalid(
                "ParentSnapshotId excludes Encrypted and KmsKeyArn: a child has its parent's.",
                "INVALID_DEPENDENCY_REQUEST",
            )
        if key and not asked.get("Encrypted"):
            raise invalid("KmsKeyArn requires Encrypted.", "INVALID_DEPENDENCY_REQUEST")
        if key and not _KEY_ARN.match(key):
            raise invalid("KmsKeyArn must be the ARN of a key.", "INVALID_CUSTOMER_KEY")
        token = asked.get("ClientToken")
        with self.store.lock:
            known = self.store.by_token(request.region, token) if token else None
            if known is not None and not known.meta.deleted:
                if known.meta.request != asked:
                    message = f"The client token was used before, with other parameters, for {known.meta.snapshot_id}."
                    raise EbsError("ConflictException", message, 409)
                return self._started(known)
            parent = self._parent(request, parent_id, size) if parent_id else None
            encrypted = parent.meta.encrypted if parent else bool(asked.get("Encrypted"))
            key_arn = parent.meta.kms_key_arn if parent else key
            if parent is None and not encrypted and (default := self._default_encryption(request.region)):
                encrypted, key_arn = True, default
            if encrypted and key_arn is None:
                key_arn = self._default_key(request.region)
            now = self.store.clock()
            snapshot = self.store.start(
                Meta(
                    snapshot_id="snap-0" + secrets.token_hex(8),
                    volume_gib=size,
                    parent=parent_id,
                    description=asked.get("Description", ""),
                    tags=self._tags(asked.get("Tags", [])),
                    encrypted=encrypted,
                    kms_key_arn=key_arn,
                    client_token=token,
                    request=asked,
                    region=request.region,
                    timeout_minutes=timeout,
                    started_at=now,
                    touched_at=now,
                )
            )
            self._on_start(snapshot)
        return self._started(snapshot)

    def _parent(self, request: Request, parent_id: str, size: int) -> Snapshot:
        parent = self._existing(request, parent_id)
        if parent.meta.state != "completed":
            raise invalid(f"The parent {parent_id} is {parent.meta.state}, not completed.", "INVALID_SNAPSHOT_ID")
        if parent.meta.volume_gib > size:
            raise invalid(
                f"VolumeSize {size} is smaller than the parent's {parent.meta.volume_gib}.", "INVALID_VOLUME_SIZE"
            )
        return parent

    @staticmethod
    def _tags(tags: Any) -> dict[str, str]:
        if (
            not isinstance(tags, list)
            or len(tags) > 50
            or not all(isinstance(each, dict) and isinstance(each.get("Key"), str) for each in tags)
            or any(not each["Key"] or each["Key"].startswith("aws:") for each in tags)
        ):
            raise invalid("At most 50 tags, each with a key that does not begin with aws:.", "INVALID_TAG")
        return {each["Key"]: each.get("Value", "") for each in tags}

    def _started(self, snapshot: Snapshot) -> Answer:
        meta = snapshot.meta
        body = {
            "SnapshotId": meta.snapshot_id,
            "OwnerId": ACCOUNT,
            "Status": meta.state,
            "StartTime": meta.started_at,
            "VolumeSize": meta.volume_gib,
            "BlockSize": BLOCK_SIZE,
            "Tags": [{"Key": key, "Value": value} for key, value in meta.tags.items()],
        }
        optional = {
            "Description": meta.description,
            "ParentSnapshotId": meta.parent,
            "KmsKeyArn": meta.kms_key_arn,
            "SseType": "sse-kms" if meta.encrypted else "none",
        }
        return _json(201, body | {key: value for key, value in optional.items() if value})

    def _put(self, request: Request, snapshot_id: str, raw_index: str) -> Answer:
        snapshot, index = self._pending(request, snapshot_id), self._index(raw_index)
        if index >= snapshot.blocks:
            raise invalid(f"Block {index} lies beyond the volume's {snapshot.meta.volume_gib} GiB.", "INVALID_BLOCK")
        headers = request.headers
        if headers.get("x-amz-data-length") != str(BLOCK_SIZE) or request.length != BLOCK_SIZE:
            raise invalid(f"A block has {BLOCK_SIZE} bytes; the request has {request.length}.", "INVALID_BLOCK")
        if headers.get("x-amz-checksum-algorithm") != "SHA256":
            raise invalid("The checksum algorithm must be SHA256.")
        data = request.body.read(BLOCK_SIZE)
        if len(data) != BLOCK_SIZE:
            raise invalid(f"The body ended after {len(data)} bytes.", "INVALID_BLOCK")
        digest = hashlib.sha256(data).digest()
        checksum = base64.b64encode(digest).decode()
        if headers.get("x-amz-checksum") != checksum:
            raise invalid("The checksum does not match the block's data.", "INVALID_BLOCK")
        snapshot.put(index, data, digest)
        snapshot.meta.touched_at = self.store.clock()
        return Answer(201, {"x-amz-Checksum": checksum, "x-amz-Checksum-Algorithm": "SHA256"}, b"")

    def _complete(self, request: Request, snapshot_id: str) -> Answer:
        headers = request.headers
        snapshot = self._existing(request, snapshot_id)
        count = headers.get("x-amz-changedblockscount", "")
        if not count.isdigit():
            raise invalid("ChangedBlocksCount is required.")
        if snapshot.meta.state == "completed":
            return _json(202, {"Status": "completed"})
        if snapshot.meta.state != "pending":
            raise invalid(f"The snapshot is in state {snapshot.meta.state}.", "INVALID_SNAPSHOT_ID")
        if int(count) != snapshot.count():
            raise invalid(f"ChangedBlocksCount is {count}, but {snapshot.count()} blocks were written.")
        checksum = headers.get("x-amz-checksum")
        if checksum is not None:
            if (
                headers.get("x-amz-checksum-aggregation-method") != "LINEAR"
                or headers.get("x-amz-checksum-algorithm") != "SHA256"
            ):
                raise invalid("A checksum needs ChecksumAlgorithm SHA256 and ChecksumAggregationMethod LINEAR.")
            if checksum != snapshot.linear_checksum():
                raise invalid("The checksum does not match those of the blocks.")
        self.store.complete(snapshot)
        return _json(202, {"Status": "completed"})

    def _get(self, request: Request, snapshot_id: str, raw_index: str) -> Answer:
        snapshot, index = self._completed(request, snapshot_id), self._index(raw_index)
        self._check_token(request.query.get("blockToken", ""), snapshot, index)
        owner = snapshot.owner(index)
        if owner is None:
            raise invalid(f"Block {index} is not in the snapshot.", "INVALID_BLOCK")
        data, digest = owner.read(index)
        headers = {
            "x-amz-Data-Length": str(BLOCK_SIZE),
            "x-amz-Checksum": base64.b64encode(digest).decode(),
            "x-amz-Checksum-Algorithm": "SHA256",
            "Content-Type": "application/octet-stream",
        }
        return Answer(200, headers, data.ljust(BLOCK_SIZE, b"\0"))

    def _list(self, request: Request, snapshot_id: str) -> Answer:
        snapshot = self._completed(request, snapshot_id)
        start, limit = self._page(request, "list", snapshot_id)
        blocks: list[dict[str, Any]] = []
        following = None
        for index in snapshot.indices(start):
            if len(blocks) == limit:
                following = index
                break
            blocks.append({"BlockIndex": index, "BlockToken": self._token(snapshot, index)})
        return self._listing({"Blocks": blocks}, snapshot, following, "list", snapshot_id)

    def _list_changed(self, request: Request, snapshot_id: str) -> Answer:
        second = self._completed(request, snapshot_id)
        first_id = request.query.get("firstSnapshotId")
        if not first_id:
            raise invalid("FirstSnapshotId is required.", "INVALID_SNAPSHOT_ID")
        first = self._completed(request, first_id)
        if not {each.meta.snapshot_id for each in first.lineage()} & {
            each.meta.snapshot_id for each in second.lineage()
        }:
            raise invalid("The snapshots have no ancestor in common.", "UNRELATED_SNAPSHOTS")
        scope = f"{first_id}/{snapshot_id}"
        start, limit = self._page(request, "changed", scope)
        changed: list[dict[str, Any]] = []
        following = None
        for index in _merged(first, second, start):
            before, after = first.owner(index), second.owner(index)
            if before is after:
                continue
            if len(changed) == limit:
                following = index
                break
            entry: dict[str, Any] = {"BlockIndex": index}
            if before:
                entry["FirstBlockToken"] = self._token(first, index)
            if after:
                entry["SecondBlockToken"] = self._token(second, index)
            changed.append(entry)
        return self._listing({"ChangedBlocks": changed}, second, following, "changed", scope)

    def _listing(
        self, body: dict[str, Any], snapshot: Snapshot, following: int | None, kind: str, scope: str
    ) -> Answer:
        body |= {
            "VolumeSize": snapshot.meta.volume_gib,
            "BlockSize": BLOCK_SIZE,
            "ExpiryTime": self.store.clock() + TOKEN_SECONDS,
        }
        if following is not None:
            body["NextToken"] = self._seal.seal(f"{kind} {scope} {following}")
        return _json(200, body)

    def _page(self, request: Request, kind: str, scope: str) -> tuple[int, int]:
        """(first index, how many) of the page that is asked for."""
        raw = request.query.get("maxResults")
        limit = 10_000 if raw is None else int(raw) if raw.isdecimal() else 0
        if not 100 <= limit <= 10_000:
            raise invalid("MaxResults must be between 100 and 10000.")
        if token := request.query.get("pageToken"):
            words = self._unsealed(token, "INVALID_PAGE_TOKEN").split(" ")
            if words[:2] != [kind, scope]:
                raise invalid("The page token belongs to another request.", "INVALID_PAGE_TOKEN")
            return int(words[2]), limit
        start = request.query.get("startingBlockIndex", "0")
        if not start.isdigit():
            raise invalid("StartingBlockIndex must be a number.")
        return int(start), limit

    def _token(self, snapshot: Snapshot, index: int) -> str:
        return self._seal.seal(f"{snapshot.meta.snapshot_id} {index} {int(self.store.clock()) + TOKEN_SECONDS}")

    def _check_token(self, token: str, snapshot: Snapshot, index: int) -> None:
        words = self._unsealed(token, "INVALID_BLOCK_TOKEN").split(" ")
        if words[:2] != [snapshot.meta.snapshot_id, str(index)]:
            raise invalid("The block token belongs to another block.", "INVALID_BLOCK_TOKEN")
        if float(words[2]) < self.store.clock():
            raise invalid("The block token has expired.", "INVALID_BLOCK_TOKEN")

    def _unsealed(self, token: str, reason: str) -> str:
        try:
            return self._seal.unseal(token)
        except ValueError:
            raise invalid("The token is not one of ours.", reason) from None

    def _existing(self, request: Request, snapshot_id: str) -> Snapshot:
        if not _SNAPSHOT.match(snapshot_id):
            raise invalid(f"{snapshot_id!r} is not a snapshot's id.", "INVALID_SNAPSHOT_ID")
        snapshot = self.store.get(snapshot_id)
        if snapshot is None or snapshot.meta.region != request.region:
            message = f"The snapshot '{snapshot_id}' does not exist."
            raise EbsError("ResourceNotFoundException", message, 404, "SNAPSHOT_NOT_FOUND")
        return snapshot

    def _pending(self, request: Request, snapshot_id: str) -> Snapshot:
        snapshot = self._existing(request, snapshot_id)
        if snapshot.meta.state != "pending":
            raise invalid(f"The snapshot is {snapshot.meta.state}, not pending.", "INVALID_SNAPSHOT_ID")
        return snapshot

    def _completed(self, request: Request, snapshot_id: str) -> Snapshot:
        snapshot = self._existing(request, snapshot_id)
        if snapshot.meta.state != "completed":
            raise invalid(f"The snapshot is {snapshot.meta.state}, not completed.", "INVALID_SNAPSHOT_ID")
        return snapshot

    @staticmethod
    def _index(raw: str) -> int:
        if not raw.isdigit():
            raise invalid("BlockIndex must be a number.", "INVALID_BLOCK")
        return int(raw)


def _merged(first: Snapshot, second: Snapshot, start: int) -> Iterator[int]:
    """The indices that either holds, ascending, each once."""
    last = -1
    for index in heapq.merge(first.indices(start), second.indices(start)):
        if index != last:
            yield index
            last = index


def _json(status: int, body: Mapping[str, Any]) -> Answer:
    return Answer(status, {"Content-Type": "application/json"}, json.dumps(body).encode())
