"""ListSnapshotBlocks, GetSnapshotBlock and ListChangedBlocks as AWS documents them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.sandbox.conftest import BLOCK, Clients, complete, content, data_of, got, listed, made, put, refusal, start

NOBODY = "snap-0123456789abcdef0"


@pytest.fixture(scope="module")
def many(aws: Clients) -> tuple[str, list[int]]:
    """A snapshot of 205 blocks, with gaps: three pages of the smallest size."""
    indices = [index * 3 for index in range(205)]
    data = bytes(BLOCK)
    return made(aws, dict.fromkeys(indices, data)), indices


def test_a_listing_says_what_it_is_of(aws: Clients) -> None:
    answer = aws.ebs.list_snapshot_blocks(SnapshotId=made(aws, {4: data_of(4)}, VolumeSize=3))
    assert [each["BlockIndex"] for each in answer["Blocks"]] == [4]
    assert (answer["VolumeSize"], answer["BlockSize"]) == (3, BLOCK)
    assert timedelta(days=6) < answer["ExpiryTime"] - datetime.now(UTC) < timedelta(days=8)
    assert "NextToken" not in answer


def test_an_empty_snapshot(aws: Clients) -> None:
    assert aws.ebs.list_snapshot_blocks(SnapshotId=made(aws, {}))["Blocks"] == []


def test_pages_give_every_block_once(aws: Clients, many: tuple[str, list[int]]) -> None:
    snapshot, indices = many
    found, sizes, token = [], [], None
    while True:
        more: dict[str, str] = {"NextToken": token} if token else {}
        page = aws.ebs.list_snapshot_blocks(SnapshotId=snapshot, MaxResults=100, **more)
        sizes.append(len(page["Blocks"]))
        found += [each["BlockIndex"] for each in page["Blocks"]]
        token = page.get("NextToken")
        if token is None:
            break
    assert (found, sizes) == (indices, [100, 100, 5])


def test_a_last_page_that_is_full_has_no_next(aws: Clients, many: tuple[str, list[int]]) -> None:
    snapshot, indices = many
    page = aws.ebs.list_snapshot_blocks(SnapshotId=snapshot, MaxResults=100, StartingBlockIndex=indices[105])
    assert len(page["Blocks"]) == 100
    assert "NextToken" not in page


def test_a_listing_starts_where_it_is_told(aws: Clients, many: tuple[str, list[int]]) -> None:
    snapshot, indices = many
    assert sorted(listed(aws, snapshot, StartingBlockIndex=300)) == [each for each in indices if each >= 300]
    assert sorted(listed(aws, snapshot, StartingBlockIndex=301)) == [each for each in indices if each >= 301]
    assert listed(aws, snapshot, StartingBlockIndex=2047) == {}
    first = aws.ebs.list_snapshot_blocks(SnapshotId=snapshot, MaxResults=100)
    # With NextToken, StartingBlockIndex is ignored.
    second = aws.ebs.list_snapshot_blocks(
        SnapshotId=snapshot, MaxResults=100, NextToken=first["NextToken"], StartingBlockIndex=0
    )
    assert second["Blocks"][0]["BlockIndex"] == indices[100]


@pytest.mark.parametrize("limit", [0, 99, 10_001, "many"])
def test_page_sizes_that_are_refused(lax: Any, many: tuple[str, list[int]], limit: object) -> None:
    assert refusal(lax.list_snapshot_blocks, SnapshotId=many[0], MaxResults=limit) == (
        "ValidationException",
        "INVALID_PARAMETER_VALUE",
    )
    assert refusal(lax.list_changed_blocks, FirstSnapshotId=many[0], SecondSnapshotId=many[0], MaxResults=limit) == (
        "ValidationException",
        "INVALID_PARAMETER_VALUE",
    )


def test_page_tokens_of_something_else(aws: Clients, many: tuple[str, list[int]]) -> None:
    snapshot, _ = many
    token = aws.ebs.list_snapshot_blocks(SnapshotId=snapshot, MaxResults=100)["NextToken"]
    child = made(aws, {1: data_of(1)}, ParentSnapshotId=snapshot)
    refused = ("ValidationException", "INVALID_PAGE_TOKEN")
    for call, asked in (
        (aws.ebs.list_snapshot_blocks, {"SnapshotId": child, "NextToken": token}),
        (aws.ebs.list_snapshot_blocks, {"SnapshotId": snapshot, "NextToken": "AAAA"}),
        (aws.ebs.list_snapshot_blocks, {"SnapshotId": snapshot, "NextToken": token[:-4] + "AAAA"}),
        (aws.ebs.list_changed_blocks, {"FirstSnapshotId": snapshot, "SecondSnapshotId": child, "NextToken": token}),
    ):
        assert refusal(call, **asked) == refused


def test_a_block_is_what_was_put(aws: Clients) -> None:
    blocks = {0: data_of(0), 1: bytes(BLOCK), 2047: data_of(2047)}
    assert content(aws, made(aws, blocks)) == blocks


def test_block_tokens_are_of_one_block_of_one_snapshot(aws: Clients) -> None:
    one, other = made(aws, {0: data_of(0), 1: data_of(1)}), made(aws, {0: data_of("other")})
    tokens, others = listed(aws, one), listed(aws, other)
    refused = ("ValidationException", "INVALID_BLOCK_TOKEN")
    for index, token in ((0, tokens[1]), (0, others[0]), (0, "AAAA"), (0, "not base64!"), (5, tokens[0])):
        assert refusal(aws.ebs.get_snapshot_block, SnapshotId=one, BlockIndex=index, BlockToken=token) == refused


def test_what_is_pending_or_not_there_cannot_be_read(aws: Clients) -> None:
    pending = start(aws)
    put(aws, pending, 0, data_of(0))
    done = made(aws, {0: data_of(0)})
    assert refusal(aws.ebs.list_snapshot_blocks, SnapshotId=pending) == ("ValidationException", "INVALID_SNAPSHOT_ID")
    for first, second in ((pending, done), (done, pending)):
        assert refusal(aws.ebs.list_changed_blocks, FirstSnapshotId=first, SecondSnapshotId=second) == (
            "ValidationException",
            "INVALID_SNAPSHOT_ID",
        )
    missing = ("ResourceNotFoundException", "SNAPSHOT_NOT_FOUND")
    assert refusal(aws.ebs.list_snapshot_blocks, SnapshotId=NOBODY) == missing
    assert refusal(aws.ebs.list_changed_blocks, FirstSnapshotId=done, SecondSnapshotId=NOBODY) == missing
    assert refusal(aws.ebs.get_snapshot_block, SnapshotId=NOBODY, BlockIndex=0, BlockToken="AAAA") == missing


def test_another_regions_snapshot_cannot_be_read(aws: Clients, other: Clients) -> None:
    elsewhere = made(other, {0: data_of(0)})
    assert refusal(aws.ebs.list_snapshot_blocks, SnapshotId=elsewhere)[0] == "ResourceNotFoundException"
    assert content(other, elsewhere) == {0: data_of(0)}


# Changed blocks


def changed(aws: Clients, first: str, second: str, **asked: Any) -> dict[int, tuple[bytes | None, bytes | None]]:
    """The contents of each changed block in the first and in the second snapshot."""
    found: dict[int, tuple[bytes | None, bytes | None]] = {}
    while True:
        page = aws.ebs.list_changed_blocks(FirstSnapshotId=first, SecondSnapshotId=second, **asked)
        for each in page["ChangedBlocks"]:
            index, before, after = each["BlockIndex"], each.get("FirstBlockToken"), each.get("SecondBlockToken")
            assert index not in found
            assert before or after
            found[index] = (
                got(aws, first, index, before) if before else None,
                got(aws, second, index, after) if after else None,
            )
        if not page.get("NextToken"):
            return found
        asked["NextToken"] = page["NextToken"]


def test_changes_between_parent_and_child(aws: Clients) -> None:
    parent = made(aws, {0: data_of(0), 5: data_of(5), 9: data_of(9)})
    child = made(aws, {5: data_of("new"), 7: data_of(7)}, ParentSnapshotId=parent)
    assert changed(aws, parent, child) == {5: (data_of(5), data_of("new")), 7: (None, data_of(7))}
    assert changed(aws, child, parent) == {5: (data_of("new"), data_of(5)), 7: (data_of(7), None)}
    assert changed(aws, child, child) == {}


def test_changes_over_generations_and_between_siblings(aws: Clients) -> None:
    root = made(aws, {0: data_of(0)})
    left = made(aws, {1: data_of("left")}, ParentSnapshotId=root)
    right = made(aws, {1: data_of("right"), 2: data_of(2)}, ParentSnapshotId=root)
    tip = made(aws, {0: data_of("tip")}, ParentSnapshotId=left)
    assert changed(aws, root, tip) == {0: (data_of(0), data_of("tip")), 1: (None, data_of("left"))}
    assert changed(aws, left, right) == {1: (data_of("left"), data_of("right")), 2: (None, data_of(2))}


def test_changes_through_a_deleted_ancestor(aws: Clients) -> None:
    root = made(aws, {0: data_of(0)})
    first = made(aws, {1: data_of(1)}, ParentSnapshotId=root)
    second = made(aws, {2: data_of(2)}, ParentSnapshotId=first)
    aws.ec2.delete_snapshot(SnapshotId=first)
    assert changed(aws, root, second) == {1: (None, data_of(1)), 2: (None, data_of(2))}


def test_changes_in_pages(aws: Clients, many: tuple[str, list[int]]) -> None:
    empty = made(aws, {})
    child = start(aws, ParentSnapshotId=empty)
    zero = bytes(BLOCK)
    for index in range(105):
        put(aws, child, index, zero)
    complete(aws, child, dict.fromkeys(range(105), zero))
    asked = {"FirstSnapshotId": empty, "SecondSnapshotId": child, "MaxResults": 100}
    page = aws.ebs.list_changed_blocks(**asked)
    rest = aws.ebs.list_changed_blocks(**asked, NextToken=page["NextToken"])
    assert [each["BlockIndex"] for each in page["ChangedBlocks"] + rest["ChangedBlocks"]] == list(range(105))
    assert "NextToken" not in rest
    tail = aws.ebs.list_changed_blocks(**asked, StartingBlockIndex=103)
    assert [each["BlockIndex"] for each in tail["ChangedBlocks"]] == [103, 104]


def test_snapshots_of_different_lineages(aws: Clients) -> None:
    one, other = made(aws, {0: data_of(0)}), made(aws, {0: data_of(0)})
    assert refusal(aws.ebs.list_changed_blocks, FirstSnapshotId=one, SecondSnapshotId=other) == (
        "ValidationException",
        "UNRELATED_SNAPSHOTS",
    )


def test_the_first_snapshot_must_be_named(aws: Clients) -> None:
    assert refusal(aws.ebs.list_changed_blocks, SecondSnapshotId=made(aws, {})) == (
        "ValidationException",
        "INVALID_SNAPSHOT_ID",
    )
