"""A place for repositories as GitHub is one: a bare repository, pull requests with their merge commit, and comments over HTTP on loopback."""

from __future__ import annotations

import json
import os
import re
import subprocess
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

REPOSITORY = "example/estate"
TOKEN = "token-of-the-job"
MAIN = "main"
#: Commits of the forge and of whoever works with it; the settings of this machine's user play no part.
IDENTITY = {
    "GIT_AUTHOR_NAME": "A Person",
    "GIT_AUTHOR_EMAIL": "person@example.com",
    "GIT_COMMITTER_NAME": "A Person",
    "GIT_COMMITTER_EMAIL": "person@example.com",
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_CONFIG_NOSYSTEM": "1",
}


class GitError(Exception):
    """What git said when it did not do what it was told."""


@dataclass(frozen=True)
class PullRequest:
    number: int
    branch: str
    title: str


@dataclass
class Comment:
    id: int
    body: str
    changes: int = 0


@dataclass
class Forge:
    """`folder` gets the bare repository. As a context manager it serves the API of comments at `api`."""

    folder: Path
    pull_requests: list[PullRequest] = field(default_factory=list)
    comments: dict[int, list[Comment]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.repository = self.folder / "estate.git"
        self.folder.mkdir(parents=True, exist_ok=True)
        git(self.folder, "init", "--quiet", "--bare", "--initial-branch", MAIN, self.repository.name)

    def __enter__(self) -> Forge:
        handler = type("Handler", (_Handler,), {"forge": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        self._thread.start()
        self.api = f"http://127.0.0.1:{self._server.server_address[1]}"
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def open(self, branch: str, title: str) -> PullRequest:
        request = PullRequest(len(self.pull_requests) + 1, branch, title)
        self.pull_requests.append(request)
        self.comments[request.number] = []
        return request

    def merge_commit(self, request: PullRequest) -> str:
        """The commit that merging would make now, as `refs/pull/NUMBER/merge` at GitHub. Raises GitError where it conflicts."""
        tree = git(self.repository, "merge-tree", "--write-tree", MAIN, request.branch).split("\n", 1)[0]
        parents = (part for parent in (MAIN, request.branch) for part in ("-p", parent))
        commit = git(self.repository, "commit-tree", tree, *parents, "-m", f"Merge #{request.number}: {request.title}")
        git(self.repository, "update-ref", f"refs/pull/{request.number}/merge", commit)
        return commit

    def merge(self, request: PullRequest) -> str:
        commit = self.merge_commit(request)
        git(self.repository, "update-ref", f"refs/heads/{MAIN}", commit)
        return commit

    def event(self, scratch: Path, request: PullRequest | None = None) -> dict[str, Any]:
        """The context `github` of a job: for a pull request, or for a push to main. `scratch` gets the file with the event."""
        api = {"api_url": self.api, "repository": REPOSITORY, "token": TOKEN, "actor": "person", "server_url": self.api}
        if request is None:
            content: Mapping[str, Any] = {"ref": f"refs/heads/{MAIN}"}
            commit = git(self.repository, "rev-parse", MAIN)
            ref, about = f"refs/heads/{MAIN}", {"event_name": "push", "ref_name": MAIN}
        else:
            head = {"ref": request.branch, "repo": {"full_name": REPOSITORY}}
            content = {
                "action": "synchronize",
                "number": request.number,
                "pull_request": {"number": request.number, "head": head},
            }
            commit = self.merge_commit(request)
            ref = f"refs/pull/{request.number}/merge"
            about = {
                "event_name": "pull_request",
                "base_ref": MAIN,
                "head_ref": request.branch,
                "ref_name": f"{request.number}/merge",
            }
        path = scratch / "event.json"
        path.write_text(json.dumps(content))
        return {**api, **about, "ref": ref, "sha": commit, "event": content, "event_path": str(path)}


def git(folder: Path, *arguments: str) -> str:
    """The trimmed output of git. Raises GitError."""
    environment = {**{name: value for name, value in os.environ.items() if not name.startswith("GIT_")}, **IDENTITY}
    done = subprocess.run(
        ["git", *arguments],
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise GitError(f"git {' '.join(arguments)} in {folder}: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout.strip()


class _Handler(BaseHTTPRequestHandler):
    """The part of GitHub's REST API that comments need, version 2022-11-28."""

    forge: Forge
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        path, query = urlsplit(self.path).path, parse_qs(urlsplit(self.path).query)
        found = self._comments_of(path)
        if found is None:
            return self._say(404, {"message": "Not Found"})
        size, page = int(query.get("per_page", ["30"])[0]), int(query.get("page", ["1"])[0])
        return self._say(200, [self._as_dict(each) for each in found[size * (page - 1) : size * page]])

    def do_POST(self) -> None:
        body = self._body()
        found = self._comments_of(urlsplit(self.path).path)
        if found is None:
            return self._say(404, {"message": "Not Found"})
        comment = Comment(1000 + sum(map(len, self.forge.comments.values())), body)
        found.append(comment)
        return self._say(201, self._as_dict(comment))

    def do_PATCH(self) -> None:
        body = self._body()
        match = re.fullmatch(rf"/repos/{REPOSITORY}/issues/comments/(\d+)", urlsplit(self.path).path)
        every = [each for comments in self.forge.comments.values() for each in comments]
        comment = next((each for each in every if match and each.id == int(match[1])), None)
        if comment is None:
            return self._say(404, {"message": "Not Found"})
        comment.body, comment.changes = body, comment.changes + 1
        return self._say(200, self._as_dict(comment))

    def _comments_of(self, path: str) -> list[Comment] | None:
        match = re.fullmatch(rf"/repos/{REPOSITORY}/issues/(\d+)/comments", path)
        return self.forge.comments.get(int(match[1])) if match else None

    def _body(self) -> str:
        content = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        return str(content["body"])

    def _as_dict(self, comment: Comment) -> dict[str, Any]:
        number = next(number for number, found in self.forge.comments.items() if comment in found)
        address = f"{self.forge.api}/{REPOSITORY}/pull/{number}#issuecomment-{comment.id}"
        return {"id": comment.id, "body": comment.body, "html_url": address, "user": {"type": "Bot"}}

    def _say(self, status: int, content: object) -> None:
        if self.headers.get("Authorization") != f"Bearer {TOKEN}":
            status, content = 401, {"message": "Bad credentials"}
        if isinstance(content, dict) and len(str(content.get("body", ""))) > 65_536:
            status, content = 422, {"message": "Body is too long (maximum is 65536 characters)"}
        answer = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_: object) -> None:
        """Nothing: the tests' output is theirs."""
