"""What speaks against an application stands in its preview, before anything is made, by the real engine."""

from __future__ import annotations

from collections.abc import Iterator
from uuid import uuid4

import pytest

from .conftest import EngineProject

pytestmark = pytest.mark.engine


@pytest.fixture(autouse=True)
def _quotas(project: EngineProject) -> Iterator[None]:
    yield
    project.sandbox.set_quotas(L_1216C47A=1152)  # the sandbox outlives the test


def test_a_preview_says_what_a_launch_would_be_refused_for(project: EngineProject) -> None:
    key = project.environment["AWS_ACCESS_KEY_ID"] = f"PREVIEW{uuid4().hex}"
    project.edit("instanceType: t3.micro", "instanceType: t3.micro, subnet: subnet-0123456789abcdef0, keyName: nobodys")
    said = project.pulumi("preview").stdout
    assert "there is no subnet subnet-0123456789abcdef0 in eu-central-1; name one that does [subnet]" in said
    assert project.sandbox.calls(key)["ec2.DescribeSubnets"] == 1, "once, however many servers there are"

    project.edit("phase: replicate", "phase: test")
    refused = project.pulumi("preview", ok=False)
    text = refused.stdout + refused.stderr
    assert refused.returncode != 0
    assert "application shop: db-01, web-01: there is no key pair nobodys in eu-central-1" in text
    assert "[subnet]" in text
    assert "[key-pair]" in text
    assert "Traceback" not in text
    assert "ReplicationJob" not in text, "nothing of the application is touched"


def test_a_quota_that_is_too_small_is_refused_or_ignored_with_a_reason(project: EngineProject) -> None:
    project.sandbox.set_quotas(L_1216C47A=1)
    project.edit("phase: replicate", "phase: test")
    refused = project.pulumi("preview", ok=False)
    assert "4 vCPUs are to be launched and" in refused.stdout + refused.stderr
    assert "[vcpu-quota]" in refused.stdout + refused.stderr
    project.edit("phase: test", "phase: test\n    ignore: {vcpu-quota: a higher one was asked for}")
    assert "shop: vcpu-quota is ignored: a higher one was asked for" in project.up()
    assert project.pulumi("up", "--yes", "--skip-preview", "--expect-no-changes")
    # What has not changed does not bar anything: here the quota is still too small, and the ignore of it gone from the spec.
    project.edit("phase: test\n    ignore: {vcpu-quota: a higher one was asked for}", "phase: replicate")
    project.up()
    project.pulumi("destroy", "--yes", "--skip-preview")
    assert project.owned() == []
