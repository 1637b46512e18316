"""What reading a page blob costs this process: `python -m bench.azure_reads [MIB]`, in the environment of the tests.

A server in a process of its own answers ranges over TLS from memory; three clients read them, one request at a time, into one
buffer. The blob says that it is no page blob: of one, azure-storage-blob asks for the page ranges with each read. Prints CPU seconds a GiB of the client's process, and MiB/s.
"""

from __future__ import annotations

import http.client
import multiprocessing
import resource
import socket
import ssl
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import urllib3
from azure.storage.blob import BlobClient

from sandbox.azure._certificate import make_certificates

BLOCK = 512 * 1024  # what the transfer asks for
MIB = 1 << 20


def serve(listener: socket.socket, certificate: Path, private: Path) -> None:
    """Answer every GET with the range that it asks for, of one connection after the other."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, private)
    body = bytes(range(256)) * (BLOCK // 256)
    while True:
        plain, _ = listener.accept()
        with context.wrap_socket(plain, server_side=True) as connection, connection.makefile("rb") as lines:
            while lines.readline():
                headers = dict(iter(partial(_header, lines), ("", "")))
                start = int(headers.get("range", headers.get("x-ms-range", "bytes=0-")).split("=")[1].split("-")[0])
                told = (
                    "HTTP/1.1 206 Partial Content\r\nContent-Type: application/octet-stream\r\nx-ms-blob-type: BlockBlob\r\n"
                    f"Content-Range: bytes {start}-{start + BLOCK - 1}/{1 << 40}\r\nContent-Length: {BLOCK}\r\n"
                    'ETag: "1"\r\nLast-Modified: Wed, 25 Nov 2026 21:00:00 GMT\r\n\r\n'
                )
                connection.sendall(told.encode())
                connection.sendall(body)


def _header(lines: object) -> tuple[str, str]:
    name, _, value = lines.readline().decode().strip().partition(":")  # type: ignore[attr-defined]
    return name.lower(), value.strip()


def by_http_client(port: int, ca: Path, count: int) -> None:
    """As rehost/sources/azure/_blob.py does."""
    connection = http.client.HTTPSConnection("127.0.0.1", port, context=ssl.create_default_context(cafile=str(ca)))
    buffer = memoryview(bytearray(BLOCK))
    for block in range(count):
        connection.request("GET", "/a/b?sig=x", headers={"Range": f"bytes={block * BLOCK}-{(block + 1) * BLOCK - 1}"})
        answer = connection.getresponse()
        got = 0
        while got < BLOCK:
            got += answer.readinto(buffer[got:])
        answer.read()
    connection.close()


def by_urllib3(port: int, ca: Path, count: int) -> None:
    buffer = memoryview(bytearray(BLOCK))
    with urllib3.PoolManager(ca_certs=str(ca)) as pool:
        for block in range(count):
            headers = {"Range": f"bytes={block * BLOCK}-{(block + 1) * BLOCK - 1}"}
            answer = pool.request("GET", f"https://127.0.0.1:{port}/a/b?sig=x", headers=headers, preload_content=False)
            got = 0
            while got < BLOCK:
                got += answer.readinto(buffer[got:])
            answer.release_conn()


def by_azure(port: int, ca: Path, count: int) -> None:
    buffer = memoryview(bytearray(BLOCK))
    url = f"https://127.0.0.1:{port}/account/container/blob?sv=2021-12-02&sr=b&sig=x"
    with BlobClient.from_blob_url(url, connection_verify=str(ca), max_single_get_size=BLOCK) as blob:
        for block in range(count):
            buffer[:] = blob.download_blob(offset=block * BLOCK, length=BLOCK).readall()


CLIENTS: dict[str, Callable[[int, Path, int], None]] = {
    "http.client, into the buffer": by_http_client,
    "urllib3": by_urllib3,
    "azure-storage-blob": by_azure,
}


def main() -> None:
    mib = int(sys.argv[1]) if len(sys.argv) > 1 else 512
    with tempfile.TemporaryDirectory() as folder, socket.create_server(("127.0.0.1", 0)) as listener:
        ca, certificate, private = make_certificates(Path(folder))
        server = multiprocessing.get_context("fork").Process(target=serve, args=(listener, certificate, private))
        server.start()
        try:
            for name, client in CLIENTS.items():
                _one(name, client, listener.getsockname()[1], ca, mib)
        finally:
            server.terminate()
            server.join()


def _one(name: str, client: Callable[[int, Path, int], None], port: int, ca: Path, mib: int) -> None:
    before, began = resource.getrusage(resource.RUSAGE_SELF), time.monotonic()
    client(port, ca, mib * MIB // BLOCK)
    after, took = resource.getrusage(resource.RUSAGE_SELF), time.monotonic() - began
    spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    print(f"{name}: {spent * 1024 / mib:.2f} CPU s a GiB, {mib / took:.0f} MiB/s")


if __name__ == "__main__":
    main()
