"""Where a pipeline comments, from the variables that GitHub Actions and GitLab CI set for each job."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, urlsplit

from rehost.comments._errors import NotInPipeline, NotOnAPullRequest


@dataclass(frozen=True)
class Place:
    """The comments of one pull request (GitHub) or merge request (GitLab).

    `comments` lists them and takes new ones, `comment` is the address of one by its id. `limit` is how many characters one may have.
    """

    host: str
    comments: str
    comment: str
    headers: Mapping[str, str]
    change_method: str
    limit: int
    remedy: str

    def __repr__(self) -> str:
        return f"Place({self.comments!r})"  # the headers hold a token


def find_place(environment: Mapping[str, str]) -> Place:
    """The pull request that this job of a pipeline runs for.

    GitHub: https://docs.github.com/en/actions/reference/variables-reference and the API of issue comments (2022-11-28); at most
    65,536 characters. GitLab: https://docs.gitlab.com/ci/variables/predefined_variables and the API of merge request notes; at most
    1,000,000 characters. Raises NotInPipeline, NotOnAPullRequest.
    """
    if environment.get("GITHUB_ACTIONS") == "true":
        return _github(environment)
    if environment.get("GITLAB_CI") == "true":
        return _gitlab(environment)
    raise NotInPipeline(what="this is neither GitHub Actions (GITHUB_ACTIONS=true) nor GitLab CI (GITLAB_CI=true)")


def _github(environment: Mapping[str, str]) -> Place:
    api = _address(environment, "GITHUB_API_URL")
    repository = _value(environment, "GITHUB_REPOSITORY", "which GitHub sets")
    token = _value(environment, "GITHUB_TOKEN", "give the step `env: {GITHUB_TOKEN: ${{ github.token }}}`")
    number = _pull_request(Path(_value(environment, "GITHUB_EVENT_PATH", "which GitHub sets")))
    base = f"{api}/repos/{quote(repository)}/issues"
    return Place(
        host=urlsplit(api).netloc,
        comments=f"{base}/{number}/comments",
        comment=f"{base}/comments/{{id}}",
        headers={
            "Accept": "application/vnd.github+json",
            "Authorization": f"Bearer {token}",
            "X-GitHub-Api-Version": "2022-11-28",
        },
        change_method="PATCH",
        limit=65_536,
        remedy="the job needs `permissions: {pull-requests: write}`",
    )


def _gitlab(environment: Mapping[str, str]) -> Place:
    api = _address(environment, "CI_API_V4_URL")
    project = _value(environment, "CI_PROJECT_ID", "which GitLab sets")
    number = environment.get("CI_MERGE_REQUEST_IID")
    if not number:
        raise NotOnAPullRequest(what="CI_MERGE_REQUEST_IID is not set")
    what = "a project access token with the scope `api` (the job's own token may not write notes)"
    token = _value(environment, "REHOST_GITLAB_TOKEN", what)
    notes = f"{api}/projects/{quote(project, safe='')}/merge_requests/{quote(number, safe='')}/notes"
    return Place(
        host=urlsplit(api).netloc,
        comments=notes,
        comment=f"{notes}/{{id}}",
        headers={"PRIVATE-TOKEN": token},
        change_method="PUT",
        limit=1_000_000,
        remedy="REHOST_GITLAB_TOKEN needs the scope `api` and at least the role Reporter",
    )


def _pull_request(event: Path) -> int:
    """The number in the event that GitHub wrote down for the job."""
    try:
        content = json.loads(event.read_bytes())
    except (OSError, ValueError) as error:
        raise NotInPipeline(what=f"the event in GITHUB_EVENT_PATH cannot be read ({error})") from error
    request = content.get("pull_request") if isinstance(content, dict) else None
    number = request.get("number") if isinstance(request, dict) else None
    if not isinstance(number, int):
        raise NotOnAPullRequest(what="the event has no pull_request")
    return number


def _address(environment: Mapping[str, str], name: str) -> str:
    address = _value(environment, name, "which the pipeline sets").rstrip("/")
    if urlsplit(address).scheme not in ("http", "https") or not urlsplit(address).netloc:
        raise NotInPipeline(what=f"{name} is no http address")
    return address


def _value(environment: Mapping[str, str], name: str, hint: str) -> str:
    value = environment.get(name)
    if not value:
        raise NotInPipeline(what=f"{name} is not set: {hint}")
    return value
