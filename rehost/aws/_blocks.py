"""The data plane of the EBS direct APIs: PutSnapshotBlock and GetSnapshotBlock, from many threads at once.

Requests are built and signed here, and sent by botocore's own HTTP session (urllib3), which has the SDK's idea of proxies,
certificates and client certificates. The SHA-256 of a block serves three times: it is the manifest's digest, EBS's checksum
and the signed hash of the payload, so a block is hashed once and its content is authenticated over plain HTTP, too.
"""

from __future__ import annotations

import base64
import hashlib
import json
import threading
from collections import Counter
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, urlsplit

import botocore.exceptions as boto
from botocore.awsrequest import AWSPreparedRequest, HeadersDict
from botocore.httpsession import URLLib3Session
from botocore.utils import get_environ_proxies

from rehost.aws import _errors as errors
from rehost.aws._retry import RetryPolicy
from rehost.aws._session import Session
from rehost.aws._signing import EMPTY_SHA256, Signer
from rehost.blocks import BLOCK_SIZE

MAX_CONNECTIONS = 64
#: A corrupted answer or a checksum that AWS does not accept is asked again so often; then something is wrong for good.
CHECKSUM_TRIES = 3
#: EBS answers ResourceNotFound for a moment after StartSnapshot.
NOT_FOUND_SECONDS = 15.0


class BlockPlane:
    """Puts and gets blocks. Thread-safe; a connection a thread is kept alive in the pool."""

    def __init__(self, session: Session, retry: RetryPolicy | None = None) -> None:
        client = session.client("ebs")
        self._endpoint: str = client.meta.endpoint_url
        parts = urlsplit(self._endpoint)
        self._host = parts.netloc
        self._base = parts.path.rstrip("/")
        with errors.translated():
            credentials = session.boto.get_credentials()
        if credentials is None:
            raise errors.CredentialsMissing
        self._signer = Signer(credentials, client.meta.region_name, client.meta.service_model.signing_name)
        verify = session.boto._session.get_config_variable("ca_bundle")
        self._http = URLLib3Session(
            verify=verify or True,
            proxies=get_environ_proxies(self._endpoint),
            timeout=(10, 60),
            max_pool_connections=MAX_CONNECTIONS,
        )
        self._retry = retry or RetryPolicy()
        self._lock = threading.Lock()
        self.counts: Counter[str] = Counter()  # requests, retries, throttled, bytes_out, bytes_in

    def put(self, snapshot_id: str, index: int, data: memoryview, digest: bytes) -> None:
        """Write one block of exactly 524,288 bytes whose raw SHA-256 is `digest`. Putting it again is harmless.

        Retries what passes; raises `AwsError` once the retry policy has no time left, or at once for what does not pass.
        """
        headers = {
            "content-length": str(BLOCK_SIZE),
            "content-type": "application/octet-stream",
            "x-amz-checksum": base64.b64encode(digest).decode(),
            "x-amz-checksum-algorithm": "SHA256",
            "x-amz-data-length": str(BLOCK_SIZE),
        }
        self._send("PutSnapshotBlock", "PUT", snapshot_id, index, {}, headers, data, digest.hex())
        self._count("bytes_out", BLOCK_SIZE)

    def get(self, snapshot_id: str, index: int, block_token: str) -> bytes:
        """Read one block, checked against the checksum that comes with it."""
        operation = "GetSnapshotBlock"
        for _ in range(CHECKSUM_TRIES):
            answer = self._send(
                operation, "GET", snapshot_id, index, {"blockToken": block_token}, {}, None, EMPTY_SHA256
            )
            body: bytes = answer.content
            expected = answer.headers.get("x-amz-Checksum", "")
            if len(body) == BLOCK_SIZE and base64.b64encode(hashlib.sha256(body).digest()).decode() == expected:
                self._count("bytes_in", BLOCK_SIZE)
                return body
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
        body: memoryview | None,
        payload_sha256: str,
    ) -> Any:
        path = f"{self._base}/snapshots/{snapshot_id}/blocks/{index}"
        url = f"{self._endpoint.rstrip('/')}{path.removeprefix(self._base)}"
        if query:
            url += "?" + "&".join(f"{key}={quote(value, safe='-_.~')}" for key, value in query.items())
        pauses = self._retry.pauses()
        started = self._retry.clock()
        refusals = 0
        while True:
            # Signed anew each time: a signature is good for minutes only, and credentials may have been renewed.
            signed = self._signer.headers(method, self._host, path, query, headers, payload_sha256)
            error: errors.AwsError
            try:
                self._count("requests")
                answer = self._http.send(
                    AWSPreparedRequest(method, url, HeadersDict(signed), body, stream_output=False)
                )
                if answer.status_code in (200, 201):
                    return answer
                error = _refusal(operation, answer)
            except (boto.HTTPClientError, boto.ConnectionError, OSError) as broken:
                error = errors.EndpointUnreachable(endpoint=self._endpoint, reason=errors.reason_of(broken))
            if isinstance(error, errors.Throttled):
                self._count("throttled")
            if isinstance(error, errors.Refused) and "checksum" in str(error).lower() and refusals < CHECKSUM_TRIES - 1:
                refusals += 1  # the bytes were damaged on their way
            elif isinstance(error, errors.NotFound) and self._retry.clock() - started < NOT_FOUND_SECONDS:
                pass
            elif isinstance(error, errors.CredentialsRefused) and refusals == 0:
                refusals += 1  # expired in the middle: botocore renews them when they are asked for again
            elif not error.retryable:
                raise error
            if next(pauses, False) is False:
                raise error
            self._count("retries")

    def _count(self, name: str, amount: int = 1) -> None:
        with self._lock:
            self.counts[name] += amount


def _refusal(operation: str, answer: Any) -> errors.AwsError:
    """The error of an answer of EBS direct: JSON with a message, the code in a header (REST-JSON protocol)."""
    code = str(answer.headers.get("x-amzn-ErrorType", "")).split(":")[0]
    try:
        said = json.loads(answer.content or b"{}")
    except ValueError:
        said = {}
    said = said if isinstance(said, dict) else {}
    code = code or str(said.get("__type", "")).split("#")[-1]
    message = said.get("Message") or said.get("message") or said.get("Reason") or f"HTTP {answer.status_code}"
    return errors.from_answer(operation, code, str(message), answer.status_code)
