"""A job of GitHub Actions for a pull request, and a GitLab that keeps notes."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.cli.conftest import command as command
from tools.ci.forge import REPOSITORY, TOKEN, Forge, PullRequest


@pytest.fixture
def forge(tmp_path: Path) -> Iterator[Forge]:
    with Forge(tmp_path / "forge") as running:
        yield running


@pytest.fixture
def request_(forge: Forge) -> PullRequest:
    return forge.open("change", "A change")


@pytest.fixture
def job(tmp_path: Path, forge: Forge, request_: PullRequest) -> dict[str, str]:
    """The variables of a job that runs for the pull request."""
    event = tmp_path / "event.json"
    event.write_text(json.dumps({"pull_request": {"number": request_.number}}))
    return {
        "GITHUB_ACTIONS": "true",
        "GITHUB_API_URL": forge.api,
        "GITHUB_REPOSITORY": REPOSITORY,
        "GITHUB_TOKEN": TOKEN,
        "GITHUB_EVENT_PATH": str(event),
    }


class Notes:
    """The notes of one merge request, and answers to give before them: `(status, headers)` for the next requests."""

    def __init__(self) -> None:
        self.notes: list[dict[str, Any]] = []
        self.instead: list[tuple[int, dict[str, str]]] = []
        self.asked: list[str] = []
        self.lost_answers = 0  # of POSTs: the note is made, and the connection breaks
        self.address = ""


@pytest.fixture
def notes() -> Iterator[Notes]:
    state = Notes()

    class Handler(BaseHTTPRequestHandler):
        def handle_one(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
            state.asked.append(f"{self.command} {self.headers.get('PRIVATE-TOKEN')}")
            if state.instead:
                status, headers = state.instead.pop(0)
                return self.say(status, {"message": "not now"}, headers)
            split = urlsplit(self.path)
            match = re.fullmatch(r"/api/v4/projects/7/merge_requests/3/notes(?:/(\d+))?", split.path)
            if match is None:
                return self.say(404, {"message": "404 Not found"}, {})
            if self.command == "GET":
                query = parse_qs(split.query)
                size, page = int(query["per_page"][0]), int(query["page"][0])
                return self.say(200, state.notes[size * (page - 1) : size * page], {})
            text = json.loads(body)["body"]
            if self.command == "POST":
                state.notes.append({"id": len(state.notes) + 1, "body": text})
                if state.lost_answers:
                    state.lost_answers -= 1
                    self.close_connection = True
                    return None
                return self.say(201, state.notes[-1], {})
            note = state.notes[int(match[1]) - 1]
            note["body"] = text
            return self.say(200, note, {})

        def do_GET(self) -> None:
            self.handle_one()

        def do_POST(self) -> None:
            self.handle_one()

        def do_PUT(self) -> None:
            self.handle_one()

        def say(self, status: int, content: object, headers: dict[str, str]) -> None:
            answer = json.dumps(content).encode()
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(answer))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    state.address = f"http://127.0.0.1:{server.server_address[1]}"
    yield state
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def merge_request(notes: Notes) -> dict[str, str]:
    return {
        "GITLAB_CI": "true",
        "CI_API_V4_URL": f"{notes.address}/api/v4",
        "CI_PROJECT_ID": "7",
        "CI_MERGE_REQUEST_IID": "3",
        "REHOST_GITLAB_TOKEN": "hidden-word",
    }
