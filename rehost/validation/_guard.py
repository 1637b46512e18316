"""Runs a command in a group of processes of its own, and ends all of it once standard input ends: when whoever started it
does. Started as a program, so that nothing but the standard library is imported: `python -I _guard.py PROGRAM ARGUMENT ...`.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading

NOT_STARTED = 127


def main(command: list[str]) -> int:
    try:
        child = subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True)
    except OSError as error:
        print(f"{command[0]} cannot be started: {error.strerror}", file=sys.stderr)
        return NOT_STARTED

    def end_with_parent() -> None:
        while os.read(0, 1):
            pass
        end(child.pid)

    threading.Thread(target=end_with_parent, daemon=True).start()
    code = child.wait()
    end(child.pid)  # what it left in the background
    return 128 - code if code < 0 else code


def end(group: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, signal.SIGKILL)


if __name__ == "__main__":
    # Not an ordinary exit: the thread that waits for the parent holds standard input.
    os._exit(main(sys.argv[1:]))
