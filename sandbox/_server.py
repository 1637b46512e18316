"""One port for all services: EBS direct is ours, everything else goes to moto."""

from __future__ import annotations

import errno
import io
import json
import re
import threading
import time
import traceback as traceback_module
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, parse_qsl, unquote

from cheroot import wsgi
from cheroot.ssl.builtin import BuiltinSSLAdapter
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app

from sandbox._boot import Guests
from sandbox._copies import default_key
from sandbox._ebs import Answer, EbsApi, EbsError, Request
from sandbox._ec2 import Ec2, install
from sandbox._faults import Faults
from sandbox._quotas import Quotas
from sandbox._quotas import install as install_quotas
from sandbox._requests import backend, service_backends
from sandbox._ssm import SystemsManager, install_systems_manager
from sandbox._state import SavedState
from sandbox._store import Snapshot, SnapshotStore

StartResponse = Callable[..., Any]
_SCOPE = re.compile(r"Credential=([^/,\s]+)/[^/]*/([^/]+)/([^/]+)/aws4_request")
_ACTION = re.compile(rb"(?:^|&)Action=(\w+)")
THREADS = 24
#: What services answer to an access key that they do not know.
_REFUSALS = {
    "ec2": ("AuthFailure", 401, "AWS was not able to validate the provided access credentials"),
    "sts": ("InvalidClientTokenId", 403, "The security token included in the request is invalid."),
}


class DroppedConnection(ConnectionResetError):
    """Raised to make the server close the connection without an answer.

    cheroot takes a reset for the client's doing and closes in silence; any other exception it answers with a 500.
    """

    def __init__(self) -> None:
        super().__init__(errno.ECONNRESET, "dropped on demand")


