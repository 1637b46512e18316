"""`python -m sandbox.azure`: the cloud as a process of its own, until SIGTERM. `sandbox.AzureProcess` starts it."""

from __future__ import annotations

import argparse
import json
import os
import signal
import threading
from pathlib import Path
from types import FrameType

from sandbox.azure._cloud import AzureCloud
from sandbox.azure._control import Control

#: The client secret comes so, for no argument or file has it.
SECRET_VARIABLE = "AZURE_SIM_CLIENT_SECRET"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m sandbox.azure", description="Azure on loopback.")
    parser.add_argument("--state", type=Path, required=True, help="where everything is kept")
    parser.add_argument("--ready-file", type=Path, required=True, help="written as JSON once requests are answered")
    parser.add_argument("--azurite", type=Path, required=True, help="Azurite's blob service, for node")
    options = parser.parse_args()
    stopping = threading.Event()

    def stop(_number: int, _frame: FrameType | None) -> None:
        stopping.set()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    cloud = AzureCloud(options.state, options.azurite)
    if secret := os.environ.get(SECRET_VARIABLE):
        cloud.login.client_secret = secret
    cloud.orders = Control(cloud).handle
    with cloud:
        found = {
            "endpoint": cloud.endpoint,
            "control": cloud.control,
            "ca": str(cloud.ca.resolve()),
            "tenant": cloud.tenant,
            "client_id": cloud.client_id,
            "subscription": cloud.subscription,
            "pid": os.getpid(),
        }
        scratch = options.ready_file.with_suffix(".part")
        scratch.write_text(json.dumps(found))
        scratch.replace(options.ready_file)
        stopping.wait()


if __name__ == "__main__":
    main()
