"""StartSnapshot, PutSnapshotBlock and CompleteSnapshot as AWS documents them (EBS direct APIs reference and user guide)."""

from __future__ import annotations

import base64
import urllib.error
import urllib.request
from typing import Any
from uuid import uuid4

import pytest
from botocore.exceptions import ParamValidationError

from tests.sandbox.conftest import BLOCK, Clients, complete, content, data_of, linear, made, put, refusal, sha, start

NOBODY = "snap-0123456789abcdef0"


def test_what_a_start_answers(aws: Clients) -> None:
    tags = [{"Key": "Name", "Value": "disk 1"}, {"Key": "empty", "Value": ""}]
    answer = aws.ebs.start_snapshot(VolumeSize=8, Description="a disk", Tags=tags, Timeout=4320)
    assert (answer["Status"], answer["VolumeSize"], answer["BlockSize"]) == ("pending", 8, BLOCK)
    assert (answer["Description"], answer["Tags"], answer["OwnerId"]) == ("a disk", tags, "123456789012")
    assert answer["StartTime"].tzinfo is not None
    assert "ParentSnapshotId" not in answer
    assert "KmsKeyArn" not in answer


def test_a_snapshot_of_ebs_is_one_of_ec2(aws: Clients) -> None:
    snapshot = start(aws, Description="a disk", Tags=[{"Key": "rehost:run", "Value": snapshot_tag()}])
    [shown] = aws.ec2.describe_snapshots(SnapshotIds=[snapshot])["Snapshots"]
    assert (shown["State"], shown["VolumeSize"], shown["Description"]) == ("pending", 1, "a disk")
    assert (shown["Encrypted"], shown["OwnerId"]) == (False, "123456789012")
    assert shown["Tags"][0]["Key"] == "rehost:run"
    blocks = {0: data_of(0)}
    put(aws, snapshot, 0, blocks[0])
    complete(aws, snapshot, blocks)
    [shown] = aws.ec2.describe_snapshots(SnapshotIds=[snapshot])["Snapshots"]
    assert (shown["State"], shown["Progress"]) == ("completed", "100%")


def snapshot_tag() -> str:
    return f"run-{uuid4().hex}"


def test_snapshots_are_found_by_their_tags_old_and_new(aws: Clients) -> None:
    value, later = snapshot_tag(), snapshot_tag()
    snapshot = start(aws, Tags=[{"Key": "run", "Value": value}])
    start(aws, Tags=[{"Key": "run", "Value": "other"}])
    aws.ec2.create_tags(Resources=[snapshot], Tags=[{"Key": "later", "Value": later}])
    for key, wanted in (("run", value), ("later", later)):
        found = aws.ec2.describe_snapshots(Filters=[{"Name": f"tag:{key}", "Values": [wanted]}])["Snapshots"]
        assert [each["SnapshotId"] for each in found] == [snapshot]


# Client tokens


def test_the_same_token_and_parameters_give_the_same_snapshot(aws: Clients) -> None:
    asked = {"VolumeSize": 2, "ClientToken": uuid4().hex, "Tags": [{"Key": "a", "Value": "b"}]}
    first = aws.ebs.start_snapshot(**asked)
    second = aws.ebs.start_snapshot(**asked)
    assert {**first, "ResponseMetadata": 0} == {**second, "ResponseMetadata": 0}
    put(aws, first["SnapshotId"], 0, data_of(0))
    complete(aws, first["SnapshotId"], {0: data_of(0)})
    assert aws.ebs.start_snapshot(**asked)["Status"] == "completed"


@pytest.mark.parametrize(
    "change", [{"VolumeSize": 3}, {"Description": "x"}, {"Encrypted": True}, {"Timeout": 61}, {"Tags": []}], ids=str
)
def test_the_same_token_with_other_parameters_is_a_conflict(aws: Clients, change: dict[str, Any]) -> None:
    asked = {"VolumeSize": 2, "ClientToken": uuid4().hex, "Tags": [{"Key": "a", "Value": "b"}]}
    snapshot = aws.ebs.start_snapshot(**asked)["SnapshotId"]
    assert refusal(aws.ebs.start_snapshot, **(asked | change)) == ("ConflictException", "")
    assert aws.ebs.start_snapshot(**asked)["SnapshotId"] == snapshot


