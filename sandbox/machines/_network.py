"""A guest's network card, without root: QEMU's own user network gives it its address, and lets through what is named.

This host reaches a guest's port at a loopback address that stands for the guest (its door); a guest reaches another's port at the
other's own address, by a relay that goes through that door. Nothing else of this host or of the Internet can be reached.
"""

from __future__ import annotations

import secrets
import shlex
import socket
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

#: The doors' addresses: only this machine can reach them, and Linux listens on each of them.
LOOPBACK = IPv4Network("127.64.0.0/10")
_RELAY = Path(__file__).with_name("relay.py")


@dataclass(frozen=True)
class Card:
    """A network card; `doors` and `peers` are (address, TCP port)."""

    network: IPv4Network
    address: IPv4Address  # which the guest gets by DHCP
    mac: str
    doors: Sequence[tuple[str, int]] = ()  # loopback addresses at which this host reaches the guest's port
    peers: Sequence[tuple[str, int]] = ()  # of other guests in its network, which it may reach

    def arguments(self, doors: Path) -> list[str]:
        """QEMU's. `doors` is the directory with a file for each guest that runs, called like its address."""
        network = [
            *("user", "id=network", "restrict=on", "ipv6=off", f"net={self.network}"),
            # Where a VPC has its router and its DNS server.
            *(f"host={self.network[1]}", f"dns={self.network[2]}", f"dhcpstart={self.address}"),
        ]
        network += [f"hostfwd=tcp:{address}:{port}-:{port}" for address, port in self.doors if _is_free(address, port)]
        for address, port in self.peers:
            command = [sys.executable, "-I", "-S", str(_RELAY), str(doors.absolute() / address), str(port)]
            network.append(f"guestfwd=tcp:{address}:{port}-cmd:{shlex.join(command)}".replace(",", ",,"))
        return [
            *("-netdev", ",".join(network)),
            *("-device", f"virtio-net-pci,netdev=network,mac={self.mac},romfile="),
        ]


def open_door(doors: Path, guest: str, address: str) -> None:
    """From now on, `guest` (its own address) is reached at the loopback address `address`."""
    doors.mkdir(parents=True, exist_ok=True)
    scratch = doors / f".{guest}"
    scratch.write_text(address)
    scratch.replace(doors / guest)


def shut_door(doors: Path, guest: str, address: str) -> None:
    """Unless another guest has taken its place."""
    with suppress(FileNotFoundError):
        if (doors / guest).read_text() == address:
            (doors / guest).unlink()


def door() -> str:
    """A loopback address of its own, by chance one of four million."""
    return str(LOOPBACK[1 + secrets.randbelow(LOOPBACK.num_addresses - 2)])


def _is_free(address: str, port: int) -> bool:
    """QEMU does not start where it cannot listen: somebody may hold the port on every address, or it is root's."""
    with socket.socket() as attempt:
        attempt.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            attempt.bind((address, port))
        except OSError:
            return False
    return True
