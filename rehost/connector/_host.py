"""What a connector says of the machine it runs on."""

from __future__ import annotations

import contextlib
import fcntl
import socket
import struct
from pathlib import Path

_SIOCGIFADDR = 0x8915  # netdevice(7)
_INTERFACES = Path("/sys/class/net")


def addresses() -> list[str]:
    """IPv4 and MAC addresses of its interfaces, the loopback's left out. Empty where the system does not tell."""
    found = []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        for _, name in socket.if_nameindex():
            if name == "lo":
                continue
            with contextlib.suppress(OSError):  # it has no address
                answer = fcntl.ioctl(asking, _SIOCGIFADDR, struct.pack("256s", name.encode()[:15]))
                found.append(socket.inet_ntoa(answer[20:24]))
            with contextlib.suppress(OSError):  # not Linux, or gone in between
                found.append((_INTERFACES / name / "address").read_text().strip())
    return found
