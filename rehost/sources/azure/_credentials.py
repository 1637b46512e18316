"""Who we are to Azure: azure-identity's credentials, and what it says where they are refused."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from azure.core.credentials import TokenCredential
from azure.core.exceptions import AzureError, ClientAuthenticationError, ServiceRequestError, ServiceResponseError
from azure.identity import (
    AzureCliCredential,
    CertificateCredential,
    ClientSecretCredential,
    CredentialUnavailableError,
    ManagedIdentityCredential,
)

from rehost import secrets
from rehost.errors import RehostError
from rehost.sources._errors import CredentialsRefused, SourceConfigInvalid, SourceError, SourceUnavailable
from rehost.sources.azure import _answers
from rehost.sources.azure._config import AzureConfig, Method

#: learn.microsoft.com/entra/identity-platform/reference-error-codes -> what to do.
_ADVICE: Mapping[str, str] = {
    "AADSTS7000215": "the client secret is wrong; `auth.clientSecret` refers to its value, which is another than its id",
    "AADSTS7000222": "the client secret has expired; make another one and store it where `auth.clientSecret` refers to",
    "AADSTS700016": "the tenant has no such application; correct `auth.clientId` or `auth.tenant`",
    "AADSTS90002": "there is no such tenant; correct `auth.tenant`",
    "AADSTS900023": "there is no such tenant; correct `auth.tenant`",
    "AADSTS700027": "the certificate is not one of the application's, or has expired; upload it, or correct `auth.certificateFile`",
    "AADSTS700024": "the clock of this machine is wrong; set it by NTP",
    "AADSTS7000112": "the application is disabled; enable its service principal",
    "AADSTS53003": "a Conditional Access policy blocks the login; allow the connector's address",
    "AADSTS500011": "the tenant does not know the audience; correct `cloud` or `endpoints.audience`",
}


def make(config: AzureConfig) -> TokenCredential:
    """A credential; it logs in when a token is asked for. Raises SourceConfigInvalid."""
    auth = config.auth
    # The client tries again itself, within its patience.
    options: dict[str, Any] = {"connection_timeout": 30, "read_timeout": 60, "retry_total": 0}
    if config.ca_file:
        options["connection_verify"] = str(config.ca_file)
    if auth.method is Method.CLI:
        return AzureCliCredential(tenant_id=auth.tenant or "", process_timeout=60)
    if auth.method is Method.MANAGED_IDENTITY:
        return ManagedIdentityCredential(client_id=auth.client_id)
    options |= {"authority": config.endpoints.authority, "disable_instance_discovery": not config.endpoints.known}
    tenant, client = str(auth.tenant), str(auth.client_id)
    try:
        if auth.certificate is None:
            return ClientSecretCredential(tenant, client, secrets.resolve(auth.secret or {}), **options)
        if auth.certificate_password:
            options["password"] = secrets.resolve(auth.certificate_password)
        return CertificateCredential(tenant, client, str(auth.certificate), **options)
    except RehostError as error:  # where a secret is kept in AWS, AWS may refuse it
        raise SourceConfigInvalid(detail=f"credentials of {config.place}: {error}") from None
    except OSError as error:
        detail = f"`auth.certificateFile` {auth.certificate} cannot be read: {error.strerror or error}"
        raise SourceConfigInvalid(detail=detail) from None
    except ValueError:
        # The library's words may hold the file's.
        detail = f"`auth.certificateFile` {auth.certificate} is no PEM with a key, and no PKCS#12 that opens with the password"
        raise SourceConfigInvalid(detail=detail) from None


def trouble(config: AzureConfig, doing: str, error: AzureError) -> SourceError:
    """Why a call could not be made: the login was refused, or Azure was not reached, be it for the login."""
    if not isinstance(error, ClientAuthenticationError):
        return _answers.unreached(config, doing, error)
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, (ServiceRequestError, ServiceResponseError)):
        cause = cause.__cause__ or cause.__context__
    if cause is not None:  # azure-identity says of all that goes wrong that the authentication failed
        return _answers.unreached(config, f"{doing}: the login", cause)
    status = getattr(error.response, "status_code", None) or 0
    if status in (408, 429) or status >= 500 or "temporarily_unavailable" in str(error):
        return SourceUnavailable(place=config.place, reason=f"{doing}: the login answers {status or 'that it is busy'}")
    return _refused(config, error)


def _refused(config: AzureConfig, error: ClientAuthenticationError) -> CredentialsRefused:
    """Microsoft Entra's words, and what to do."""
    told = re.sub(r"\s+", " ", str(error.message or error)).strip()
    code = re.search(r"AADSTS\d+", told)
    if code is not None:
        # What comes after the first sentence are trace ids and times.
        words = re.split(r" Trace ID:| Correlation ID:|(?<=\.) ", told[code.start() :])[0]
        advice = _ADVICE.get(code[0], "see learn.microsoft.com/entra/identity-platform/reference-error-codes")
        return CredentialsRefused(place=config.place, reason=f"{words} {advice}".strip())
    advice = {
        Method.CLI: "run `az login` as the connector's user",
        Method.MANAGED_IDENTITY: "give this machine an identity, or name one of its own by `auth.clientId`",
        Method.SERVICE_PRINCIPAL: "correct `auth`",
    }[config.auth.method]
    what = "no token can be had here" if isinstance(error, CredentialUnavailableError) else "the login failed"
    return CredentialsRefused(place=config.place, reason=f"{what}: {told[:300]}; {advice}")