def test_a_token_is_of_its_region(aws: Clients, other: Clients) -> None:
    token = uuid4().hex
    assert start(aws, ClientToken=token) != start(other, ClientToken=token)


def test_without_a_token_every_start_is_another(aws: Clients) -> None:
    first, second = (aws.ebs.start_snapshot(VolumeSize=1)["SnapshotId"] for _ in range(2))
    assert first != second


def test_the_token_of_a_deleted_snapshot_starts_another(aws: Clients) -> None:
    token = uuid4().hex
    first = start(aws, ClientToken=token)
    aws.ec2.delete_snapshot(SnapshotId=first)
    assert start(aws, ClientToken=token) != first


# What a start refuses


@pytest.mark.parametrize(
    ("asked", "reason"),
    [
        ({"VolumeSize": 65537}, "INVALID_VOLUME_SIZE"),
        ({"VolumeSize": 0}, "INVALID_VOLUME_SIZE"),
        ({"Timeout": 9}, "INVALID_PARAMETER_VALUE"),
        ({"Timeout": 4321}, "INVALID_PARAMETER_VALUE"),
        ({"KmsKeyArn": "alias/mine", "Encrypted": True}, "INVALID_CUSTOMER_KEY"),
        ({"KmsKeyArn": "arn:aws:kms:eu-central-1:123456789012:alias/mine", "Encrypted": True}, "INVALID_CUSTOMER_KEY"),
        ({"KmsKeyArn": "arn:aws:kms:eu-central-1:123456789012:key/mine"}, "INVALID_DEPENDENCY_REQUEST"),
        ({"Tags": [{"Key": "aws:mine", "Value": "x"}]}, "INVALID_TAG"),
        ({"Tags": [{"Key": f"k{number}", "Value": "x"} for number in range(51)]}, "INVALID_TAG"),
        ({"ParentSnapshotId": NOBODY, "Encrypted": False}, "INVALID_DEPENDENCY_REQUEST"),
        ({"ParentSnapshotId": NOBODY, "Encrypted": True}, "INVALID_DEPENDENCY_REQUEST"),
    ],
    ids=str,
)
def test_starts_that_are_refused(lax: Any, asked: dict[str, Any], reason: str) -> None:
    assert refusal(lax.start_snapshot, **({"VolumeSize": 1} | asked)) == ("ValidationException", reason)


@pytest.mark.parametrize("size", [1, 65536])
def test_the_smallest_and_the_largest_volume(aws: Clients, size: int) -> None:
    assert start(aws, VolumeSize=size)


def test_boto3_refuses_what_its_model_forbids(aws: Clients) -> None:
    for asked in ({}, {"VolumeSize": 0}, {"VolumeSize": "8"}, {"VolumeSize": 1, "Timeout": 9}):
        with pytest.raises(ParamValidationError):
            aws.ebs.start_snapshot(**asked)
    with pytest.raises(ParamValidationError):
        aws.ebs.list_snapshot_blocks(SnapshotId=NOBODY, MaxResults=99)


@pytest.mark.parametrize("body", [b"{", b"[]", b"7", b'{"VolumeSize": true}', b'{"VolumeSize": 1, "Tags": ["a"]}'])
def test_bodies_that_no_client_sends(aws: Clients, body: bytes) -> None:
    """Signed or not, a malformed body is the client's mistake and no failure of the server."""
    scope = f"Credential=sandbox/20260101/{aws.region}/ebs/aws4_request"
    request = urllib.request.Request(f"{aws.endpoint}/snapshots", data=body, method="POST")
    request.add_header("Authorization", f"AWS4-HMAC-SHA256 {scope}, SignedHeaders=host, Signature=0")
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(request, timeout=10)
    with refused.value as error:
        assert error.code == 400
        assert error.headers["x-amzn-ErrorType"] in ("SerializationException", "ValidationException")


