"""From a TCP port of the loopback interface to a unix socket."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def relay(target: Path) -> Iterator[tuple[str, int]]:
    """The address of a listener that passes one client on to `target`."""
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.socket(socket.AF_UNIX) as behind:
        behind.connect(str(target))
        threads: list[threading.Thread] = []
        ends: list[socket.socket] = []

        def accept() -> None:
            with suppress(OSError):
                client, _ = listener.accept()
                ends.append(client)
                for pair in ((client, behind), (behind, client)):
                    threads.append(threading.Thread(target=_pump, args=pair, daemon=True))
                    threads[-1].start()

        accepting = threading.Thread(target=accept, daemon=True)
        accepting.start()
        try:
            yield listener.getsockname()[:2]
        finally:
            for end in (*ends, behind):
                with suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)
            accepting.join(10)
            for thread in threads:
                thread.join(10)
            for end in ends:
                end.close()


def _pump(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(1 << 16):
            sink.sendall(data)
