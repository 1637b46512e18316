"""One comment a pull request, however often a pipeline runs; and what a server does to that."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest

from rehost.comments import (
    CommentError,
    CommentNotSent,
    CommentRefused,
    NotInPipeline,
    NotOnAPullRequest,
    find_place,
    post,
)
from tests.cli.conftest import Command
from tools.ci.forge import Comment, Forge, PullRequest

from .conftest import Notes


def put(environment: dict[str, str], text: str, mark: str = "plan") -> bool:
    """Post, and whether it was a new comment."""
    return post(find_place(environment), text, mark=mark, pause=0.01).made


def test_a_second_call_changes_the_comment_of_the_first(
    forge: Forge, request_: PullRequest, job: dict[str, str]
) -> None:
    assert put(job, "# Plan\n\none")
    assert not put(job, "# Plan\n\ntwo")
    (comment,) = forge.comments[request_.number]
    assert comment.body == "<!-- rehost:plan -->\n# Plan\n\ntwo"
    assert comment.changes == 1


def test_marks_are_apart_and_what_others_write_stays(forge: Forge, request_: PullRequest, job: dict[str, str]) -> None:
    quoted = "> <!-- rehost:plan -->\n> quoted by a person"
    forge.comments[request_.number] += [Comment(1, quoted), Comment(2, "LGTM")]
    assert put(job, "a plan")
    assert put(job, "a report", mark="report")
    assert not put(job, "another plan")
    bodies = [comment.body.split("\n", 1)[1] for comment in forge.comments[request_.number][2:]]
    assert bodies == ["another plan", "a report"]
    assert forge.comments[request_.number][0].body == quoted


def test_it_is_found_behind_hundreds_of_others(forge: Forge, request_: PullRequest, job: dict[str, str]) -> None:
    forge.comments[request_.number] += [Comment(number, f"remark {number}") for number in range(1, 251)]
    assert put(job, "one")
    assert not put(job, "two")
    assert len(forge.comments[request_.number]) == 251


def test_what_is_too_long_is_cut_at_a_line_and_its_folds_are_closed(
    forge: Forge, request_: PullRequest, job: dict[str, str]
) -> None:
    text = (
        "<details>\n<summary>servers</summary>\n\n"
        + "".join(f"- server-{number} äöü\n" for number in range(9_000))
        + "</details>\n"
    )
    posted = post(find_place(job), text, mark="plan")
    assert posted.cut
    body = forge.comments[request_.number][0].body
    assert len(body) <= 65_536
    assert body.count("<details>") == body.count("</details>") == 1
    assert "cut off" in body.splitlines()[-1]
    kept = [line for line in body.splitlines() if line.startswith("- ")]
    assert kept == [f"- server-{number} äöü" for number in range(len(kept))]
    assert len(kept) > 3_000


def test_notes_of_a_merge_request(notes: Notes, merge_request: dict[str, str]) -> None:
    assert put(merge_request, "one")
    assert not put(merge_request, "two")
    assert [note["body"] for note in notes.notes] == ["<!-- rehost:plan -->\ntwo"]
    assert [each.split()[0] for each in notes.asked] == ["GET", "POST", "GET", "PUT"]


def test_a_server_that_is_away_for_a_moment_is_asked_again(notes: Notes, merge_request: dict[str, str]) -> None:
    notes.instead = [(502, {}), (429, {"Retry-After": "0"}), (403, {"Retry-After": "0"})]
    assert put(merge_request, "one")
    assert len(notes.asked) == 5


def test_a_server_that_stays_away_is_given_up_and_named(notes: Notes, merge_request: dict[str, str]) -> None:
    notes.instead = [(503, {})] * 10
    with pytest.raises(CommentNotSent, match=r"127\.0\.0\.1:\d+ did not take the comment: HTTP 503") as caught:
        put(merge_request, "one")
    assert len(notes.asked) == 4
    assert caught.value.retryable


def test_an_answer_that_is_lost_makes_no_second_note(notes: Notes, merge_request: dict[str, str]) -> None:
    notes.lost_answers = 1
    with pytest.raises(CommentNotSent):
        put(merge_request, "one")
    assert not put(merge_request, "two")
    assert [note["body"] for note in notes.notes] == ["<!-- rehost:plan -->\ntwo"]


def test_nobody_there_is_said_without_the_token(merge_request: dict[str, str]) -> None:
    merge_request["CI_API_V4_URL"] = "http://127.0.0.1:1/api/v4"
    with pytest.raises(CommentNotSent, match="Connection refused") as caught:
        put(merge_request, "one")
    assert "hidden-word" not in str(caught.value) + repr(caught.value) + repr(find_place(merge_request))


def test_a_token_without_rights_is_told_what_it_needs(job: dict[str, str]) -> None:
    with pytest.raises(CommentRefused, match=r"HTTP 401: Bad credentials; .*pull-requests: write"):
        put({**job, "GITHUB_TOKEN": "hidden-word"}, "one")


def test_without_rights_it_is_not_tried_again(notes: Notes, merge_request: dict[str, str]) -> None:
    notes.instead = [(403, {})] * 2
    with pytest.raises(CommentRefused, match=r"HTTP 403: not now; .*scope `api`"):
        put(merge_request, "one")
    assert len(notes.asked) == 1


def test_a_redirect_to_another_server_does_not_get_the_token(
    notes: Notes, merge_request: dict[str, str], job: dict[str, str]
) -> None:
    notes.instead = [(302, {"Location": f"{job['GITHUB_API_URL']}/repos/example/estate/issues/1/comments"})]
    with pytest.raises(CommentRefused, match="401"):
        put(merge_request, "one")


@pytest.mark.parametrize(
    ("missing", "expected", "kind"),
    [
        ("GITHUB_ACTIONS", "neither GitHub Actions", NotInPipeline),
        ("GITHUB_TOKEN", r"GITHUB_TOKEN is not set: give the step", NotInPipeline),
        ("GITHUB_EVENT_PATH", "GITHUB_EVENT_PATH is not set", NotInPipeline),
    ],
)
def test_what_a_job_lacks_is_named(missing: str, expected: str, kind: type[CommentError], job: dict[str, str]) -> None:
    del job[missing]
    with pytest.raises(kind, match=expected):
        find_place(job)


@pytest.mark.parametrize("content", ["{}", '{"pull_request": {"number": "1"}}', "[]"])
def test_an_event_of_something_else_is_no_pull_request(content: str, job: dict[str, str]) -> None:
    Path(job["GITHUB_EVENT_PATH"]).write_text(content)
    with pytest.raises(NotOnAPullRequest):
        find_place(job)


def test_a_pipeline_of_a_branch_has_no_merge_request(merge_request: dict[str, str]) -> None:
    del merge_request["CI_MERGE_REQUEST_IID"]
    with pytest.raises(NotOnAPullRequest, match="CI_MERGE_REQUEST_IID"):
        find_place(merge_request)
    with pytest.raises(NotInPipeline, match="no http address"):
        find_place({**merge_request, "CI_MERGE_REQUEST_IID": "3", "CI_API_V4_URL": "file:///etc/passwd"})


def test_errors_survive_pickle() -> None:
    error = CommentRefused(host="a", status=403, message="b", remedy="c")
    assert str(pickle.loads(pickle.dumps(error))) == str(error)


def test_the_command(command: Command, forge: Forge, request_: PullRequest, job: dict[str, str]) -> None:
    (command.folder / "plan.md").write_text("# Plan\n")
    command.environment |= job
    said = command("comment", "plan.md")
    assert (said.code, said.err) == (0, "")
    assert said.out.startswith("made the comment http://127.0.0.1")
    assert command("comment", "plan.md").out.startswith("changed")
    (command.folder / "plan.md").write_text("long\n" * 20_000)
    assert "cut at a line" in command("comment", "plan.md").err
    assert len(forge.comments[request_.number]) == 1


@pytest.mark.parametrize(
    ("arguments", "code", "expected"),
    [
        (["comment", "none.md"], 2, "none.md cannot be read: No such file"),
        (["comment", "plan.md"], 2, "neither GitHub Actions"),
        (["comment", "plan.md", "--mark", "--> <b>"], 2, "--mark"),
        (["comment", "latin.md"], 2, "not UTF-8"),
    ],
)
def test_what_the_command_refuses(arguments: list[str], code: int, expected: str, command: Command) -> None:
    command.environment = {
        name: value for name, value in command.environment.items() if not name.startswith(("GITHUB_", "GITLAB_"))
    }
    (command.folder / "plan.md").write_text("# Plan\n")
    (command.folder / "latin.md").write_bytes("ü".encode("latin-1"))
    said = command(*arguments)
    assert (said.code, said.out) == (code, "")
    assert expected in said.err
