"""The data plane of the EBS direct APIs: PutSnapshotBlock and GetSnapshotBlock, from many threads at once.

Requests are built and signed here. The SHA-256 of a block serves three times: it is the manifest's digest, EBS's checksum
and the signed hash of the payload, so a block is hashed once and its content is authenticated over plain HTTP, too.
"""

from __future__ import annotations

import base64
import hashlib
import json
import threading
from collections import Counter
from collections.abc import Mapping
from urllib.parse import quote, urlsplit

from botocore.utils import get_environ_proxies

from rehost.aws import _errors as errors
from rehost.aws._pace import Pace
from rehost.aws._retry import RetryBudget, RetryPolicy
from rehost.aws._session import Session
from rehost.aws._signing import EMPTY_SHA256, Signer
from rehost.aws._transport import open_transport
from rehost.aws._wire import Answer
from rehost.blocks import BLOCK_SIZE
from rehost.pacing import Pause

#: A corrupted answer or a checksum that AWS does not accept is asked again so often; then something is wrong for good.
CHECKSUM_TRIES = 3
#: EBS answers ResourceNotFound for a moment after StartSnapshot.
NOT_FOUND_SECONDS = 15.0

_PUT_HEADERS = {
    "content-length": str(BLOCK_SIZE),
    "content-type": "application/octet-stream",
    "x-amz-checksum-algorithm": "SHA256",
    "x-amz-data-length": str(BLOCK_SIZE),
}


