"""What of `virsh` the `qemu` source uses, over the QMP sockets in `$VIRSH_FOLDER`. Of the standard library alone, so that it
starts as fast as virsh does. A domain is running while somebody listens at `NAME.qmp`; `NAME.domain` is how it is started.
"""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

_SECONDS = 30.0


def main(arguments: list[str]) -> int:
    folder = Path(os.environ["VIRSH_FOLDER"])
    quiet, connect, uri, command, *rest = arguments
    assert (quiet, connect) == ("--quiet", "--connect")
    if uri != "qemu:///test":
        return _refuse("failed to connect to the hypervisor\nerror: no such driver")
    if command == "list":
        print("\n".join({path.stem for path in [*folder.glob("*.qmp"), *folder.glob("*.domain")]}) + "\nidle\n")
        return 0
    if command == "qemu-agent-command":
        return _refuse("Guest agent is not responding: QEMU guest agent is not connected")
    assert rest[0] == "--domain"
    return _of_domain(folder / rest[1], command, rest[2:])


def _of_domain(domain: Path, command: str, rest: list[str]) -> int:
    recipe, qmp = domain.with_suffix(".domain"), domain.with_suffix(".qmp")
    if command == "dominfo":
        print(f"Name:           {domain.name}\nPersistent:     {'yes' if recipe.exists() else 'no'}")
        return 0
    if command == "start":
        if _runs(qmp):
            return _refuse("Domain is already active")
        daemon = ["-S", "-daemonize", "-pidfile", str(domain.with_suffix(".pid"))]
        started = subprocess.run([*json.loads(recipe.read_text()), *daemon], check=False, stdin=subprocess.DEVNULL)
        if started.returncode:
            return _refuse("Failed to start domain")
        if rest != ["--paused"]:
            _qmp(qmp, '{"execute": "cont"}')
        return 0
    if not _runs(qmp):
        return _refuse("Requested operation is not valid: domain is not running")
    if command == "destroy":
        os.kill(int(domain.with_suffix(".pid").read_text()), signal.SIGTERM)
        deadline = time.monotonic() + _SECONDS
        while _runs(qmp) and time.monotonic() < deadline:
            time.sleep(0.01)
        return 0
    orders = {"shutdown": "system_powerdown", "suspend": "stop", "resume": "cont"}
    message = json.dumps({"execute": orders[command]}) if command in orders else rest[-1]
    print(json.dumps(_qmp(qmp, message)))
    return 0


def _refuse(reason: str) -> int:
    print(f"error: {reason}", file=sys.stderr)
    return 1


def _runs(at: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as connection:
        return connection.connect_ex(str(at)) == 0


def _qmp(at: Path, message: str) -> dict[str, Any]:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(at))
        with connection.makefile("rw") as lines:
            lines.readline()  # the greeting
            for each in ('{"execute": "qmp_capabilities"}', message):
                lines.write(each + "\n")
                lines.flush()
                answer: dict[str, Any] = {}
                while "return" not in answer and "error" not in answer:  # events come in between
                    answer = json.loads(lines.readline())
            return answer


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
