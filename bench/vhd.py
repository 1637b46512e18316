"""Virtual disks of Hyper-V on the local disk, read by our reader, against `qemu-img convert` of the same files.

python -m bench.vhd       writes build/bench/vhd.json; exit code 1 where a target is missed

Half of each disk is data that does not compress, in the page cache. Ours finds what is allocated and reads it in pieces of 1 MiB,
one after the other, in one thread, into memory: what it costs to find the bytes, without anything done with them. qemu-img copies
into a target that takes no bytes (QEMU's null-co), so that neither writes. They take turns, and the medians are compared.
`scattered` is a differencing VHDX of which every other 4 KiB are its parent's; QEMU cannot read one, and its
figures are those of the parent.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rehost.sources.vhd import LocalFiles, open_disk
from sandbox.vhdx import create
from tools._paths import ROOT

TARGET_RATIO = 1.3  # of qemu-img's wall time
REPEATS = 7
_DISK = 1 << 30  # bytes
_STRETCH = 64 << 20  # data and holes in turn
_PIECE = 1 << 20


def main() -> int:
    scratch = ROOT / "build" / "bench"
    scratch.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=scratch, prefix="v") as name:
        result = _measure(Path(name))
    (scratch / "vhd.json").write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps(result, indent=2))
    return 0 if all(case["ratio"] <= TARGET_RATIO for case in result["cases"].values()) else 1


def _measure(folder: Path) -> dict[str, Any]:
    disks = _make_disks(folder)
    cases: dict[str, Any] = {}
    for case, (kind, path, peer) in disks.items():
        nothing = f"driver=null-co,size={_size(path)}"
        theirs: list[float] = []
        ours: list[float] = []
        read = 0

        def copy(kind: str = kind, peer: Path = peer, nothing: str = nothing) -> None:
            _qemu_img("convert", "-f", kind, "-n", "--target-image-opts", peer, nothing)

        for _turn in range(REPEATS):
            theirs.append(_timed(copy))
            began = time.monotonic()
            read = _read(path)
            ours.append(time.monotonic() - began)
        own, other = statistics.median(ours), statistics.median(theirs)
        cases[case] = {
            "qemu_img_convert_seconds": [round(each, 3) for each in theirs],
            "read_seconds": [round(each, 3) for each in ours],
            "read_bytes": read,
            "read_mib_per_second": round(read / own / (1 << 20)),
            "ratio": round(own / other, 2),
        }
    return {"disk_bytes": _DISK, "repeats": REPEATS, "cases": cases, "target_ratio": TARGET_RATIO}


def _make_disks(folder: Path) -> dict[str, tuple[str, Path, Path]]:
    """By name: what QEMU calls the format, the file, and the one that QEMU reads."""
    raw = folder / "disk.raw"
    with raw.open("wb") as file:
        file.truncate(_DISK)
        for offset in range(0, _DISK, 2 * _STRETCH):
            file.seek(offset)
            file.write(os.urandom(_STRETCH))
    found = {}
    for case, kind, options in (
        ("vhdx", "vhdx", "subformat=dynamic"),
        ("vhdx-1m", "vhdx", "subformat=dynamic,block_size=1M"),
        ("vhd", "vpc", "subformat=dynamic,force_size=on"),
    ):
        path = folder / f"{case}.{'vhd' if kind == 'vpc' else 'vhdx'}"
        _qemu_img("convert", "-f", "raw", "-O", kind, "-o", options, raw, path)
        found[case] = (kind, path, path)
    raw.unlink()
    child = folder / "child.vhdx"
    with create(child, parent=found["vhdx"][1]) as disk:
        for offset in range(0, _DISK, 2 * _STRETCH):
            for at in range(offset, offset + _STRETCH, 8192):
                disk.write(at, os.urandom(4096))
    found["scattered"] = ("vhdx", child, found["vhdx"][1])
    return found


def _size(path: Path) -> int:
    disk = open_disk(str(path), LocalFiles())
    disk.close()
    return disk.size


def _read(path: Path) -> int:
    disk = open_disk(str(path), LocalFiles())
    buffer = memoryview(bytearray(_PIECE))
    done = 0
    for extent in disk.extents():
        for offset in range(extent.offset, extent.end, _PIECE):
            done += disk.read_into(offset, buffer[: min(_PIECE, extent.end - offset)])
    disk.close()
    return done


def _qemu_img(*arguments: str | Path) -> None:
    subprocess.run(["qemu-img", *map(str, arguments)], check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)


def _timed(work: Callable[[], None]) -> float:
    began = time.monotonic()
    work()
    return time.monotonic() - began


if __name__ == "__main__":
    raise SystemExit(main())
