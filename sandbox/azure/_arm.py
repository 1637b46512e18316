"""Resource Manager: routes a call by its ARM action, holds it to the caller's token and role, and keeps long-running operations.

Shapes: https://learn.microsoft.com/azure/azure-resource-manager/management/async-operations, request-limits-and-throttling and
the REST pages that the handlers name.
"""

from __future__ import annotations

import fnmatch
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from sandbox.azure._errors import ArmRefusal
from sandbox.azure._login import Login
from sandbox.azure._resources import Estate, Operation
from sandbox.azure._times import stamp
from sandbox.azure._web import Answer, Request

_DISK_VERSIONS = ("2026-03-02", "2025-01-02", "2024-03-02", "2023-10-02", "2023-04-02")
#: By provider, and by type where it has versions of its own: the newest are those that the pinned SDKs send (azure-mgmt-compute 39,
#: azure-mgmt-network 33), the others are in the archive of https://learn.microsoft.com/rest/api/compute.
API_VERSIONS = {
    "microsoft.compute": ("2026-04-01", "2025-04-01", "2024-11-01", "2024-07-01", "2024-03-01", "2023-09-01"),
    "microsoft.compute/disks": _DISK_VERSIONS,
    "microsoft.compute/snapshots": _DISK_VERSIONS,
    "microsoft.compute/restorepointcollections/restorepoints/diskrestorepoints": _DISK_VERSIONS,
    "microsoft.compute/locations/diskoperations": _DISK_VERSIONS,
    "microsoft.compute/skus": ("2021-07-01", "2019-04-01"),
    "microsoft.network": ("2026-03-01", "2025-01-01", "2024-07-01", "2024-05-01", "2024-03-01", "2023-11-01"),
    "microsoft.authorization": ("2022-04-01", "2022-05-01-preview", "2018-07-01", "2015-07-01"),
}


@dataclass(frozen=True)
class Call:
    """A call, taken apart: `PUT .../providers/Microsoft.Compute/snapshots/one` has the kind `Microsoft.Compute/snapshots`."""

    request: Request
    scope: str  # the path, without a verb at its end
    group: str
    kind: str
    names: Sequence[str]
    verb: str  # beginGetAccess, instanceView, or nothing
    action: str

    @property
    def body(self) -> Any:
        try:
            return self.request.json()
        except ValueError as error:
            message = "The request content was invalid and could not be deserialized."
            raise ArmRefusal(400, "InvalidRequestContent", message) from error


Handler = Callable[[Call], Answer]