def test_a_request_that_nobody_signed(aws: Clients) -> None:
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(f"{aws.endpoint}/snapshots/{NOBODY}/blocks", timeout=10)
    with refused.value as error:
        assert error.code == 403


# Parents


def test_a_child_has_its_parents_blocks_but_for_its_own(aws: Clients) -> None:
    parent = made(aws, {0: data_of(0), 5: data_of(5), 9: data_of(9)})
    child = made(aws, {5: data_of("new"), 7: data_of(7), 9: bytes(BLOCK)}, ParentSnapshotId=parent)
    grandchild = made(aws, {0: data_of("newer")}, ParentSnapshotId=child)
    assert content(aws, parent) == {0: data_of(0), 5: data_of(5), 9: data_of(9)}
    assert content(aws, child) == {0: data_of(0), 5: data_of("new"), 7: data_of(7), 9: bytes(BLOCK)}
    assert content(aws, grandchild)[0] == data_of("newer")
    assert sorted(content(aws, grandchild)) == [0, 5, 7, 9]


def test_a_child_says_its_parent_and_may_be_larger(aws: Clients) -> None:
    parent = made(aws, {0: data_of(0)}, VolumeSize=2)
    answer = aws.ebs.start_snapshot(VolumeSize=3, ParentSnapshotId=parent)
    assert (answer["ParentSnapshotId"], answer["VolumeSize"]) == (parent, 3)
    assert refusal(aws.ebs.start_snapshot, VolumeSize=1, ParentSnapshotId=parent) == (
        "ValidationException",
        "INVALID_VOLUME_SIZE",
    )


def test_parents_that_cannot_be(aws: Clients, other: Clients) -> None:
    pending = start(aws)
    elsewhere = made(other, {0: data_of(0)})
    for parent in (NOBODY, elsewhere):
        assert refusal(aws.ebs.start_snapshot, VolumeSize=1, ParentSnapshotId=parent) == (
            "ResourceNotFoundException",
            "SNAPSHOT_NOT_FOUND",
        )
    assert refusal(aws.ebs.start_snapshot, VolumeSize=1, ParentSnapshotId=pending) == (
        "ValidationException",
        "INVALID_SNAPSHOT_ID",
    )


def test_a_deleted_parent_leaves_its_blocks_to_its_child(aws: Clients) -> None:
    parent = made(aws, {0: data_of(0), 1: data_of(1)})
    child = made(aws, {1: data_of("new")}, ParentSnapshotId=parent)
    aws.ec2.delete_snapshot(SnapshotId=parent)
    assert content(aws, child) == {0: data_of(0), 1: data_of("new")}
    assert refusal(aws.ebs.list_snapshot_blocks, SnapshotId=parent)[0] == "ResourceNotFoundException"


# Blocks


def test_a_put_answers_the_checksum(aws: Clients) -> None:
    answer = put(aws, start(aws), 2047, data_of(1))
    assert (answer["Checksum"], answer["ChecksumAlgorithm"]) == (sha(data_of(1)), "SHA256")


def test_the_last_put_of_a_block_counts(aws: Clients) -> None:
    snapshot = start(aws)
    for seed in ("first", "second"):
        put(aws, snapshot, 3, data_of(seed))
    complete(aws, snapshot, {3: data_of("second")})
    assert content(aws, snapshot) == {3: data_of("second")}


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"Checksum": sha(data_of("other"))}, "INVALID_BLOCK"),
        ({"Checksum": "x"}, "INVALID_BLOCK"),
        ({"BlockIndex": 2048}, "INVALID_BLOCK"),
        ({"BlockData": b"short", "DataLength": 5, "Checksum": sha(b"short")}, "INVALID_BLOCK"),
        ({"DataLength": 4096}, "INVALID_BLOCK"),
        ({"ChecksumAlgorithm": "SHA1"}, "INVALID_PARAMETER_VALUE"),
    ],
    ids=["checksum", "no checksum", "beyond the end", "short", "length", "algorithm"],
)
def test_blocks_that_are_refused_are_not_written(aws: Clients, lax: Any, change: dict[str, Any], reason: str) -> None:
    snapshot = start(aws)
    values: dict[str, Any] = {
        "SnapshotId": snapshot, "BlockIndex": 0, "BlockData": data_of(0), "DataLength": BLOCK,
        "Checksum": sha(data_of(0)), "ChecksumAlgorithm": "SHA256",
    }  # fmt: skip
    assert refusal(lax.put_snapshot_block, **(values | change)) == ("ValidationException", reason)
    complete(aws, snapshot, {})
    assert content(aws, snapshot) == {}


