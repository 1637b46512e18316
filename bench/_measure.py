"""One process, measured from outside: time, processor time and memory as the kernel counts them."""

from __future__ import annotations

import os
import statistics
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path


class BenchError(Exception):
    """A case cannot be measured; the message says why."""


@dataclass(frozen=True)
class Sample:
    seconds: float
    cpu_seconds: float
    max_rss_mib: float
    output: str
    requests: Mapping[str, int] = field(default_factory=dict)


def run(command: Sequence[str | Path], env: Mapping[str, str]) -> Sample:
    """Run `command` to its end. Raises BenchError, with what it said last, where it fails."""
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as said:
        began = time.perf_counter()
        process = subprocess.Popen(
            [str(part) for part in command], env=dict(env), stdin=subprocess.DEVNULL, stdout=output, stderr=said
        )
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - began
        process.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        said.seek(0)
        if process.returncode != 0:
            last = (said.read().decode(errors="replace").strip().splitlines() or ["nothing"])[-1]
            raise BenchError(f"{Path(command[0]).name} ended with {process.returncode}: {last[:300]}")
        text = output.read().decode()
    return Sample(seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024, text)


def summary(samples: Sequence[Sample]) -> dict[str, object]:
    """Medians, and the spread of the seconds."""
    seconds = [each.seconds for each in samples]
    return {
        "seconds": round(statistics.median(seconds), 3),
        "seconds_spread": [round(min(seconds), 3), round(max(seconds), 3)],
        "cpu_seconds": round(statistics.median(each.cpu_seconds for each in samples), 3),
        "max_rss_mib": round(max(each.max_rss_mib for each in samples), 1),
        "requests": dict(samples[-1].requests),
        "runs": len(samples),
    }
