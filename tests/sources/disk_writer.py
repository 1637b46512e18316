"""A guest as far as its disks go: a process that writes to the files it is told, one line of JSON a write, and answers each.

Being a process of its own, it can be stopped while its disks are frozen.
"""

from __future__ import annotations

import json
import os
import sys


def main() -> None:
    files: dict[str, int] = {}
    for line in sys.stdin:
        order = json.loads(line)
        path = order["path"]
        if path not in files:
            files[path] = os.open(path, os.O_WRONLY)
        os.pwrite(files[path], bytes.fromhex(order["data"]), order["offset"])
        print(flush=True)


if __name__ == "__main__":
    main()
