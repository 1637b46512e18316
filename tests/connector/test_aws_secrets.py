"""References that AWS keeps are resolved in each process that opens a source, not in connectors alone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from providers import _stack
from rehost import secrets
from rehost.aws import AwsError, AwsSettings
from rehost.aws._session import Session
from rehost.connector import resolve_from_aws
from sandbox import Sandbox

REGION = "eu-central-1"


@pytest.fixture(autouse=True)
def kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """What one test registers is gone with it."""
    theirs = {"secretsManager", "ssmParameter"}  # which an earlier test of this process may have registered
    monkeypatch.setattr(secrets, "_resolvers", {k: v for k, v in secrets._resolvers.items() if k not in theirs})
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")


@pytest.fixture
def name(sandbox: Sandbox, kept: None) -> str:
    """The name of a secret and of a parameter in the sandbox; the first is "first", the second "second"."""
    session = Session(AwsSettings(region=REGION, endpoint=sandbox.endpoint))
    made = f"vcenter-{uuid4().hex[:12]}"
    session.client("secretsmanager").create_secret(Name=made, SecretString="first")
    session.client("ssm").put_parameter(Name=made, Value="second", Type="SecureString")
    return made


def test_both_kinds_are_resolved_with_the_settings_given(sandbox: Sandbox, name: str) -> None:
    with pytest.raises(secrets.SecretUnavailable, match="cannot resolve secretsManager"):
        secrets.resolve({"secretsManager": name})
    resolve_from_aws(AwsSettings(region=REGION, endpoint=sandbox.endpoint))
    assert secrets.resolve({"secretsManager": name}) == "first"
    assert secrets.resolve({"ssmParameter": name}) == "second"
    with pytest.raises(AwsError):
        secrets.resolve({"secretsManager": f"{name}-not"})


def test_an_arn_is_asked_for_in_its_own_region(sandbox: Sandbox, name: str) -> None:
    session = Session(AwsSettings(region=REGION, endpoint=sandbox.endpoint))
    arn = session.client("secretsmanager").describe_secret(SecretId=name)["ARN"]
    resolve_from_aws(AwsSettings(region="us-east-1", endpoint=sandbox.endpoint))
    assert secrets.resolve({"secretsManager": arn}) == "first"
    with pytest.raises(AwsError):
        secrets.resolve({"secretsManager": name})


@pytest.fixture
def configured(kept: None, sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(_stack, "_stack", None)
    settings = {"region": REGION, "endpoint": sandbox.endpoint}
    _stack.configure(settings.get)
    yield
    assert not (tmp_path / ".rehost").exists()  # nothing is opened before it is used


@pytest.mark.usefixtures("configured")
def test_a_stack_resolves_them_with_its_own_region_and_endpoint(name: str) -> None:
    assert secrets.resolve({"secretsManager": name}) == "first"
    assert secrets.resolve({"ssmParameter": name}) == "second"