class BlockPlane:
    """Puts and gets blocks. Thread-safe; as many connections stay open as there were requests at once."""

    def __init__(self, session: Session, retry: RetryPolicy | None = None) -> None:
        client = session.client("ebs")
        self._endpoint: str = client.meta.endpoint_url
        parts = urlsplit(self._endpoint)
        self._host = parts.netloc
        self._base = parts.path.rstrip("/")
        with errors.translated():
            credentials = session.sdk.get_credentials()
        if credentials is None:
            raise errors.CredentialsMissing
        self._signer = Signer(credentials, client.meta.region_name, client.meta.service_model.signing_name)
        verify = session.sdk.get_config_variable("ca_bundle")
        self._http = open_transport(
            self._endpoint, verify=verify or True, proxies=get_environ_proxies(self._endpoint) or {}
        )
        self._retry = retry or RetryPolicy()
        self._budget = RetryBudget(self._retry)
        self._paces = {"PUT": Pace(self._retry.clock), "GET": Pace(self._retry.clock)}  # their quotas are separate
        self._lock = threading.Lock()
        self.counts: Counter[str] = Counter()  # requests, retries, throttled, bytes_out, bytes_in

    def put(self, snapshot_id: str, index: int, data: memoryview, digest: bytes, pause: Pause | None = None) -> int:
        """Write one block of exactly 524,288 bytes whose raw SHA-256 is `digest`. Putting it again is harmless.

        Returns how often the service refused it for being too fast. Retries what passes; raises `AwsError` once the retry
        policy has no time left, at once for what does not pass, or with the last error when `pause` returns False.
        """
        headers = {**_PUT_HEADERS, "x-amz-checksum": base64.b64encode(digest).decode()}
        _, throttled = self._send(
            "PutSnapshotBlock", "PUT", snapshot_id, index, {}, headers, digest.hex(), data, None, pause
        )
        self._count("bytes_out", BLOCK_SIZE)
        return throttled

    def get(self, snapshot_id: str, index: int, block_token: str) -> bytes:
        """Read one block, checked against the checksum that comes with it."""
        block = bytearray(BLOCK_SIZE)
        with memoryview(block) as view:
            self.get_into(snapshot_id, index, block_token, view)
        return bytes(block)

    def get_into(
        self, snapshot_id: str, index: int, block_token: str, buffer: memoryview, pause: Pause | None = None
    ) -> bytes:
        """Read one block into `buffer`, of 524,288 bytes, and return its raw SHA-256, which is the one that AWS names.

        The buffer holds anything if this raises.
        """
        operation = "GetSnapshotBlock"
        query = {"blockToken": block_token}
        for _ in range(CHECKSUM_TRIES):
            answer, _ = self._send(operation, "GET", snapshot_id, index, query, {}, EMPTY_SHA256, None, buffer, pause)
            if answer.body is buffer:
                digest = hashlib.sha256(buffer).digest()
                if base64.b64encode(digest).decode() == answer.headers.get("x-amz-checksum"):
                    self._count("bytes_in", BLOCK_SIZE)
                    return digest
            self._count("retries")
        raise errors.ChecksumMismatch(operation=operation, index=index, snapshot=snapshot_id, tries=CHECKSUM_TRIES)

    def close(self) -> None:
        self._http.close()

    def _send(
        self,
        operation: str,
        method: str,
        snapshot_id: str,
        index: int,
        query: Mapping[str, str],
        headers: Mapping[str, str],
        payload_sha256: str,
        body: memoryview | None,
        into: memoryview | None,
        pause: Pause | None,
    ) -> tuple[Answer, int]:
        path = target = f"{self._base}/snapshots/{snapshot_id}/blocks/{index}"
        if query:
            target += "?" + "&".join(f"{key}={quote(value, safe='-_.~')}" for key, value in query.items())
        pace = self._paces[method]
        pauses = self._retry.pauses(pause)
        started = self._retry.clock()
        refusals = throttled = 0
        error: errors.AwsError | None = None
        while True:
            if not pace.wait(snapshot_id, pause or self._pause):
                raise error or errors.Interrupted(operation=operation, index=index, snapshot=snapshot_id)
            # Signed anew each time: a signature is good for minutes only, and credentials may have been renewed.
            with errors.translated(self._endpoint):
                signed = self._signer.headers(method, self._host, path, query, headers, payload_sha256)
            try:
                self._count("requests")
                answer = self._http.exchange(method, target, signed, body, into)
            except OSError as broken:
                error = errors.EndpointUnreachable(endpoint=self._endpoint, reason=errors.reason_of(broken))
            else:
                if answer.status in (200, 201):
                    pace.accepted()
                    self._budget.succeeded()
                    return answer, throttled
                error = _refusal(operation, answer)
            if isinstance(error, errors.Throttled):
                throttled += 1
                pace.refused()
                self._count("throttled")
                self._budget.succeeded()  # it lives
            elif isinstance(error, (errors.EndpointUnreachable, errors.ServiceFailed)):
                self._budget.failed()
            if isinstance(error, errors.Refused) and "checksum" in str(error).lower() and refusals < CHECKSUM_TRIES - 1:
                refusals += 1  # the bytes were damaged on their way
            elif isinstance(error, errors.NotFound) and self._retry.clock() - started < NOT_FOUND_SECONDS:
                pass
            elif isinstance(error, errors.CredentialsRefused) and refusals == 0:
                refusals += 1  # expired in the middle: botocore renews them when they are asked for again
            elif not error.retryable:
                raise error
            if self._budget.exhausted or next(pauses, False) is False:
                raise error
            self._count("retries")

    def _pause(self, seconds: float) -> bool:
        self._retry.sleep(seconds)
        return True

    def _count(self, name: str, amount: int = 1) -> None:
        with self._lock:
            self.counts[name] += amount


def _refusal(operation: str, answer: Answer) -> errors.AwsError:
    """The error of an answer of EBS direct: JSON with a message, the code in a header (REST-JSON protocol)."""
    code = str(answer.headers.get("x-amzn-errortype", "")).split(":")[0]
    try:
        said = json.loads(bytes(answer.body) or b"{}")
    except ValueError:
        said = {}
    said = said if isinstance(said, dict) else {}
    code = code or str(said.get("__type", "")).split("#")[-1]
    message = said.get("Message") or said.get("message") or said.get("Reason") or f"HTTP {answer.status}"
    return errors.from_answer(operation, code, str(message), answer.status)
