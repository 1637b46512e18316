"""What QEMU starts for each connection of a guest to another machine: its bytes go from standard input to there, and back.

    python -I -S relay.py DOOR PORT

`DOOR` is a file that holds the address at which this host reaches the other machine; without it, the connection ends. It runs
alone, by its path, so that it is there within a few milliseconds.
"""

import select
import socket
import sys
from contextlib import suppress
from pathlib import Path

_CONNECT_SECONDS = 10


def main() -> None:
    try:
        address = Path(sys.argv[1]).read_text()
        there = socket.create_connection((address, int(sys.argv[2])), timeout=_CONNECT_SECONDS)
    except OSError:
        return
    there.settimeout(None)
    here = socket.socket(fileno=0)  # QEMU gives one socket as input and output
    ways = {here: there, there: here}
    while ways:
        for end in select.select(list(ways), [], [])[0]:
            data = b""
            with suppress(ConnectionError):
                data = end.recv(65536)
            if data:
                try:
                    ways[end].sendall(data)
                except OSError:
                    return
                continue
            with suppress(OSError):
                ways[end].shutdown(socket.SHUT_WR)
            del ways[end]


if __name__ == "__main__":
    main()
