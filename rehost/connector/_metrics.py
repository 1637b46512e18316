"""What Prometheus sees of a connector: `rehost connector run --metrics-port`. docs/operations.md lists the names."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from prometheus_client import CollectorRegistry, Counter, Gauge, start_http_server

from rehost.blocks import BLOCK_SIZE
from rehost.transfer import Progress

_DISK = ("stack", "server", "disk")


class Metrics:
    """One connector's, in a registry of its own: the tests have several in one process. Thread-safe."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()

        def counter(name: str, text: str) -> Counter:
            return Counter(f"rehost_{name}", text, _DISK, registry=self.registry)

        def gauge(name: str, text: str, labels: tuple[str, ...] = _DISK) -> Gauge:
            return Gauge(f"rehost_{name}", text, labels, registry=self.registry)

        self._sent = counter("sent_bytes", "Bytes of blocks that EBS has acknowledged")
        self._read = counter("read_bytes", "Bytes read from the source")
        self._unchanged = counter("unchanged_blocks", "Blocks read and found equal to the last run's")
        self._zero = counter("zero_blocks", "Blocks read, found zero and not sent")
        self._refusals = counter("throttled_answers", "Answers of EBS that asked to slow down")
        self._done = gauge("copy_blocks_done", "Blocks of the present copy that are done")
        self._total = gauge("copy_blocks", "Blocks that the present copy has to look at")
        self._in_flight = gauge("copy_in_flight", "Blocks in flight at most, as last found by measuring")
        self._runs = gauge("active_runs", "Replication runs under way in this connector", ())

    def watch_runs(self, count: Callable[[], int]) -> None:
        self._runs.set_function(count)

    @contextmanager
    def copy(self, *disk: str) -> Iterator[Callable[[Progress], None]]:
        """What to tell the progress of one copy; `disk` is its stack, its server and its key."""
        last: list[Progress] = []
        lock = threading.Lock()

        def tell(now: Progress) -> None:
            with lock:
                before = last.pop() if last else None
                last.append(now)
            for metric, after, earlier in (
                (self._sent, now.sent_blocks * BLOCK_SIZE, before.sent_blocks * BLOCK_SIZE if before else 0),
                (self._read, now.read_bytes, before.read_bytes if before else 0),
                (self._unchanged, now.unchanged_blocks, before.unchanged_blocks if before else 0),
                (self._zero, now.zero_blocks, before.zero_blocks if before else 0),
                (self._refusals, now.refusals, before.refusals if before else 0),
            ):
                metric.labels(*disk).inc(max(0, after - earlier))
            self._done.labels(*disk).set(now.blocks_done)
            self._total.labels(*disk).set(now.blocks_total)
            self._in_flight.labels(*disk).set(now.in_flight)

        try:
            yield tell
        finally:
            for gone in (self._done, self._total, self._in_flight):
                if last:
                    gone.remove(*disk)

    @contextmanager
    def served(self, address: str, port: int) -> Iterator[int]:
        """Serve them at http://address:port/metrics while the context is open; port 0 lets the system choose."""
        server, thread = start_http_server(port, address, self.registry)
        try:
            yield int(server.server_port)
        finally:
            server.shutdown()
            server.server_close()
            thread.join()
