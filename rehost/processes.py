"""Whether a process of this machine still runs."""

from __future__ import annotations

import os
from pathlib import Path


def is_running(pid: int) -> bool:
    """False for a number that is nobody's, and for a process that has ended but whose parent has not asked for its exit
    code: in a container whose first process is no init, one that lost its parent stays like that (a zombie) for good.
    """
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass  # somebody else's, but there
    try:
        # "PID (COMMAND) STATE ...", and the command may hold spaces and brackets: proc(5).
        state = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[0]
    except (OSError, IndexError):
        return not Path(
            "/proc/self/stat"
        ).exists()  # ended in between; elsewhere than on Linux, the signal is all there is
    return state not in {b"Z", b"X"}
