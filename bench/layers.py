"""One HTTP layer at a time: read, hash and put every block of a file. Run in the bench's own environment.

    python -m bench.layers LAYER URL FILE THREADS [CA]

All layers share the reading, the hashing and the number of blocks in flight; what differs is how a request is built, signed and
sent. `socket` is the floor: one plain connection a thread, nothing signed. Prints {"seconds", "cpu_seconds"}, imports left out.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import http.client
import json
import os
import resource
import socket
import ssl
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from typing import Any
from urllib.parse import urlsplit

BLOCK = 512 * 1024
REGION = "eu-central-1"
SNAPSHOT = "snap-flood"  # the endpoint takes any block for it

#: Puts one block of a worker: index, the block, its digest.
Put = Callable[[int, bytearray, bytes], None]


def headers_of(digest: bytes) -> dict[str, str]:
    return {
        "content-length": str(BLOCK),
        "content-type": "application/octet-stream",
        "x-amz-checksum": base64.b64encode(digest).decode(),
        "x-amz-checksum-algorithm": "SHA256",
        "x-amz-data-length": str(BLOCK),
    }


def path_of(index: int) -> str:
    return f"/snapshots/{SNAPSHOT}/blocks/{index}"


class Target:
    def __init__(self, url: str, ca: str | None) -> None:
        self.url, self.ca = url, ca
        parts = urlsplit(url)
        self.host, self.port = parts.hostname or "", parts.port or 443
        self.netloc = parts.netloc
        self.context = ssl.create_default_context(cafile=ca) if parts.scheme == "https" else None

    def signer(self) -> Callable[[int, bytes], dict[str, str]]:
        """Our own signing, as the product does it."""
        from botocore.credentials import Credentials

        from rehost.aws._signing import Signer

        signer = Signer(Credentials("sandbox", "sandbox"), REGION, "ebs")

        def sign(index: int, digest: bytes) -> dict[str, str]:
            return signer.headers("PUT", self.netloc, path_of(index), {}, headers_of(digest), "UNSIGNED-PAYLOAD")

        return sign


def plain_socket(target: Target, signed: bool) -> Callable[[], Put]:
    sign = target.signer() if signed else None

    def start() -> Put:
        conn: Any = socket.create_connection((target.host, target.port))
        conn.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if target.context:
            conn = target.context.wrap_socket(conn, server_hostname=target.host)
        answer = bytearray(4096)

        def put(index: int, data: bytearray, digest: bytes) -> None:
            fields = sign(index, digest) if sign else {"host": target.netloc, **headers_of(digest)}
            lines = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
            head = f"PUT {path_of(index)} HTTP/1.1\r\n{lines}\r\n".encode()
            with memoryview(data) as view:
                if target.context:
                    conn.sendall(head)
                    conn.sendall(view)
                else:
                    sent = conn.sendmsg([head, view])
                    if sent < len(head) + BLOCK:
                        conn.sendall(view[sent - len(head) :])
            got = conn.recv_into(answer)
            if not answer.startswith(b"HTTP/1.1 201 "):
                raise SystemExit(bytes(answer[:got]))

        return put

    return start


def http_client(target: Target) -> Callable[[], Put]:
    sign = target.signer()

    def start() -> Put:
        conn: http.client.HTTPConnection
        if target.context:
            conn = http.client.HTTPSConnection(target.host, target.port, context=target.context)
        else:
            conn = http.client.HTTPConnection(target.host, target.port)

        def put(index: int, data: bytearray, digest: bytes) -> None:
            with memoryview(data) as view:
                conn.putrequest("PUT", path_of(index), skip_host=True, skip_accept_encoding=True)
                for name, value in sign(index, digest).items():
                    conn.putheader(name, value)
                conn.endheaders(view)
            answer = conn.getresponse()
            answer.read()
            expect(answer.status)

        return put

    return start


def urllib3_pool(target: Target) -> Callable[[], Put]:
    import urllib3

    sign = target.signer()
    options: dict[str, Any] = {"maxsize": 64, "retries": False}
    pool: Any
    if target.context:
        pool = urllib3.HTTPSConnectionPool(target.host, target.port, ssl_context=target.context, **options)
    else:
        pool = urllib3.HTTPConnectionPool(target.host, target.port, **options)

    def put(index: int, data: bytearray, digest: bytes) -> None:
        with memoryview(data) as view:
            answer = pool.urlopen("PUT", path_of(index), body=view, headers=sign(index, digest))
        expect(answer.status)

    return lambda: put


def botocore_session(target: Target) -> Callable[[], Put]:
    from botocore.awsrequest import AWSPreparedRequest, HeadersDict
    from botocore.httpsession import URLLib3Session

    sign = target.signer()
    session = URLLib3Session(verify=target.ca or True, max_pool_connections=64)

    def put(index: int, data: bytearray, digest: bytes) -> None:
        with memoryview(data) as view:
            url = target.url + path_of(index)
            request = AWSPreparedRequest("PUT", url, HeadersDict(sign(index, digest)), view, stream_output=False)
            expect(session.send(request).status_code)

    return lambda: put


def boto3_client(target: Target) -> Callable[[], Put]:
    import boto3
    from botocore.config import Config

    client = boto3.client(
        "ebs",
        region_name=REGION,
        endpoint_url=target.url,
        verify=target.ca,
        aws_access_key_id="sandbox",
        aws_secret_access_key="sandbox",
        config=Config(max_pool_connections=64, retries={"total_max_attempts": 1}),
    )

    def put(index: int, data: bytearray, digest: bytes) -> None:
        client.put_snapshot_block(
            SnapshotId=SNAPSHOT,
            BlockIndex=index,
            BlockData=data,
            DataLength=BLOCK,
            Checksum=base64.b64encode(digest).decode(),
            ChecksumAlgorithm="SHA256",
        )

    return lambda: put


def crt(target: Target) -> Callable[[], Put]:
    from awscrt import auth, io
    from awscrt import http as crt_http

    bootstrap = io.ClientBootstrap.get_or_create_static_default()
    tls = None
    if target.context:
        options = io.TlsContextOptions()
        if target.ca:
            options.override_default_trust_store_from_path(None, target.ca)
        tls = io.ClientTlsContext(options).new_connection_options()
        tls.set_server_name(target.host)
    provider = auth.AwsCredentialsProvider.new_static("sandbox", "sandbox")

    def start() -> Put:
        conn = crt_http.HttpClientConnection.new(
            target.host, target.port, bootstrap, tls_connection_options=tls
        ).result()

        def put(index: int, data: bytearray, digest: bytes) -> None:
            fields = [*headers_of(digest).items(), ("host", target.netloc)]
            request = crt_http.HttpRequest(
                "PUT", path_of(index), crt_http.HttpHeaders(fields), io.InputStream(_Body(data))
            )
            config = auth.AwsSigningConfig(
                algorithm=auth.AwsSigningAlgorithm.V4,
                signature_type=auth.AwsSignatureType.HTTP_REQUEST_HEADERS,
                credentials_provider=provider,
                region=REGION,
                service="ebs",
                signed_body_value=auth.AwsSignedBodyValue.UNSIGNED_PAYLOAD,
            )
            auth.aws_sign_request(request, config).result()
            stream = conn.request(request)
            stream.activate()
            expect(stream.completion_future.result())

        return put

    return start


class _Body:
    """A body that awscrt reads in pieces of its own choice, without a copy of the whole."""

    def __init__(self, data: bytearray) -> None:
        self._view, self._at = memoryview(data), 0

    def readinto(self, target: memoryview) -> int:
        count = min(len(target), len(self._view) - self._at)
        target[:count] = self._view[self._at : self._at + count]
        self._at += count
        return count

    def read(self, count: int = -1) -> bytes:
        piece = self._view[self._at :] if count < 0 else self._view[self._at : self._at + count]
        self._at += len(piece)
        return bytes(piece)

    def seek(self, offset: int, whence: int = 0) -> int:
        self._at = offset if whence == 0 else self._at + offset if whence == 1 else len(self._view) + offset
        return self._at


def aiohttp_loop(target: Target) -> Callable[[], Put]:
    """One event loop in a thread of its own; workers read and hash, the loop sends."""
    import aiohttp

    sign = target.signer()
    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, daemon=True).start()

    async def opened() -> Any:
        return aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=64, ssl=target.context or False))

    session = asyncio.run_coroutine_threadsafe(opened(), loop).result()

    async def send(index: int, data: bytearray, digest: bytes) -> None:
        url = target.url + path_of(index)
        async with session.put(url, data=memoryview(data), headers=sign(index, digest)) as answer:
            await answer.read()
            expect(answer.status)

    def put(index: int, data: bytearray, digest: bytes) -> None:
        sent: Future[None] = asyncio.run_coroutine_threadsafe(send(index, data, digest), loop)
        sent.result()

    return lambda: put


def expect(status: int) -> None:
    if status != 201:
        raise SystemExit(f"the endpoint answered {status}")


LAYERS: dict[str, Callable[[Target], Callable[[], Put]]] = {
    "socket": lambda target: plain_socket(target, signed=False),
    "socket-signed": lambda target: plain_socket(target, signed=True),
    "http.client": http_client,
    "urllib3": urllib3_pool,
    "botocore.httpsession": botocore_session,
    "boto3": boto3_client,
    "awscrt": crt,
    "aiohttp": aiohttp_loop,
}


def copy(file: str, threads: int, start: Callable[[], Put]) -> None:
    fd = os.open(file, os.O_RDONLY)
    indices: Iterator[int] = iter(range(os.fstat(fd).st_size // BLOCK))
    draw = threading.Lock()
    failures: list[BaseException] = []

    def work() -> None:
        put, buffer = start(), bytearray(BLOCK)
        while not failures:
            with draw:
                index = next(indices, None)
            if index is None:
                return
            if os.preadv(fd, [buffer], index * BLOCK) != BLOCK:
                raise SystemExit("the file ends early")
            put(index, buffer, hashlib.sha256(buffer).digest())

    def guarded() -> None:
        try:
            work()
        except BaseException as error:
            failures.append(error)

    workers = [threading.Thread(target=guarded) for _ in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    os.close(fd)
    if failures:
        raise failures[0]


def cpu_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def main(arguments: list[str]) -> None:
    layer, url, file, threads, *ca = arguments
    start = LAYERS[layer](Target(url, ca[0] if ca else None))
    began, cpu = time.perf_counter(), cpu_seconds()
    copy(file, int(threads), start)
    print(json.dumps({"seconds": time.perf_counter() - began, "cpu_seconds": cpu_seconds() - cpu}), flush=True)
    os._exit(0)  # some layers leave threads behind


if __name__ == "__main__":
    main(sys.argv[1:])
