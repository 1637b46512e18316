"""Tokens: who gets one, and when it ends."""

from __future__ import annotations

import stat

import pytest
from azure.core.exceptions import ClientAuthenticationError
from azure.identity import ManagedIdentityCredential

from sandbox.azure import AzureCloud
from tests.sandbox.azure.conftest import SCOPE, Client


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"client_secret": "not it"}, "AADSTS7000215"),
        ({"client_id": "11111111-1111-1111-1111-111111111111"}, "AADSTS700016"),
        ({"tenant_id": "22222222-2222-2222-2222-222222222222"}, "AADSTS90002"),
    ],
)
def test_who_is_not_known_gets_no_token(client: Client, changed: dict[str, str], code: str) -> None:
    with client.login(**changed) as credential, pytest.raises(ClientAuthenticationError, match=code):
        credential.get_token(SCOPE)


def test_a_secret_is_changed_while_a_token_holds(cloud: AzureCloud, client: Client) -> None:
    list(client.compute.virtual_machines.list_all())
    cloud.login.client_secret = "another"
    list(client.compute.virtual_machines.list_all())
    cloud.login.expire_tokens()
    with pytest.raises(ClientAuthenticationError):
        list(client.compute.virtual_machines.list_all())


def test_a_token_ends_with_time(cloud: AzureCloud, client: Client) -> None:
    list(client.compute.virtual_machines.list_all())
    cloud.advance(3601)
    with pytest.raises(ClientAuthenticationError, match="ExpiredAuthenticationToken"):
        list(client.compute.virtual_machines.list_all())


def test_a_managed_identity_gets_a_token(cloud: AzureCloud, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IDENTITY_ENDPOINT", cloud.identity_endpoint)
    monkeypatch.setenv("IDENTITY_HEADER", cloud.identity_header)
    with ManagedIdentityCredential() as credential:
        assert credential.get_token(SCOPE).token
    monkeypatch.setenv("IDENTITY_HEADER", "not it")
    with ManagedIdentityCredential(retry_total=0) as credential, pytest.raises(ClientAuthenticationError):
        credential.get_token(SCOPE)


def test_the_login_is_throttled_once(cloud: AzureCloud, client: Client) -> None:
    fault = cloud.fault("throttle", call="login/token")
    with pytest.raises(ClientAuthenticationError):
        list(client.compute.virtual_machines.list_all())
    assert fault.hits == 1
    with client.login() as another:  # the client itself remembers Retry-After, and does not ask before
        assert another.get_token(SCOPE).token


def test_the_servers_key_is_its_own(cloud: AzureCloud) -> None:
    key = cloud.ca.with_name("server.key")
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
