"""What of `virsh` the `qemu` source uses, over the QMP sockets in `$VIRSH_FOLDER`. Of the standard library alone, so that it
starts as fast as virsh does.
"""

import json
import os
import socket
import sys
from pathlib import Path
from typing import Any


def main(arguments: list[str]) -> int:
    folder = Path(os.environ["VIRSH_FOLDER"])
    quiet, connect, uri, command, *rest = arguments
    assert (quiet, connect) == ("--quiet", "--connect")
    if uri != "qemu:///test":
        print("error: failed to connect to the hypervisor\nerror: no such driver", file=sys.stderr)
        return 1
    if command == "list":
        print("\n".join(path.stem for path in folder.glob("*.qmp")) + "\nidle\n")
        return 0
    if command == "qemu-agent-command":
        print("error: Guest agent is not responding: QEMU guest agent is not connected", file=sys.stderr)
        return 1
    try:
        print(json.dumps(_qmp(folder / f"{rest[1]}.qmp", rest[-1])))
    except OSError:
        print("error: Requested operation is not valid: domain is not running", file=sys.stderr)
        return 1
    return 0


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