class Arm:
    def __init__(self, estate: Estate, login: Login) -> None:
        self._estate, self._login = estate, login
        self._handlers: dict[tuple[str, str], Handler] = {}
        self.on("GET", "Microsoft.Authorization/permissions", self._permissions)
        for kind in ("DiskOperations", "operations"):
            self.on("GET", f"Microsoft.Compute/locations/{kind}", self._operation)

    def on(self, method: str, kind: str, handler: Handler) -> None:
        """`kind` with a verb at its end for what is neither read, written nor deleted."""
        self._handlers[method, kind.lower()] = handler

    def handle(self, request: Request) -> Answer:
        try:
            return self._answer(request)
        except ArmRefusal as refusal:
            kind = {"Content-Type": "application/json; charset=utf-8"}
            return Answer(refusal.status, refusal.body(), {**kind, **refusal.headers})

    def _answer(self, request: Request) -> Answer:
        self._login.authorize(request)
        call = parse(request)
        struck = self._estate.faults.strike(call.action, request.path)
        if fault := struck.get("delay"):
            time.sleep(fault.seconds)
        if fault := struck.get("throttle"):
            message = (
                f"Number of requests for subscription '{self._estate.subscription}' exceeded the limit. "
                f"Please try again after '{fault.retry_after}' seconds."
            )
            raise ArmRefusal(429, "TooManyRequests", message, {"Retry-After": str(fault.retry_after)})
        if fault := struck.get("error"):
            raise ArmRefusal(fault.status, fault.code, fault.message)
        _check_version(call)
        subscription = request.path.split("/")[2]
        if subscription.lower() != self._estate.subscription:
            raise ArmRefusal(404, "SubscriptionNotFound", f"The subscription '{subscription}' could not be found.")
        self.check_role(call.action, call.scope)
        handler = self._handlers.get((request.method, f"{call.kind}/{call.verb}".rstrip("/").lower()))
        if handler is None:
            message = f"The stand-in does not know {request.method} {call.kind} {call.verb}"
            raise ArmRefusal(501, "NotImplemented", message)
        with self._estate.lock:
            return handler(call)

    def check_role(self, action: str, scope: str) -> None:
        """Raises ArmRefusal (403) where a role is set that lacks the action."""
        role = self._estate.settings.role
        if role is None or _granted(role, action):
            return
        client, identity = self._login.client_id, self._login.object_id
        message = (
            f"The client '{client}' with object id '{identity}' does not have authorization to perform action "
            f"'{action}' over scope '{scope}' or the scope is invalid. If access was recently granted, please refresh "
            "your credentials."
        )
        raise ArmRefusal(403, "AuthorizationFailed", message)

    def check_linked(self, call: Call, action: str, scope: str) -> None:
        """What a call does to another resource needs a right there."""
        role = self._estate.settings.role
        if role is not None and not _granted(role, action):
            message = (
                f"The client '{self._login.client_id}' with object id '{self._login.object_id}' has permission to perform "
                f"action '{call.action}' on scope '{call.scope}'; however, it does not have permission to perform "
                f"action(s) '{action}' on the linked scope(s) '{scope}' or the linked scope(s) are invalid."
            )
            raise ArmRefusal(403, "LinkedAuthorizationFailed", message)

    def page(self, call: Call, entries: Sequence[Any]) -> Answer:
        """A list's page, with the link to the next one."""
        size, start = self._estate.settings.page_size, int(call.request.query.get("$skiptoken") or 0)
        value: dict[str, Any] = {"value": list(entries[start : start + size])}
        if start + size < len(entries):
            options = {**call.request.query, "$skiptoken": str(start + size)}
            query = "&".join(f"{quote(name, safe='$-')}={quote(text)}" for name, text in options.items())
            value["nextLink"] = f"{call.request.base}{call.request.path}?{query}"
        return Answer.of(200, value)

    def accepted(self, call: Call, operation: Operation, status: int = 202, value: Any = None) -> Answer:
        """The answer to what takes long: where to ask how it goes."""
        version = call.request.query["api-version"]
        url = (
            f"{call.request.base}/subscriptions/{self._estate.subscription}/providers/Microsoft.Compute/locations/"
            f"{operation.location}/{operation.kind}/{operation.id}"
        )
        headers = {
            "Azure-AsyncOperation": f"{url}?api-version={version}",
            "Location": f"{url}?monitor=true&api-version={version}",
            **self._hint(),
        }
        return Answer.of(status, value, headers) if value is not None else Answer(status, b"", headers)

    def _operation(self, call: Call) -> Answer:
        operation = self._estate.operations.get(call.names[-1])
        if operation is None:
            raise not_found(call.scope)
        status = self._estate.status(operation)
        if "monitor" in call.request.query:
            if status == "InProgress":
                return Answer(202, b"", {"Location": f"{call.request.base}{call.request.path}", **self._hint()})
            if operation.failure is not None:
                raise ArmRefusal(409, *operation.failure)
            return Answer.of(200, operation.result) if operation.result is not None else Answer(204)
        value: dict[str, Any] = {"startTime": stamp(operation.started), "status": status, "name": operation.id}
        if status != "InProgress":
            value["endTime"] = stamp(operation.ready)
        if status == "Failed" and operation.failure is not None:
            value["error"] = {"code": operation.failure[0], "message": operation.failure[1]}
        if status == "Succeeded" and operation.result is not None:
            value["properties"] = {"output": operation.result}
        return Answer.of(200, value, self._hint() if status == "InProgress" else None)

    def _permissions(self, _call: Call) -> Answer:
        """https://learn.microsoft.com/rest/api/authorization/permissions/list-for-resource."""
        role = self._estate.settings.role or {"Actions": ["*"]}
        entry = {
            "actions": list(_listed(role, "actions")),
            "notActions": list(_listed(role, "notactions")),
            "dataActions": list(_listed(role, "dataactions")),
            "notDataActions": [],
        }
        return Answer.of(200, {"value": [entry]})

    def _hint(self) -> dict[str, str]:
        seconds = self._estate.settings.retry_after
        return {"Retry-After": str(seconds)} if seconds else {}


