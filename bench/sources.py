"""Sources that are read over NBD, against `qemu-img convert` from the same export.

python -m bench.sources      writes build/bench/sources.json; exit code 1 where a target is missed

Full: a disk, half of it data that does not compress, served by one qemu-nbd. `qemu-img convert` copies it into a sparse raw
file; ours finds what is allocated, reads it and hashes it (SHA-256 of each block), as a run does. They take turns, and the
medians are compared. Changed: a hundredth of that data is overwritten in a QEMU that runs, and a second run reads what its
bitmap says.
"""

from __future__ import annotations

import hashlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rehost.blocks import BLOCK_SIZE, Extent, blocks_of
from rehost.sources import Quiesce, open_source
from rehost.sources.nbd import NbdClient
from rehost.sources.qemu import qmp_session
from tools._paths import ROOT

TARGET_RATIO = 1.2  # of qemu-img's wall time
REPEATS = 5
THREADS = 4
_DISK = 2 << 30  # bytes
_DATA = 1 << 30  # bytes of it that are data, in stretches of 64 MiB
_STRETCH = 64 << 20
_CHANGED = 100  # one in so many blocks
_SECONDS = 30


def main() -> int:
    scratch = ROOT / "build" / "bench"
    scratch.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=scratch, prefix="s") as name:
        folder = Path(name)
        disk = _make_disk(folder)
        result: dict[str, Any] = {"disk_bytes": _DISK, "data_bytes": _DATA, "threads": THREADS, "repeats": REPEATS}
        result |= _full(folder, disk)
        result["changed"] = _changed(folder, disk)
    (scratch / "sources.json").write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps(result, indent=2))
    return 0 if result["ratio"] <= TARGET_RATIO and result["changed"]["proportional"] else 1


def _make_disk(folder: Path) -> Path:
    raw, disk = folder / "disk.raw", folder / "disk.qcow2"
    with open(raw, "wb") as file:
        file.truncate(_DISK)
        for number in range(_DATA // _STRETCH):
            file.seek(2 * number * _STRETCH)
            file.write(os.urandom(_STRETCH))
    _run("qemu-img", "convert", "-f", "raw", "-O", "qcow2", raw, disk)
    raw.unlink()
    return disk


def _run(*command: str | Path) -> None:
    subprocess.run(list(map(str, command)), check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)


@contextmanager
def _process(*command: str | Path, ready: Path) -> Iterator[None]:
    with subprocess.Popen(list(map(str, command)), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL) as process:
        try:
            deadline = time.monotonic() + _SECONDS
            while not ready.exists():
                if process.poll() is not None or time.monotonic() > deadline:
                    raise SystemExit(f"{command[0]} did not start")
                time.sleep(0.01)
            yield
        finally:
            process.terminate()


def _full(folder: Path, disk: Path) -> dict[str, Any]:
    at, target = folder / "nbd", folder / "copy.raw"
    theirs: list[float] = []
    ours: list[float] = []
    serve = ("qemu-nbd", "--read-only", "--persistent", "--shared=16", "-f", "qcow2", "-k", at, disk)
    with _process(*serve, ready=at):
        read = 0
        for _ in range(REPEATS):
            target.unlink(missing_ok=True)
            theirs.append(_timed(lambda: _run("qemu-img", "convert", "-O", "raw", f"nbd+unix:///?socket={at}", target)))
            started = time.monotonic()
            read = _read_export(at)
            ours.append(time.monotonic() - started)
    target.unlink()
    own, other = statistics.median(ours), statistics.median(theirs)
    return {
        "qemu_img_convert_seconds": [round(each, 3) for each in theirs],
        "read_and_hash_seconds": [round(each, 3) for each in ours],
        "read_bytes": read,
        "read_mib_per_second": round(read / own / (1 << 20)),
        "ratio": round(own / other, 2),
        "target_ratio": TARGET_RATIO,
    }


def _timed(work: Callable[[], None]) -> float:
    started = time.monotonic()
    work()
    return time.monotonic() - started


def _read_export(at: Path) -> int:
    with NbdClient(at, connections=THREADS) as client:
        return _hash_all(client.allocated(), client.size, client.read_into)


def _hash_all(extents: Iterable[Extent], size: int, read_into: Callable[[int, memoryview], int]) -> int:
    """Read and hash every block that the extents touch; the bytes that were read."""
    buffers = threading.local()

    def one(index: int) -> int:
        if not hasattr(buffers, "block"):
            buffers.block = bytearray(BLOCK_SIZE)
        offset = index * BLOCK_SIZE
        length, done = min(BLOCK_SIZE, size - offset), 0
        with memoryview(buffers.block) as view:
            while done < length:
                done += read_into(offset + done, view[done:length])
        hashlib.sha256(buffers.block).digest()
        return done

    with ThreadPoolExecutor(THREADS) as pool:
        return sum(pool.map(one, blocks_of(extents)))


def _changed(folder: Path, disk: Path) -> dict[str, Any]:
    """Two runs of a machine whose processor stands still; what writes between them is QEMU itself."""
    sockets = folder / "q"
    sockets.mkdir()
    machine = ["qemu-system-x86_64", "-machine", "q35,accel=tcg", "-m", "16", "-S", "-nodefaults", "-display", "none"]
    machine += ["-qmp", f"unix:{sockets / 'a.qmp'},server=on,wait=off"]
    machine += ["-drive", f"if=none,id=d,file={disk},format=qcow2", "-device", "virtio-blk-pci,drive=d,id=vda"]
    with _process(*machine, ready=sockets / "a.qmp"):
        source = open_source({"type": "qemu", "sockets": "q", "scratch": "x"}, base=folder)

        def run(name: str, since: str | None) -> tuple[str, float, int]:
            started = time.monotonic()
            frozen = source.freeze({"name": "a"}, quiesce=Quiesce.NONE, run=name)
            [taken] = frozen.disks
            read = _hash_all(taken.extents(since), taken.size, taken.read_into)
            frozen.check()
            position = taken.position
            frozen.release()
            return position, time.monotonic() - started, read

        position, full_seconds, full_read = run("run-1", None)
        _overwrite(sockets / "a.qmp")
        _, seconds, read = run("run-2", position)
    expected = _DATA // _CHANGED
    return {
        "full_seconds": round(full_seconds, 3),
        "full_read_bytes": full_read,
        "seconds": round(seconds, 3),
        "read_bytes": read,
        "changed_bytes": expected,
        # A block of ours is read for each that changed, and no more.
        "proportional": read <= expected + BLOCK_SIZE and seconds < full_seconds / 4,
    }


def _overwrite(qmp: Path) -> None:
    with qmp_session("a", qmp) as monitor:
        for number in range(_DATA // _CHANGED // BLOCK_SIZE):
            stretch, within = divmod(number * _CHANGED * BLOCK_SIZE, _STRETCH)
            offset = 2 * stretch * _STRETCH + within - within % BLOCK_SIZE
            command = (
                f'qemu-io -d /machine/peripheral/vda/virtio-backend "write -P {number % 255 + 1} {offset} {BLOCK_SIZE}"'
            )
            if said := monitor.execute("human-monitor-command", command_line=command):
                raise SystemExit(said)


if __name__ == "__main__":
    sys.exit(main())
