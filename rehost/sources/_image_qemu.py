"""Images in other formats than raw, through QEMU's own programs: qemu-img says how large, qemu-nbd reads."""

from __future__ import annotations

import json
import re
import shutil
import socket
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

from rehost.blocks import Extent
from rehost.sources._errors import DiskUnsuitable, ReadFailed
from rehost.sources._image_layers import Layers
from rehost.sources.nbd import NbdClient, NbdError

_INFO_SECONDS = 30.0
#: What a program may take for an image that was made to be a burden: 4 GiB of memory.
_LIMIT = ("--as=4294967296",)
_CONNECTIONS = 4


def virtual_size(layers: Layers) -> int:
    """Bytes of the disk. Raises DiskUnsuitable, also where qemu-img is not installed."""
    # It looks at the topmost layer alone, and takes no description of what is below.
    top = "json:" + json.dumps({name: value for name, value in layers.node.items() if name != "backing"})
    command = [*_limited("--cpu=60"), _program("qemu-img", layers), "info", "--output=json", top]
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_INFO_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise _unsuitable(layers, f"qemu-img could not make it out within {_INFO_SECONDS:g} s") from None
    if done.returncode != 0:
        raise _unsuitable(layers, _complaint(layers, done.stderr))
    return int(json.loads(done.stdout)["virtual-size"])


def _program(name: str, layers: Layers) -> str:
    found = shutil.which(name)
    if found is None:
        reason = f"it is in {layers.format} format, and {name} is not installed; Debian package qemu-utils"
        raise _unsuitable(layers, reason)
    return found


def _limited(*more: str) -> list[str]:
    prlimit = shutil.which("prlimit")
    return [prlimit, *_LIMIT, *more] if prlimit else []


def _unsuitable(layers: Layers, reason: str) -> DiskUnsuitable:
    return DiskUnsuitable(path=str(layers.files[0]), reason=reason)


def _complaint(layers: Layers, said: str) -> str:
    """What QEMU said, without the image's description, which it repeats."""
    lines = said.strip().splitlines() or ["it ended without a word"]
    text = lines[-1].partition("'json:")[0] + lines[-1].rpartition("}': ")[2]
    text = text.removeprefix("qemu-img: ").removeprefix("qemu-nbd: ").removeprefix("Could not open ")
    if re.search(r"Failed to get .*lock", said):
        return f"a running QEMU has it open; use a source of type qemu, or shut the server down ({text})"
    return f"it is in {layers.format} format, and QEMU cannot open it: {text}"


class ImageServer:
    """One image, served by a qemu-nbd of its own. Thread-safe; starts when first used."""

    def __init__(self, key: str, layers: Layers, size: int) -> None:
        self._key, self._layers, self._size = key, layers, size
        self._lock = threading.Lock()
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._client: NbdClient | None = None

    def allocated(self) -> Iterator[Extent]:
        try:
            yield from self._started().allocated()
        except NbdError as error:
            raise ReadFailed(disk=self._key, offset=0, detail=str(error)) from error

    def read_into(self, offset: int, buffer: memoryview) -> int:
        """Raises ReadFailed."""
        try:
            return self._started().read_into(offset, buffer)
        except NbdError as error:
            with self._lock:
                if self._process is not None and self._process.poll() is not None:
                    self._stop()  # the next attempt starts another
            raise ReadFailed(disk=self._key, offset=offset, detail=str(error)) from error

    def close(self) -> None:
        with self._lock:
            self._stop()

    def _started(self) -> NbdClient:
        with self._lock:
            if self._client is None:
                try:
                    self._client = self._start()
                except BaseException:
                    self._stop()
                    raise
            return self._client

    def _start(self) -> NbdClient:
        """Without `--persistent`, qemu-nbd ends with its last client: with this process, however that ends.

        The socket is made here and handed over, so that there is nothing to wait for: who connects waits in its queue.
        """
        self._folder = tempfile.TemporaryDirectory(prefix="rehost-nbd-")  # readable by this user alone
        at = Path(self._folder.name) / "s"
        # systemd's socket activation, sd_listen_fds(3): descriptor 3 is the socket of the process that LISTEN_PID names.
        handover = 'LISTEN_PID=$$ LISTEN_FDS=1 exec "$@" 3<&0 0</dev/null'
        serve = [_program("qemu-nbd", self._layers), "--read-only", "--shared=0", self._layers.filename]
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(at))
            listener.listen(_CONNECTIONS * 2)
            self._process = subprocess.Popen(
                ["/bin/sh", "-c", handover, "sh", *_limited(), *serve],
                stdin=listener.fileno(),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                start_new_session=True,
            )
        client = NbdClient(at, connections=_CONNECTIONS)
        try:
            size = client.size
        except NbdError as error:
            client.close()
            raise self._why(error) from error
        if size != self._size:
            client.close()
            detail = f"qemu-nbd says that it has {size} bytes, and qemu-img said {self._size}"
            raise ReadFailed(disk=self._key, offset=0, detail=detail)
        return client

    def _why(self, error: NbdError) -> Exception:
        """Of a qemu-nbd that did not come up, what it said."""
        process = self._process
        try:
            said = process.communicate(timeout=5)[1].decode(errors="replace") if process is not None else ""
        except subprocess.TimeoutExpired:
            return ReadFailed(disk=self._key, offset=0, detail=str(error))
        return _unsuitable(self._layers, _complaint(self._layers, said))

    def _stop(self) -> None:
        if self._client is not None:
            self._client.close()
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            if self._process.stderr is not None:
                self._process.stderr.close()
        if self._folder is not None:
            self._folder.cleanup()
        self._client = self._process = self._folder = None
