"""Microsoft Entra's token endpoint for a service principal, and App Service's for a managed identity.

Pages: https://learn.microsoft.com/entra/identity-platform/v2-oauth2-client-creds-grant-flow (errors: reference-error-codes there),
https://learn.microsoft.com/azure/app-service/overview-managed-identity (REST endpoint reference).
"""

from __future__ import annotations

import base64
import json
import secrets
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import parse_qsl

from sandbox.azure._errors import ArmRefusal
from sandbox.azure._faults import Faults
from sandbox.azure._times import stamp
from sandbox.azure._web import Answer, Request

_RESOURCE = "https://management.azure.com"


class Login:
    def __init__(self, faults: Faults, clock: Callable[[], float], tenant: str) -> None:
        self.tenant = tenant
        self.client_id, self.client_secret = str(uuid.uuid4()), secrets.token_urlsafe(24)
        self.object_id = str(uuid.uuid4())
        self.identity_header = secrets.token_hex(16)
        self.token_seconds = 3600
        self._faults, self._clock = faults, clock
        self._tokens: dict[str, float] = {}  # until when each holds
        self._lock = threading.Lock()

    def handle(self, request: Request) -> Answer:
        tenant, _, page = request.path.strip("/").partition("/")
        if page == "v2.0/.well-known/openid-configuration":
            return self._metadata(request, tenant)
        if page != "oauth2/v2.0/token" or request.method != "POST":
            return Answer.of(404, {"error": "not_found"})
        struck = self._faults.strike("login/token", request.path)
        if fault := struck.get("delay"):
            time.sleep(fault.seconds)
        if fault := struck.get("throttle"):
            return Answer.of(429, {"error": "temporarily_unavailable"}, {"Retry-After": str(fault.retry_after)})
        if fault := struck.get("error"):
            return self._refused(fault.status, fault.code, 0, fault.message)
        return self._token(tenant, dict(parse_qsl(request.body.decode())))

    def identity(self, request: Request) -> Answer:
        """GET /msi/token?api-version=2019-08-01&resource=...: of the machine that the connector runs on."""
        self._faults.strike("identity/token", request.path)
        if not secrets.compare_digest(request.headers.get("x-identity-header", ""), self.identity_header):
            return Answer.of(401, {"statusCode": 401, "message": "Unauthorized"})
        if request.query.get("api-version") != "2019-08-01" or "resource" not in request.query:
            return Answer.of(400, {"statusCode": 400, "message": "The api-version or the resource is missing."})
        token, expires = self._issue()
        return Answer.of(
            200,
            {
                "access_token": token,
                "client_id": self.client_id,
                "expires_on": str(int(expires)),
                "resource": request.query["resource"],
                "token_type": "Bearer",
            },
        )

    def authorize(self, request: Request) -> None:
        """Raises ArmRefusal (401) without a token that holds."""
        kind, _, token = request.headers.get("authorization", "").partition(" ")
        challenge = f'Bearer authorization_uri="{request.base}/{self.tenant}", error="invalid_token"'
        headers = {"WWW-Authenticate": challenge}
        if kind != "Bearer" or not token:
            message = "Authentication failed. The 'Authorization' header is missing."
            raise ArmRefusal(401, "AuthenticationFailed", message, headers)
        with self._lock:
            expires = self._tokens.get(token)
        if expires is None:
            raise ArmRefusal(401, "InvalidAuthenticationToken", "The access token is invalid.", headers)
        if expires <= self._clock():
            now = stamp(self._clock())
            message = f"The access token expiry UTC time '{stamp(expires)}' is earlier than current UTC time '{now}'."
            raise ArmRefusal(401, "ExpiredAuthenticationToken", message, headers)

    def expire_tokens(self) -> None:
        """Those that were given out hold no longer; a client does not know before it is told."""
        with self._lock:
            self._tokens = dict.fromkeys(self._tokens, 0.0)

    def _token(self, tenant: str, asked: Mapping[str, str]) -> Answer:
        if tenant != self.tenant:
            message = f"Tenant '{tenant}' not found. Check to make sure you have the correct tenant ID."
            return self._refused(400, "invalid_request", 90002, message)
        if asked.get("grant_type") != "client_credentials":
            return self._refused(400, "unsupported_grant_type", 70003, "The app requested an unsupported grant type.")
        if asked.get("client_id") != self.client_id:
            message = f"Application with identifier '{asked.get('client_id')}' was not found in the directory."
            return self._refused(400, "unauthorized_client", 700016, message)
        if not secrets.compare_digest(asked.get("client_secret", ""), self.client_secret):
            message = (
                "Invalid client secret provided. Ensure the secret being sent in the request is the client secret value, "
                f"not the client secret ID, for a secret added to app '{self.client_id}'."
            )
            return self._refused(401, "invalid_client", 7000215, message)
        if asked.get("scope") != f"{_RESOURCE}/.default":
            message = f"The resource principal named {asked.get('scope')} was not found in the tenant."
            return self._refused(400, "invalid_resource", 500011, message)
        token, expires = self._issue()
        left = int(expires - self._clock())
        return Answer.of(
            200, {"token_type": "Bearer", "expires_in": left, "ext_expires_in": left, "access_token": token}
        )

    def _issue(self) -> tuple[str, float]:
        expires = self._clock() + self.token_seconds
        claims = {
            "aud": _RESOURCE,
            "tid": self.tenant,
            "appid": self.client_id,
            "oid": self.object_id,
            "exp": int(expires),
        }
        parts = [_encoded({"alg": "none", "typ": "JWT"}), _encoded(claims), secrets.token_urlsafe(24)]
        token = ".".join(parts)
        with self._lock:
            self._tokens[token] = expires
        return token, expires

    def _metadata(self, request: Request, tenant: str) -> Answer:
        root = f"{request.base}/{tenant}"
        return Answer.of(
            200,
            {
                "token_endpoint": f"{root}/oauth2/v2.0/token",
                "authorization_endpoint": f"{root}/oauth2/v2.0/authorize",
                "device_authorization_endpoint": f"{root}/oauth2/v2.0/devicecode",
                "issuer": f"{root}/v2.0",
                "tenant_region_scope": "EU",
                "cloud_instance_name": "microsoftonline.com",
            },
        )

    def _refused(self, status: int, error: str, code: int, message: str) -> Answer:
        trace = {"trace_id": str(uuid.uuid4()), "correlation_id": str(uuid.uuid4())}
        text = f"AADSTS{code}: {message} Trace ID: {trace['trace_id']} Correlation ID: {trace['correlation_id']}"
        body: dict[str, Any] = {"error": error, "error_description": text, "error_codes": [code], **trace}
        return Answer.of(status, {**body, "timestamp": stamp(self._clock())})


def _encoded(value: Mapping[str, Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")