def test_puts_to_what_takes_none(aws: Clients) -> None:
    done = made(aws, {0: data_of(0)})
    assert refusal(put, aws, done, 1, data_of(1)) == ("ValidationException", "INVALID_SNAPSHOT_ID")
    assert refusal(put, aws, NOBODY, 1, data_of(1)) == ("ResourceNotFoundException", "SNAPSHOT_NOT_FOUND")
    assert content(aws, done) == {0: data_of(0)}


def test_another_regions_snapshot_is_not_found(aws: Clients, other: Clients) -> None:
    snapshot = start(other)
    assert refusal(put, aws, snapshot, 0, data_of(0))[0] == "ResourceNotFoundException"
    assert refusal(aws.ebs.complete_snapshot, SnapshotId=snapshot, ChangedBlocksCount=0)[0] == (
        "ResourceNotFoundException"
    )


# Completion


@pytest.mark.parametrize(
    "change",
    [
        {"ChangedBlocksCount": 1},
        {"ChangedBlocksCount": 3},
        {"Checksum": linear({0: data_of(0)})},
        {"Checksum": sha(data_of(0) + data_of(1))},
        {"Checksum": base64.b64encode(bytes(32)).decode()},
    ],
    ids=["too few", "too many", "one of two", "of the data", "zeros"],
)
def test_completions_that_are_refused_leave_it_pending(aws: Clients, change: dict[str, Any]) -> None:
    blocks = {0: data_of(0), 1: data_of(1)}
    snapshot = start(aws)
    for index, data in blocks.items():
        put(aws, snapshot, index, data)
    values = {
        "SnapshotId": snapshot, "ChangedBlocksCount": 2, "Checksum": linear(blocks), "ChecksumAlgorithm": "SHA256",
        "ChecksumAggregationMethod": "LINEAR",
    }  # fmt: skip
    assert refusal(aws.ebs.complete_snapshot, **(values | change)) == ("ValidationException", "INVALID_PARAMETER_VALUE")
    assert state(aws, snapshot) == "pending"
    assert aws.ebs.complete_snapshot(**values)["Status"] == "completed"


def test_the_aggregate_is_of_the_order_of_indices_not_of_writing(aws: Clients) -> None:
    blocks = {index: data_of(index) for index in (2000, 3, 77)}
    assert made(aws, blocks)


def test_the_aggregate_of_a_child_is_of_its_own_blocks(aws: Clients) -> None:
    parent = made(aws, {0: data_of(0)})
    assert made(aws, {1: data_of(1)}, ParentSnapshotId=parent)


def test_completion_without_checksum_and_twice(aws: Clients) -> None:
    snapshot = start(aws)
    put(aws, snapshot, 0, data_of(0))
    for _ in range(2):
        assert aws.ebs.complete_snapshot(SnapshotId=snapshot, ChangedBlocksCount=1)["Status"] == "completed"
    assert refusal(aws.ebs.complete_snapshot, SnapshotId=NOBODY, ChangedBlocksCount=0) == (
        "ResourceNotFoundException",
        "SNAPSHOT_NOT_FOUND",
    )


def state(aws: Clients, snapshot: str) -> str:
    return str(aws.ec2.describe_snapshots(SnapshotIds=[snapshot])["Snapshots"][0]["State"])
