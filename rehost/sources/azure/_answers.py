"""What Azure answers where it does not do what was asked, in our own errors. No URL is repeated: one may carry a secret."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Any

import requests
from azure.core.exceptions import AzureError
from azure.core.rest import HttpResponse

from rehost.sources._errors import CertificateRefused, CredentialsRefused, SourceError, SourceUnavailable
from rehost.sources.azure._config import AzureConfig
from rehost.sources.azure._errors import CallRefused, ResourceGone
from rehost.sources.azure._names import last

ENDED = frozenset({"Succeeded", "Failed", "Canceled"})
FAILED = frozenset({"Failed", "Canceled"})
_TRANSIENT = frozenset({408, 429, 500, 502, 503, 504})
#: Codes of a conflict that ends by itself: another operation holds the resource.
_MOMENTARY = frozenset({"ConflictingConcurrentWriteNotAllowed", "RetryableError", "AnotherOperationInProgress"})
_ROLE = "docs/sources/azure.md has the role"


def body(answer: HttpResponse) -> Mapping[str, Any]:
    """The JSON object of an answer; an empty one where it has none."""
    with contextlib.suppress(ValueError):
        found = json.loads(answer.text() or "{}")
        if isinstance(found, Mapping):
            return found
    return {}


def error_of(told: Mapping[str, Any]) -> tuple[str, str]:
    """(code, message); the innermost code is the one that says something."""
    error = told.get("error") if isinstance(told.get("error"), Mapping) else told
    code, message = str(error.get("code") or ""), str(error.get("message") or "")  # type: ignore[union-attr]
    for each in error.get("details") or ():  # type: ignore[union-attr]
        if isinstance(each, Mapping) and each.get("code"):
            code, message = str(each["code"]), str(each.get("message") or message)
            break
    return code, re.sub(r"\s+", " ", message).strip()


def may_be_repeated(answer: HttpResponse) -> bool:
    return answer.status_code in _TRANSIENT or (answer.status_code == 409 and error_of(body(answer))[0] in _MOMENTARY)


def asked_to_wait(answer: HttpResponse) -> float | None:
    """Seconds, by its Retry-After."""
    told = answer.headers.get("Retry-After")
    if told is None:
        return None
    if re.fullmatch(r"\d+(\.\d+)?", told):
        return float(told)
    with contextlib.suppress(ValueError):
        now = answer.headers.get("Date")
        if now:
            return max(0.0, (parsedate_to_datetime(told) - parsedate_to_datetime(now)).total_seconds())
    return None


def busy(config: AzureConfig, doing: str, answer: HttpResponse, pause: float) -> SourceUnavailable:
    code, message = error_of(body(answer))
    what = "it throttles the subscription" if answer.status_code == 429 else f"it answers {answer.status_code} {code}"
    reason = f"{doing}: {what} and asks to wait {pause:.0f} s: {message or 'no reason given'}"
    return SourceUnavailable(place=config.place, reason=reason)


def refused(config: AzureConfig, doing: str, answer: HttpResponse) -> SourceError:
    code, message = error_of(body(answer))
    if answer.status_code == 404:
        return ResourceGone(resource=last(answer.request.url.partition("?")[0]), doing=doing)
    if answer.status_code == 401:
        advice = "correct `auth` and `cloud`, and set this machine's clock by NTP"
        return CredentialsRefused(
            place=config.place, reason=f"{doing}: {code or 'no valid token'}: {message}; {advice}"
        )
    if answer.status_code == 403:
        return CredentialsRefused(place=config.place, reason=f"{doing}: {_lacking(code, message)}")
    return CallRefused(doing=doing, code=code or str(answer.status_code), reason=message or "no reason given")


def _lacking(code: str, message: str) -> str:
    """ARM: "... does not have authorization to perform action 'A' over scope 'S' ..."."""
    action = re.search(r"perform action '([^']+)'", message)
    scope = re.search(r"over scope '([^']+)'", message)
    if code in ("AuthorizationFailed", "LinkedAuthorizationFailed") and action:
        on = f" on {scope[1]}" if scope else ""
        return f"the account lacks {action[1]}{on}; {_ROLE}"
    return f"{message or 'it is forbidden'} ({code or 403}); {_ROLE}"


def failed(doing: str, told: Mapping[str, Any]) -> CallRefused:
    code, message = error_of(told)
    state = told.get("status") or (told.get("properties") or {}).get("provisioningState") or "Failed"
    return CallRefused(doing=doing, code=code or str(state), reason=message or "no reason given")


def unreached(config: AzureConfig, doing: str, error: AzureError) -> SourceError:
    """Azure was not reached, or did not answer."""
    cause: BaseException | None = error.inner_exception or error
    if isinstance(cause, requests.exceptions.SSLError):
        advice = "set `tls: {caFile: ...}` to the authority that the endpoint's certificate is from, or a proxy's"
        return CertificateRefused(place=config.place, reason=f"{_certificate(str(cause))}; {advice}")
    what = "no answer in time" if isinstance(cause, requests.exceptions.Timeout) else _network(str(cause))
    return SourceUnavailable(place=config.place, reason=f"{doing}: {what}")


def _certificate(text: str) -> str:
    found = re.search(r"certificate verify failed: ([^(\"']+)", text)
    return (found[1] if found else "it cannot be verified").strip(" ,")


def _network(text: str) -> str:
    for known in ("Connection refused", "Name or service not known", "Temporary failure in name resolution"):
        if known in text:
            return known
    return "the connection failed"
