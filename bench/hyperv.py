"""A VHDX read over SMB 3, encrypted, against `qemu-img convert` of the same file from the local disk to a raw file.

python -m bench.hyperv       writes build/bench/hyperv.json; exit code 1 where a target is missed

A dynamic VHDX with a gigabyte of data that does not compress, in the page cache, served by smbd on loopback. Ours is a process
of its own that reads every block that is allocated, as a run does, without and with hashing it (SHA-256); its seconds are counted
from the first connection on, after the imports, and its memory is the whole process's. They take turns, and the medians are
compared. qemu-img's copy has to go to the disk at some time, and whether that falls into its own seconds is the kernel's to
decide, so it is measured too into a target that takes no bytes (QEMU's null-co). And the same file is read with nothing but
smbprotocol's own `Open.read`, which says what the short path is worth.
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
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from pathlib import Path
from typing import Any

from bench._measure import run
from rehost.blocks import BLOCK_SIZE, blocks_of
from rehost.sources.smb import SmbCredentials, SmbFiles
from rehost.sources.vhd import open_disk
from sandbox import Samba
from tools._paths import ROOT

TARGET_RATIO = 1.3  # of qemu-img's wall time
TARGET_MIB = 250.0  # of memory
REPEATS = 7
THREADS = (1, 2, 4)
_CHOSEN = 2  # of them, for the ratio: as many as this machine has cores beside smbd's share of them
_DISK = 2 << 30  # bytes
_DATA = 1 << 30  # bytes of it that are data, in stretches of 64 MiB
_STRETCH = 64 << 20


def main() -> int:
    if sys.argv[1:2] == ["--read"]:
        import_module("rehost.sources.smb._login")  # which a source does once, at its first connection
        print(json.dumps(_READERS[sys.argv[2]](int(sys.argv[3]))))
        return 0
    scratch = ROOT / "build" / "bench"
    scratch.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=scratch, prefix="h") as name:
        result = _measure(Path(name))
    (scratch / "hyperv.json").write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps(result, indent=2))
    return 0 if result["ratio"] <= TARGET_RATIO and result["max_rss_mib"] <= TARGET_MIB else 1


def _measure(folder: Path) -> dict[str, Any]:
    disk, target = _make_disk(folder), folder / "copy.raw"
    cases = [("vhdx", threads) for threads in THREADS] + [("vhdx-hashed", _CHOSEN), ("smbprotocol", 4)]
    taken: dict[str, list[dict[str, Any]]] = {f"{how}-{threads}": [] for how, threads in cases}
    theirs: list[float] = []
    nowhere: list[float] = []
    with Samba(folder / "samba", {"VMs": disk.parent}) as samba:
        environment = {"BENCH_SMB": json.dumps([samba.host, samba.port, samba.user, samba.password])}
        for _ in range(REPEATS):
            target.unlink(missing_ok=True)
            theirs.append(_timed("-O", "raw", disk, target))
            target.unlink()
            nothing = f"driver=null-co,size={_DISK}"
            nowhere.append(_timed("-n", "--target-image-opts", disk, nothing))
            for how, threads in cases:
                taken[f"{how}-{threads}"].append(_one(how, threads, environment))
    readers = {case: _summary(samples) for case, samples in taken.items()}
    chosen = readers[f"vhdx-{_CHOSEN}"]
    other = statistics.median(theirs)
    return {
        "disk_bytes": _DISK,
        "data_bytes": _DATA,
        "repeats": REPEATS,
        "qemu_img_convert": {"seconds": round(other, 3), "seconds_spread": _spread(theirs)},
        "qemu_img_convert_to_nowhere": {
            "seconds": round(statistics.median(nowhere), 3),
            "seconds_spread": _spread(nowhere),
        },
        "readers": readers,
        "ratio": round(chosen["seconds"] / other, 2),
        "target_ratio": TARGET_RATIO,
        "max_rss_mib": max(each["max_rss_mib"] for case, each in readers.items() if case.startswith("vhdx")),
        "target_mib": TARGET_MIB,
    }


def _make_disk(folder: Path) -> Path:
    raw, disk = folder / "disk.raw", folder / "VMs" / "disk.vhdx"
    disk.parent.mkdir()
    with raw.open("wb") as file:
        file.truncate(_DISK)
        for number in range(_DATA // _STRETCH):
            file.seek(2 * number * _STRETCH)
            file.write(os.urandom(_STRETCH))
    _qemu_img("convert", "-f", "raw", "-O", "vhdx", "-o", "subformat=dynamic", raw, disk)
    raw.unlink()
    return disk


def _qemu_img(*arguments: str | Path) -> None:
    subprocess.run(["qemu-img", *map(str, arguments)], check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)


def _timed(*arguments: str | Path) -> float:
    began = time.monotonic()
    _qemu_img("convert", "-f", "vhdx", *arguments)
    return time.monotonic() - began


def _one(how: str, threads: int, environment: Mapping[str, str]) -> dict[str, Any]:
    command = [sys.executable, "-m", "bench.hyperv", "--read", how, str(threads)]
    sample = run(command, {**os.environ, **environment})
    return {**json.loads(sample.output), "max_rss_mib": sample.max_rss_mib}


def _summary(samples: list[dict[str, Any]]) -> dict[str, Any]:
    seconds = [each["seconds"] for each in samples]
    middle = statistics.median(seconds)
    read = samples[0]["read_bytes"]
    if any(each["read_bytes"] != read for each in samples) or not _DATA <= read <= _DATA + (64 << 20):
        raise SystemExit(f"{read} bytes were read of {_DATA}")
    return {
        "seconds": round(middle, 3),
        "seconds_spread": _spread(seconds),
        "own_cpu_seconds": round(statistics.median(each["cpu_seconds"] for each in samples), 3),
        "mib_per_second": round(read / middle / (1 << 20)),
        "max_rss_mib": round(max(each["max_rss_mib"] for each in samples), 1),
    }


def _spread(seconds: list[float]) -> list[float]:
    return [round(min(seconds), 3), round(max(seconds), 3)]


def _server() -> tuple[str, int, str, str]:
    host, port, user, password = json.loads(os.environ["BENCH_SMB"])
    return host, port, user, password


def _read_vhdx(threads: int, *, hashed: bool = False) -> dict[str, Any]:
    host, port, user, password = _server()
    buffers = threading.local()
    with _Clock() as clock, SmbFiles(host, SmbCredentials(user, password), port=port, connections=threads) as files:
        disk = open_disk(rf"\\{host}\VMs\disk.vhdx", files)

        def block(index: int) -> int:
            if not hasattr(buffers, "block"):
                buffers.block = memoryview(bytearray(BLOCK_SIZE))
            got = disk.read_into(index * BLOCK_SIZE, buffers.block)
            if hashed:
                hashlib.sha256(buffers.block[:got]).digest()
            return got

        with ThreadPoolExecutor(threads) as pool:
            read = sum(pool.map(block, blocks_of(disk.extents())))
        disk.close()
    return {"read_bytes": read, **clock.taken}


def _read_hashed(threads: int) -> dict[str, Any]:
    return _read_vhdx(threads, hashed=True)


def _read_with_smbprotocol(threads: int) -> dict[str, Any]:
    """One connection, whose thread takes the answers apart for all readers: more of them were slower."""
    import uuid

    from smbprotocol.connection import Connection
    from smbprotocol.open import CreateDisposition, CreateOptions, FilePipePrinterAccessMask, ImpersonationLevel, Open
    from smbprotocol.session import Session
    from smbprotocol.tree import TreeConnect

    host, port, user, password = _server()
    with _Clock() as clock:
        connection = Connection(uuid.uuid4(), host, port)
        connection.connect()
        session = Session(connection, user, password)
        session.connect()
        tree = TreeConnect(session, rf"\\{host}\VMs")
        tree.connect()
        opened = Open(tree, "disk.vhdx")
        options = CreateOptions.FILE_NON_DIRECTORY_FILE
        access = FilePipePrinterAccessMask.GENERIC_READ
        opened.create(ImpersonationLevel.Impersonation, access, 0, 1, CreateDisposition.FILE_OPEN, options)
        size = opened.end_of_file

        def block(offset: int) -> int:
            return len(opened.read(offset, min(BLOCK_SIZE, size - offset)))

        with ThreadPoolExecutor(threads) as pool:
            read = sum(pool.map(block, range(0, size, BLOCK_SIZE)))
        connection.disconnect()
    return {"read_bytes": read, **clock.taken}


_READERS: Mapping[str, Callable[[int], dict[str, Any]]] = {
    "vhdx": _read_vhdx,
    "vhdx-hashed": _read_hashed,
    "smbprotocol": _read_with_smbprotocol,
}


class _Clock:
    def __enter__(self) -> _Clock:
        self._wall, self._processor = time.monotonic(), time.process_time()
        return self

    def __exit__(self, *_: object) -> None:
        self.taken = {
            "seconds": time.monotonic() - self._wall,
            "cpu_seconds": time.process_time() - self._processor,
        }


if __name__ == "__main__":
    sys.exit(main())
