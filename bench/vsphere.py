"""The vsphere source against the simulated vCenter: discovery of many machines, and a disk read over HTTPS.

python -m bench.vsphere      writes build/bench/vsphere.json; exit code 1 where 1,000 machines take longer than 10 s
"""

from __future__ import annotations

import hashlib
import json
import os
import statistics
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from rehost.blocks import BLOCK_SIZE
from rehost.sources import FrozenDisk, Quiesce, Source, open_source
from sandbox import VSphere
from sandbox._vsphere import PASSWORD, USER
from tools._paths import ROOT
from tools._progress import Progress
from tools.vsphere_sim import ensure

MACHINES = (100, 1000)
TARGET_SECONDS = 10.0  # for the most of them
REPEATS = 3
_DISK = 512 << 20  # bytes
_THREADS = 8


def main() -> int:
    program = ensure(Progress())
    os.environ.update({"BENCH_VC_USER": USER, "BENCH_VC_PASSWORD": PASSWORD})
    result: dict[str, Any] = {"discovery": [], "target_seconds": TARGET_SECONDS}
    scratch = ROOT / "build" / "bench"
    scratch.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=scratch) as folder:
        for count in MACHINES:
            with VSphere(Path(folder) / str(count), program, machines=count) as vcenter:
                result["discovery"].append(_discovery(vcenter, count))
        with VSphere(Path(folder) / "read", program) as vcenter:
            result["read"] = _read(vcenter, Path(folder))
    (scratch / "vsphere.json").write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps(result, indent=2))
    return 0 if result["discovery"][-1]["median_seconds"] <= TARGET_SECONDS else 1


def _source(vcenter: VSphere) -> Source:
    credentials = {"username": {"env": "BENCH_VC_USER"}, "password": {"env": "BENCH_VC_PASSWORD"}}
    tls = {"caFile": str(vcenter.ca)}
    return open_source(
        {"type": "vsphere", "endpoint": vcenter.endpoint, "credentials": credentials, "tls": tls}, base=Path()
    )


def _discovery(vcenter: VSphere, count: int) -> dict[str, Any]:
    """Log in, list, log out, as `rehost discover` does."""
    seconds = []
    for _ in range(REPEATS):
        before = sum(vcenter.state()["calls"].values())
        started = time.perf_counter()
        source = _source(vcenter)
        found = list(source.discover())
        source.close()
        seconds.append(time.perf_counter() - started)
        calls = sum(vcenter.state()["calls"].values()) - before
    if len(found) != count or not all(each.disks and each.facts["nics"] for each in found):
        raise SystemExit(f"{len(found)} of {count} machines were found")
    return {
        "machines": count,
        "calls": calls,
        "seconds": [round(each, 3) for each in seconds],
        "median_seconds": round(statistics.median(seconds), 3),
    }


def _read(vcenter: VSphere, folder: Path) -> dict[str, Any]:
    """A whole disk of random bytes, a block at a time from several threads."""
    path = folder / "disk.raw"
    with path.open("wb") as file:
        for _ in range(_DISK >> 20):
            file.write(os.urandom(1 << 20))
    vcenter.add("web-01", [path], cbt=True)
    source = _source(vcenter)
    frozen = source.freeze({"name": "web-01"}, quiesce=Quiesce.NONE, run="bench")
    over_https = [_timed(frozen.disks[0]) for _ in range(REPEATS)]
    frozen.release()
    source.close()
    return {
        "bytes": _DISK,
        "threads": _THREADS,
        "mib_per_second": round((_DISK >> 20) / statistics.median(over_https), 1),
    }


def _timed(disk: FrozenDisk) -> float:
    def block(offset: int) -> bytes:
        buffer = bytearray(BLOCK_SIZE)
        view = memoryview(buffer)
        at = 0
        while at < BLOCK_SIZE:
            at += disk.read_into(offset + at, view[at:])
        return hashlib.sha256(buffer).digest()

    started = time.perf_counter()
    with ThreadPoolExecutor(_THREADS) as pool:
        for _ in pool.map(block, range(0, disk.size, BLOCK_SIZE)):
            pass
    return time.perf_counter() - started


if __name__ == "__main__":
    sys.exit(main())
