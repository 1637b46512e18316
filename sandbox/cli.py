"""`rehost-sandbox`, also `python -m sandbox`: serve until SIGTERM."""

from __future__ import annotations

import argparse
import ipaddress
import json
import os
import signal
import threading
from pathlib import Path
from types import FrameType


def main() -> None:
    options = _parse()
    from sandbox._server import SandboxApp, SandboxServer  # moto is slow to import: not for --help

    app = SandboxApp(options.state, boot=options.boot, access_key=options.access_key)
    tls = (str(options.tls_cert), str(options.tls_key)) if options.tls_cert else None
    try:
        server = SandboxServer(app, options.host, options.port, tls)
    except OSError as error:
        reason = str(error).rsplit("] ", 1)[-1].rstrip(")")
        raise SystemExit(
            f"rehost-sandbox: error: {options.host}:{options.port} cannot be served: {reason}; choose another --port"
        ) from None
    stopping = threading.Event()

    def stop(_number: int, _frame: FrameType | None) -> None:
        stopping.set()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    threading.Thread(target=server.serve, name="serve", daemon=True).start()
    if options.ready_file:
        scratch = options.ready_file.with_suffix(".part")
        scratch.write_text(json.dumps({"endpoint": server.endpoint, "pid": os.getpid()}))
        scratch.replace(options.ready_file)
    print(
        f"the sandbox serves EC2, EBS direct, IAM, KMS, S3, SNS, SSM and STS at {server.endpoint}\n\n"
        f"  pulumi config set rehost:endpoint {server.endpoint}\n\nor, for every AWS client:\n\n"
        f"  export AWS_ENDPOINT_URL={server.endpoint} AWS_REGION=eu-central-1 "
        "AWS_ACCESS_KEY_ID=sandbox AWS_SECRET_ACCESS_KEY=sandbox\n\n"
        f"state: {options.state}; end it with Ctrl-C",
        flush=True,
    )
    stopping.wait()
    server.stop()


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="rehost-sandbox", description="A local AWS on loopback, to try a spec without an account."
    )
    parser.add_argument("--host", default="127.0.0.1", help="a loopback address (default %(default)s)")
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one (default)")
    parser.add_argument(
        "--state", type=Path, default=Path(".rehost/sandbox"), help="where everything is kept (default %(default)s)"
    )
    parser.add_argument("--ready-file", type=Path, help="written as JSON {endpoint, pid} once requests are answered")
    parser.add_argument("--access-key", metavar="ID", help="refuse every other access key, as AWS does")
    parser.add_argument("--no-boot", dest="boot", action="store_false", help="do not boot instances in QEMU")
    parser.add_argument("--tls-cert", type=Path, help="serve HTTPS with this certificate")
    parser.add_argument("--tls-key", type=Path)
    options = parser.parse_args()
    if not ipaddress.ip_address(options.host).is_loopback:
        parser.error(f"--host {options.host}: the sandbox checks no signature, so it serves loopback only")
    if bool(options.tls_cert) != bool(options.tls_key):
        parser.error("--tls-cert and --tls-key go together")
    options.state.mkdir(parents=True, exist_ok=True)
    return options


if __name__ == "__main__":
    main()
