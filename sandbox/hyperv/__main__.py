"""`python -m sandbox.hyperv`: a host with its shares as a process of its own, which takes orders on a port of loopback."""

from __future__ import annotations

import argparse
import json
import os
import signal
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from sandbox._samba import Samba
from sandbox.hyperv._host import HyperVHost

_LARGEST_ORDER = 1 << 20


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m sandbox.hyperv", description="A stand-in for a Windows host with Hyper-V."
    )
    parser.add_argument("--state", type=Path, required=True, help="a folder for disks, certificates and accounts")
    parser.add_argument(
        "--ready-file", type=Path, required=True, help="written once it listens: JSON with ports and paths"
    )
    parser.add_argument("--name", default="HV1", help="of the host")
    parser.add_argument("--windows", default="2022", choices=["2012R2", "2016", "2019", "2022"])
    parser.add_argument("--cluster", default="", help="the name of a failover cluster of this one node")
    parser.add_argument("--vmm", action="store_true", help="with the cmdlets of System Center Virtual Machine Manager")
    given = parser.parse_args()
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    host = HyperVHost(given.state, name=given.name, windows=given.windows, cluster=given.cluster, vmm=given.vmm)
    samba = Samba(given.state / "smb", {"C$": host.drive.folder})
    with host, samba:
        orders = ThreadingHTTPServer(("127.0.0.1", 0), lambda *args: _Orders(host, *args))
        thread = threading.Thread(target=orders.serve_forever, args=(0.1,))
        thread.start()
        _write(
            given.ready_file,
            {
                "endpoint": host.endpoint,
                "pid": os.getpid(),
                "control": f"http://127.0.0.1:{orders.server_address[1]}",
                "ca": str(host.ca),
                "user": host.user,
                "smb": {"host": samba.host, "port": samba.port, "share": samba.share, "user": samba.user},
            },
        )
        ended.wait()
        orders.shutdown()
        thread.join()
        orders.server_close()


def _write(file: Path, content: Any) -> None:
    scratch = file.with_suffix(".part")
    scratch.write_text(json.dumps(content))
    scratch.replace(file)


class _Orders(BaseHTTPRequestHandler):
    def __init__(self, host: HyperVHost, *args: Any) -> None:
        self.host = host
        super().__init__(*args)

    def do_GET(self) -> None:
        self._answer(lambda: self.host.state() if self.path == "/state" else None)

    def do_POST(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        order = json.loads(self.rfile.read(min(length, _LARGEST_ORDER)) or b"{}")
        pages = {"/machines": self._add, "/guests": self._guest, "/faults": self._fault}
        page = pages.get(self.path)
        self._answer(lambda: page(order) if page is not None else None)

    def _add(self, order: dict[str, Any]) -> Any:
        disks = [Path(disk) if isinstance(disk, str) else disk for disk in order.pop("disks")]
        made = self.host.add_machine(order.pop("name"), disks, **order)
        return {"id": made.id}

    def _guest(self, order: dict[str, Any]) -> Any:
        machine = self.host.estate.find(order["id"])
        if machine is None:
            raise KeyError(order["id"])
        self.host.attach_guest(machine, int(order["pid"]))
        return {}

    def _fault(self, order: dict[str, Any]) -> Any:
        self.host.faults.add(order.pop("area"), order.pop("operation"), **order)
        return {}

    def _answer(self, act: Any) -> None:
        try:
            found = act()
            status, body = (404, b"no such page") if found is None else (200, json.dumps(found).encode())
        except Exception as error:
            # Whoever gave the order is told, with what was wrong.
            status, body = 400, f"{type(error).__name__}: {error}".encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name in http.server
        """Orders are not logged."""


if __name__ == "__main__":
    main()
