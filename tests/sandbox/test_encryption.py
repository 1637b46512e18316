"""Which snapshots are encrypted, and with which key (EBS user guide, encryption outcomes of StartSnapshot)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from sandbox import Sandbox
from tests.sandbox.conftest import Clients, content, data_of, made


@pytest.fixture
def key(aws: Clients) -> str:
    return str(aws.kms.create_key()["KeyMetadata"]["Arn"])


@pytest.fixture
def encrypting(sandbox: Sandbox) -> Iterator[Clients]:
    """A region of its own whose account encrypts by default."""
    clients = Clients(sandbox.endpoint, region="eu-north-1")
    clients.ec2.enable_ebs_encryption_by_default()
    yield clients
    clients.ec2.disable_ebs_encryption_by_default()
    clients.close()


def seen(aws: Clients, answer: dict[str, Any]) -> tuple[bool, str | None]:
    """(encrypted, key) by EC2, once EBS said the same."""
    [shown] = aws.ec2.describe_snapshots(SnapshotIds=[answer["SnapshotId"]])["Snapshots"]
    assert shown.get("KmsKeyId") == answer.get("KmsKeyArn")
    assert answer["SseType"] == ("sse-kms" if shown["Encrypted"] else "none")
    return shown["Encrypted"], shown.get("KmsKeyId")


def test_not_encrypted_unless_asked(aws: Clients) -> None:
    assert seen(aws, aws.ebs.start_snapshot(VolumeSize=1)) == (False, None)
    assert seen(aws, aws.ebs.start_snapshot(VolumeSize=1, Encrypted=False)) == (False, None)


def test_encrypted_with_the_key_of_the_account(aws: Clients) -> None:
    encrypted, arn = seen(aws, aws.ebs.start_snapshot(VolumeSize=1, Encrypted=True))
    assert encrypted
    assert arn == aws.kms.describe_key(KeyId="alias/aws/ebs")["KeyMetadata"]["Arn"]


def test_encrypted_with_a_key_of_ones_own(aws: Clients, key: str) -> None:
    assert seen(aws, aws.ebs.start_snapshot(VolumeSize=1, Encrypted=True, KmsKeyArn=key)) == (True, key)


def test_a_child_inherits(aws: Clients, key: str) -> None:
    for asked, expected in (({}, (False, None)), ({"Encrypted": True, "KmsKeyArn": key}, (True, key))):
        parent = made(aws, {0: data_of(0)}, **asked)
        answer = aws.ebs.start_snapshot(VolumeSize=1, ParentSnapshotId=parent)
        assert seen(aws, answer) == expected


def test_encryption_by_default(encrypting: Clients, key: str) -> None:
    default = encrypting.kms.describe_key(KeyId="alias/aws/ebs")["KeyMetadata"]["Arn"]
    assert seen(encrypting, encrypting.ebs.start_snapshot(VolumeSize=1)) == (True, default)
    assert seen(encrypting, encrypting.ebs.start_snapshot(VolumeSize=1, Encrypted=False)) == (True, default)
    own = encrypting.kms.create_key()["KeyMetadata"]["Arn"]
    assert seen(encrypting, encrypting.ebs.start_snapshot(VolumeSize=1, Encrypted=True, KmsKeyArn=own)) == (True, own)


def test_encrypted_blocks_read_as_they_were_put(aws: Clients, key: str) -> None:
    blocks = {0: data_of(0), 9: data_of(9)}
    assert content(aws, made(aws, blocks, Encrypted=True, KmsKeyArn=key)) == blocks