def parse(request: Request) -> Call:
    path = request.path
    scope_of, _, rest = path.rpartition("/providers/")
    segments = path.strip("/").split("/")
    group = segments[3] if len(segments) > 3 and segments[2].lower() == "resourcegroups" else ""
    if not rest:
        kind = "Microsoft.Resources/subscriptions" + ("/resourceGroups" if group else "")
        return Call(request, path, group, kind, [segments[-1]], "", f"{kind}/{_read_or(request.method)}")
    provider, *pairs = rest.strip("/").split("/")
    kinds, names = pairs[0::2], pairs[1::2]
    verb, scope = "", path
    # One type more than names: the list of a type, or a verb upon the resource.
    if len(kinds) > len(names) and names and (request.method == "POST" or kinds[-1] in ("instanceView",)):
        verb = kinds.pop()
        scope = path.rpartition("/")[0]
    kind = "/".join([provider, *kinds])
    if request.method == "POST" and verb:
        action = f"{kind}/{verb}/action"
    else:
        action = "/".join(filter(None, [kind, verb, _read_or(request.method)]))
    return Call(
        request, scope if provider.lower() != "microsoft.authorization" else scope_of, group, kind, names, verb, action
    )


def not_found(scope: str) -> ArmRefusal:
    segments = scope.strip("/").split("/")
    resource = "/".join([*segments[5:6], *segments[6:]])
    group = segments[3] if len(segments) > 3 else ""
    message = (
        f"The Resource '{resource}' under resource group '{group}' was not found. For more details please go to "
        "https://aka.ms/ARMResourceNotFoundFix"
    )
    return ArmRefusal(404, "ResourceNotFound", message)


def _read_or(method: str) -> str:
    return {"GET": "read", "HEAD": "read", "PUT": "write", "PATCH": "write", "DELETE": "delete"}.get(method, "action")


def _check_version(call: Call) -> None:
    version = call.request.query.get("api-version")
    if version is None:
        message = "The api-version query parameter (?api-version=) is required for all requests."
        raise ArmRefusal(400, "MissingApiVersionParameter", message)
    provider = call.kind.partition("/")[0]
    known = API_VERSIONS.get(call.kind.lower(), API_VERSIONS.get(provider.lower()))
    if known is not None and version not in known:
        message = (
            f"No registered resource provider found for API version '{version}' for type '{call.kind}'. The supported "
            f"api-versions are '{', '.join(known)}'."
        )
        raise ArmRefusal(400, "NoRegisteredProviderFound", message)


def _listed(role: Mapping[str, Any], name: str) -> Sequence[str]:
    """Of a role definition, in the shape that `az role definition create` takes or in the REST's."""
    inner = role.get("properties", role)
    permissions = inner.get("permissions") or inner.get("Permissions") or [inner]
    return [
        each for entry in permissions for field, values in entry.items() if field.lower() == name for each in values
    ]


def _granted(role: Mapping[str, Any], action: str) -> bool:
    wanted = action.lower()
    allowed = any(fnmatch.fnmatchcase(wanted, each.lower()) for each in _listed(role, "actions"))
    return allowed and not any(fnmatch.fnmatchcase(wanted, each.lower()) for each in _listed(role, "notactions"))
