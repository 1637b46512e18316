"""Notifications and the catalog, carried out by a real connector's chores: SNS in the sandbox, a webhook on loopback."""

from __future__ import annotations

import hashlib
import hmac
import json
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from rehost.connector import ConnectorSettings
from rehost.connector._chores import Chores
from rehost.connector._errors import DeliveryFailed
from rehost.connector._webhook import post
from rehost.control import NOTIFIABLE

from .conftest import Site

EVENTS = list(NOTIFIABLE)


@dataclass
class Receiver:
    """A webhook that answers as told and keeps what it got."""

    url: str
    answers: list[int] = field(default_factory=list)  # of the next requests; 204 when they are used up
    got: list[tuple[dict[str, str], bytes]] = field(default_factory=list)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            here.got.append((dict(self.headers), body))
            self.send_response(here.answers.pop(0) if here.answers else 204)
            self.send_header("Content-Length", "0")
            self.send_header("Location", here.url)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    here = Receiver(f"http://127.0.0.1:{server.server_port}/hook?token=s3cret")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield here
    server.shutdown()
    server.server_close()
    thread.join()


def settled(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.fixture
def chores(site: Site) -> Iterator[Chores]:
    settings = ConnectorSettings(site.database, site.folder / "state", site.folder)
    running = Chores("c1", site.control, settings)
    running.start()
    yield running
    running.stop()


def channel(**target: Any) -> tuple[dict[str, Any], ...]:
    return ({"name": "operations", "events": EVENTS, **target},)


def test_a_webhook_gets_a_signed_message_and_no_secret_is_kept(
    site: Site, chores: Chores, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOOK_URL", receiver.url)
    monkeypatch.setenv("HOOK_KEY", "hunter2")
    job = site.declare(notify=channel(webhook={"urlFrom": {"env": "HOOK_URL"}, "secret": {"env": "HOOK_KEY"}}))
    site.control.jobs.pause(job.id)
    settled(lambda: bool(receiver.got) and not site.control.outbox.waiting())
    headers, body = receiver.got[0]
    message = json.loads(body)
    assert (message["event"], headers["Rehost-Event"], headers["Rehost-Id"]) == (
        "job-paused",
        "job-paused",
        message["id"],
    )
    parts = dict(part.split("=", 1) for part in headers["Rehost-Signature"].split(","))
    expected = hmac.new(b"hunter2", parts["t"].encode() + b"." + body, hashlib.sha256).hexdigest()
    assert parts["v1"] == expected
    database = b"".join(path.read_bytes() for path in (site.folder / "state").glob("control.db*"))
    assert b"hunter2" not in database
    assert b"s3cret" not in database


def test_a_webhook_that_refuses_is_tried_again_with_the_same_id(site: Site, receiver: Receiver) -> None:
    job = site.declare(notify=channel(webhook={"url": receiver.url}))
    receiver.answers = [500]
    site.control.jobs.pause(job.id)
    chores = Chores("c1", site.control, ConnectorSettings(site.database, site.folder / "state", site.folder))
    assert chores._deliver()
    (waiting,) = site.control.outbox.waiting()
    assert "it answered 500" in (waiting.last_error or "")
    assert "s3cret" not in (waiting.last_error or "")
    assert not chores._deliver()  # not at once
    again = site.control.outbox.failed(waiting, "now")
    assert again is not None
    assert len(receiver.got) == 1


@pytest.mark.parametrize(("answer", "said"), [(302, "it answered 302"), (404, "it answered 404")])
def test_what_is_no_receipt_is_an_error(receiver: Receiver, answer: int, said: str) -> None:
    receiver.answers = [answer]
    with pytest.raises(DeliveryFailed, match=said) as caught:
        post(receiver.url, {"event": "run-failed", "id": "1"}, None)
    assert "token" not in str(caught.value)
    assert len(receiver.got) == 1  # a redirect is not followed


def test_nobody_there_is_an_error_without_the_address(receiver: Receiver) -> None:
    with pytest.raises(DeliveryFailed) as caught:
        post("http://127.0.0.1:1/hook?token=s3cret", {"event": "run-failed", "id": "1"}, None)
    assert "s3cret" not in str(caught.value)


def test_a_secret_that_is_not_there_is_said_and_tried_again(site: Site, receiver: Receiver) -> None:
    job = site.declare(notify=channel(webhook={"url": receiver.url, "secret": {"env": "REHOST_NO_SUCH_KEY"}}))
    site.control.jobs.pause(job.id)
    Chores("c1", site.control, ConnectorSettings(site.database, site.folder / "state", site.folder))._deliver()
    assert "REHOST_NO_SUCH_KEY" in (site.control.outbox.waiting()[0].last_error or "")
    assert receiver.got == []


def test_a_topic_gets_the_message(site: Site, chores: Chores) -> None:
    sns, sqs_like = site.aws.session.client("sns"), site.sandbox.calls()
    topic = sns.create_topic(Name=f"{site.stack}-t")["TopicArn"]
    job = site.declare(notify=channel(topic=topic))
    site.control.jobs.pause(job.id)
    settled(lambda: not site.control.outbox.waiting())
    assert site.sandbox.calls().get("sns.Publish", 0) > sqs_like.get("sns.Publish", 0)


def test_a_topic_that_refuses_says_why(site: Site) -> None:
    job = site.declare(notify=channel(topic=f"arn:aws:sns:eu-central-1:123456789012:{site.stack}-none"))
    site.control.jobs.pause(job.id)
    Chores("c1", site.control, ConnectorSettings(site.database, site.folder / "state", site.folder))._deliver()
    (waiting,) = site.control.outbox.waiting()
    assert waiting.last_error


def test_a_catalog_holds_what_discovery_found(site: Site, chores: Chores) -> None:
    site.write(range(2))
    site.control.catalogs.request("exports", {"type": "images", "path": "exports"})
    site.control.catalogs.request("elsewhere", {"type": "images", "path": "no-such-folder"})
    settled(lambda: all(each.requested_at is None for each in site.control.catalogs.list()))
    (server,) = site.control.catalogs.servers("exports")
    assert (server.name, server.disks[0]["size"]) == ("web-01", 256 << 20)
    by_name = {each.source_name: each for each in site.control.catalogs.list()}
    assert (by_name["exports"].state, by_name["elsewhere"].state) == ("AVAILABLE", "NOT_IMPORTED")
    assert "no-such-folder" in (by_name["elsewhere"].message or "")