class SandboxApp:
    """The WSGI application. moto's backends belong to the process, so there is one sandbox a process."""

    def __init__(self, state: Path, *, boot: bool = True, access_key: str | None = None) -> None:
        self.offset = 0.0
        self.store = SnapshotStore(state / "snapshots", clock=lambda: time.time() + self.offset)
        self.guests = Guests(state / "guests", boot=boot)
        self.ec2 = Ec2(self.store, self.guests)
        self.faults = Faults()
        self.access_key = access_key
        self.ebs = EbsApi(
            self.store, on_start=self._on_start, default_encryption=_default_encryption, default_key=default_key
        )
        install(self.ec2)
        install_systems_manager(SystemsManager(self.guests.agents))
        self.quotas = Quotas()
        install_quotas(self.quotas)
        self.moto = DomainDispatcherApplication(create_backend_app)
        self.saved = SavedState(state / "moto.pickle")
        self.saved.load(self.ec2)
        _make_import_role()
        self._bytes = {"in": 0, "out": 0}
        self._lock = threading.Lock()

    def __call__(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        path = environ["PATH_INFO"]
        if path.startswith("/_sandbox/"):
            return self._own(environ, start_response, path)
        scope = _SCOPE.search(environ.get("HTTP_AUTHORIZATION", "")) or _SCOPE.search(
            unquote(environ.get("QUERY_STRING", "")).replace("X-Amz-Credential", "Credential")
        )
        service = scope[3] if scope else "unsigned"
        if scope and self.access_key and scope[1] != self.access_key:
            return self._refuse_key(service, start_response)
        if service == "ebs" or (scope is None and path.startswith("/snapshots")):
            return self._ebs(environ, start_response, path, scope[2] if scope else "", scope[1] if scope else "")
        return self._moto(environ, start_response, service, scope[1] if scope else "")

    def close(self) -> None:
        try:
            self.saved.save(self.ec2)
        finally:
            self.guests.close()  # else their QEMU processes outlive the sandbox
            self.store.close()

    def _ebs(
        self, environ: dict[str, Any], start_response: StartResponse, path: str, region: str, access_key: str
    ) -> Iterable[bytes]:
        headers = {
            key[5:].replace("_", "-").lower(): value for key, value in environ.items() if key.startswith("HTTP_")
        }
        request = Request(
            method=environ["REQUEST_METHOD"],
            path=path,
            query={key: values[0] for key, values in parse_qs(environ.get("QUERY_STRING", "")).items()},
            headers=headers,
            body=environ["wsgi.input"],
            length=int(environ.get("CONTENT_LENGTH") or 0),
            region=region,
        )
        operation = self.ebs.operation(request.method, path)
        parts = path.strip("/").split("/")
        facts = {"SnapshotId": parts[1] if len(parts) > 1 else "", "BlockIndex": parts[3] if len(parts) > 3 else ""}
        if not region:
            error = EbsError("MissingAuthenticationTokenException", "The request has no AWS Signature Version 4.", 403)
            return self._send(start_response, error.answer(), request)
        struck = self._strike("ebs", operation, facts, access_key)
        if struck is not None:
            return self._send(start_response, struck, request)
        answer = self.ebs.handle(request)
        if operation == "GetSnapshotBlock" and answer.body and self._corrupts(operation, facts):
            answer.body = bytes([answer.body[0] ^ 1]) + answer.body[1:]
        with self._lock:
            self._bytes["in"] += request.length
            self._bytes["out"] += len(answer.body)
        return self._send(start_response, answer, request)

    def _moto(
        self, environ: dict[str, Any], start_response: StartResponse, service: str, access_key: str
    ) -> Iterable[bytes]:
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        found = _ACTION.search(body)
        target = environ.get("HTTP_X_AMZ_TARGET", "")
        operation = found[1].decode() if found else target.rsplit(".", 1)[-1] or environ["REQUEST_METHOD"]
        facts = dict(parse_qsl(body.decode("utf-8", "replace"))) if found else {}
        struck = self._strike(service, operation, facts, access_key)
        if struck is not None:
            return self._send(start_response, struck, None)
        environ["wsgi.input"] = io.BytesIO(body)
        answer: Iterable[bytes] = self.moto(environ, start_response)
        if not operation.startswith(("Describe", "Get", "List")):
            self._mirror_tags(operation, facts)
            self.saved.touch(self.ec2)
        return answer

    def _strike(self, service: str, operation: str, facts: Mapping[str, str], access_key: str) -> Answer | None:
        for fault in self.faults.strike(service, operation, facts, access_key):
            if fault.action == "latency":
                time.sleep(fault.seconds)
            elif fault.action == "drop":
                raise DroppedConnection
            elif fault.action == "throttle":
                code = "RequestThrottledException" if service == "ebs" else "RequestLimitExceeded"
                return _error(service, code, "Rate exceeded", 400 if service == "ebs" else 503)
            elif fault.action == "error":
                return _error(service, fault.code, fault.message, fault.status)
            elif fault.action == "corrupt":
                self._corrupt_next = True
        return None

    _corrupt_next = False

    def _corrupts(self, _operation: str, _facts: Mapping[str, str]) -> bool:
        corrupt, self._corrupt_next = self._corrupt_next, False
        return corrupt

    def _own(self, environ: dict[str, Any], start_response: StartResponse, path: str) -> Iterable[bytes]:
        method = environ["REQUEST_METHOD"]
        raw = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        result: Any = {}
        try:
            asked = json.loads(raw or b"{}")
            if path == "/_sandbox/faults" and method == "POST":
                self.faults.add(asked)
            elif path == "/_sandbox/faults" and method == "DELETE":
                self.faults.clear()
            elif path == "/_sandbox/faults":
                result = self.faults.listing()
            elif path == "/_sandbox/imports" and method == "POST":
                self.ec2.imports.fail(str(asked["message"]), int(asked.get("count", 1)))
            elif path == "/_sandbox/quotas" and method == "POST":
                self.quotas.set(asked)
            elif path == "/_sandbox/stats":
                by_key = self.faults.calls()
                total: Counter[str] = sum((Counter(counts) for counts in by_key.values()), Counter())
                result = {"calls": total, "calls_by_access_key": by_key, "bytes": dict(self._bytes)}
            elif path == "/_sandbox/clock" and method == "POST":
                self.offset += float(asked["advance_seconds"])
            else:
                return self._send(start_response, Answer(404, {}, b"no such page"), None)
        except (ValueError, TypeError, KeyError) as error:
            return self._send(start_response, Answer(400, {}, str(error).encode()), None)
        return self._send(
            start_response, Answer(200, {"Content-Type": "application/json"}, json.dumps(result).encode()), None
        )

    def _refuse_key(self, service: str, start_response: StartResponse) -> Iterable[bytes]:
        code, status, message = _REFUSALS.get(
            service, ("UnrecognizedClientException", 403, "The security token included in the request is invalid.")
        )
        return self._send(start_response, _error(service, code, message, status), None)

    @staticmethod
    def _send(start_response: StartResponse, answer: Answer, request: Request | None) -> Iterable[bytes]:
        if request is not None and request.length:
            _drain(request)
        start_response(f"{answer.status} .", [*answer.headers.items(), ("Content-Length", str(len(answer.body)))])
        return [answer.body]

    def _on_start(self, snapshot: Snapshot) -> None:
        self.ec2.show(snapshot)

    def _mirror_tags(self, operation: str, facts: Mapping[str, str]) -> None:
        """Tags that EC2 calls put onto a snapshot outlive a restart with it."""
        if operation not in ("CreateTags", "DeleteTags"):
            return
        for key, value in facts.items():
            if key.startswith("ResourceId.") and (snapshot := self.store.snapshots.get(value)):
                shown = backend(snapshot.meta.region).snapshots.get(value)
                if shown is not None:
                    self.store.set_tags(snapshot, {tag["key"]: tag["value"] for tag in shown.get_tags()})


def _drain(request: Request) -> None:
    """What a refused request still carries must be read, or the next one on the connection begins in the middle of it."""
    while request.body.read(1 << 16):
        pass


def _error(service: str, code: str, message: str, status: int) -> Answer:
    """An error in the protocol of the service: XML for EC2, query and S3, JSON for the others."""
    if service == "ebs":
        return EbsError(code, message, status).answer()
    if service == "ec2":
        body = f"<Response><Errors><Error><Code>{code}</Code><Message>{message}</Message></Error></Errors><RequestID>0</RequestID></Response>"
        return Answer(status, {"Content-Type": "text/xml"}, body.encode())
    if service in ("sts", "iam", "sns"):
        body = f"<ErrorResponse><Error><Type>Sender</Type><Code>{code}</Code><Message>{message}</Message></Error><RequestId>0</RequestId></ErrorResponse>"
        return Answer(status, {"Content-Type": "text/xml"}, body.encode())
    return Answer(
        status,
        {"Content-Type": "application/x-amz-json-1.1", "x-amzn-ErrorType": code},
        json.dumps({"__type": code, "message": message}).encode(),
    )


def _make_import_role() -> None:
    """The service role of VM import, which an account that imports has (docs/security.md says how it gets it)."""
    iam = service_backends("iam")["aws"]
    if "vmimport" in {role.name for role in iam.roles.values()}:
        return
    trust = {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Principal": {"Service": "vmie.amazonaws.com"},
                "Action": "sts:AssumeRole",
                "Condition": {"StringEquals": {"sts:Externalid": "vmimport"}},
            }
        ],
    }
    iam.create_role("vmimport", json.dumps(trust), "/", None, "Made by the sandbox", [], "3600")


def _default_encryption(region: str) -> str | None:
    ec2 = backend(region)
    return default_key(region) if getattr(ec2, "ebs_encryption_by_default", False) else None


class SandboxServer:
    """The application on a port of loopback."""

    def __init__(self, app: SandboxApp, host: str, port: int, tls: tuple[str, str] | None = None) -> None:
        self.app = app
        self._server = wsgi.Server((host, port), app, numthreads=THREADS, request_queue_size=128, timeout=120)
        self._server.max_request_body_size = 0
        setattr(self._server, "error_log", _quiet)  # noqa: B010 - cheroot documents it as an attribute to set
        if tls:
            self._server.ssl_adapter = BuiltinSSLAdapter(*tls)
        self._server.prepare()
        self.endpoint = f"{'https' if tls else 'http'}://{host}:{self._server.bind_addr[1]}"

    def serve(self) -> None:
        self._server.serve()

    def stop(self) -> None:
        self._server.stop()
        self.app.close()


def _quiet(message: str = "", level: int = 20, traceback: bool = False) -> None:
    print(message, flush=True)
    if traceback:
        traceback_module.print_exc()
