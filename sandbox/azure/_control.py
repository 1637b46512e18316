"""Orders to a cloud that is a process of its own: JSON over HTTP on loopback, under `/_cloud/`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sandbox.azure._cloud import AzureCloud, MachineHandle
from sandbox.azure._resources import DiskSpec, NicSpec
from sandbox.azure._web import Answer, Request


class Control:
    def __init__(self, cloud: AzureCloud) -> None:
        self._cloud = cloud
        self._machines: dict[str, MachineHandle] = {}

    def handle(self, request: Request) -> Answer:
        """What is wrong with an order is told in a 400's text."""
        try:
            return Answer.of(200, self._carry_out(request.method, request.path.removeprefix("/_cloud/"), request))
        except (KeyError, TypeError, ValueError, OSError) as error:
            return Answer(400, f"{type(error).__name__}: {error}".encode(), {"Content-Type": "text/plain"})

    def _carry_out(self, method: str, page: str, request: Request) -> Any:
        asked: dict[str, Any] = request.json()
        if (method, page) == ("GET", "state"):
            return self._cloud.state()
        if (method, page) == ("POST", "machines"):
            return self._add(asked)
        if (method, page) == ("POST", "faults"):
            self._cloud.fault(**asked)
        elif (method, page) == ("DELETE", "faults"):
            self._cloud.faults.clear()
        elif (method, page) == ("POST", "guests"):
            self._machines[asked["machine"]].attach_guest(int(asked["pid"]))
        elif (method, page) == ("POST", "power"):
            self._machines[asked["machine"]].set_power(str(asked["power"]))
        elif (method, page) == ("POST", "clock"):
            self._cloud.advance(float(asked["seconds"]))
        else:
            message = f"there is no order {method} {page}"
            raise ValueError(message)
        return {}

    def _add(self, asked: dict[str, Any]) -> Mapping[str, str]:
        disks = [_disk(each) for each in asked.pop("disks")]
        nics = [NicSpec(**each) for each in asked.pop("nics", [{}])]
        machine = self._cloud.add_machine(asked.pop("name"), disks, nics=nics, **asked)
        self._machines[machine.name] = machine
        return {"id": machine.id, "vm_id": machine.vm_id}


def _disk(entry: Mapping[str, Any]) -> DiskSpec:
    options = dict(entry)
    content = options.pop("size", None)
    return DiskSpec(int(content) if content is not None else Path(options.pop("file")), **options)
