"""HTTP and TCP checks against real sockets: what is right, what is wrong, and what hangs."""

from __future__ import annotations

import socket
import threading
import time
from typing import Any

import pytest

from rehost.validation import attempt
from rehost.validation._network import http_get, tcp

from .conftest import TARGET, check, page, serving


def test_a_page_that_answers_as_it_should() -> None:
    with serving(lambda _: page(200, "ok\n")) as server:
        tried = http_get(check("http", port=server.port, path="/healthz?deep=1", body="ok"), TARGET, 5)
    assert (tried.ok, tried.output) == (True, "ok\n")
    assert tried.message == f"GET http://127.0.0.1:{server.port}/healthz?deep=1 answered 200"
    assert server.requests[0].startswith("GET /healthz?deep=1 HTTP/1.1\r\n")
    assert f"Host: 127.0.0.1:{server.port}\r\n" in server.requests[0]


@pytest.mark.parametrize(
    ("answer", "settings", "said"),
    [
        (page(503, "down"), {}, "answered 503 Some"),
        (page(302, "", "Location: /elsewhere"), {}, "answered 302"),
        (page(200, "sold out"), {"body": "ok"}, "answered 200, and its body lacks 'ok'"),
        (page(200), {"status": [401]}, "answered 200"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", {}, "had no answer: BadStatusLine"),
    ],
)
def test_a_page_that_does_not(answer: bytes, settings: dict[str, Any], said: str) -> None:
    with serving(lambda _: answer) as server:
        tried = http_get(check("http", port=server.port, **settings), TARGET, 5)
    assert not tried.ok
    assert said in tried.message
    assert not tried.final


def test_a_status_that_is_expected() -> None:
    with serving(lambda _: page(401)) as server:
        assert http_get(check("http", port=server.port, status=[200, 401]), TARGET, 5).ok


def test_the_name_of_the_site_and_another_host() -> None:
    elsewhere = TARGET.__class__("web-01", "i-1", "192.0.2.1")
    with serving(lambda _: page(200)) as server:
        wanted = check("http", port=server.port, host="localhost", serverName="shop.example.com")
        assert http_get(wanted, elsewhere, 5).ok
    assert "Host: shop.example.com\r\n" in server.requests[0]


def test_a_certificate_is_not_taken_on_trust_and_plain_http_is_no_tls() -> None:
    with serving(lambda _: page(200)) as server:
        tried = http_get(check("http", port=server.port, scheme="https"), TARGET, 1)
    assert not tried.ok
    assert "had no answer" in tried.message


def test_an_answer_that_never_comes_ends_in_time() -> None:
    with serving(lambda _: b"") as server:
        begun = time.monotonic()
        tried = http_get(check("http", port=server.port), TARGET, 0.3)
        took = time.monotonic() - begun
    assert not tried.ok
    assert took < 3


def test_an_answer_that_drips_ends_in_time() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        begun = time.monotonic()

        def drip() -> None:
            connection, _ = listening.accept()
            with connection:
                connection.recv(4096)
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\nConnection: close\r\n\r\n")
                try:
                    for _ in range(200):
                        connection.sendall(b"x")
                        time.sleep(0.05)
                except OSError:
                    return

        thread = threading.Thread(target=drip)
        thread.start()
        tried = http_get(check("http", port=listening.getsockname()[1]), TARGET, 0.5)
        took = time.monotonic() - begun
        thread.join()
    assert not tried.ok
    assert took < 4


def test_a_port_that_is_open_and_one_that_is_not() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        assert tcp(check("tcp", port=port), TARGET, 5).ok
    tried = tcp(check("tcp", port=port), TARGET, 5)
    assert (tried.ok, tried.message) == (False, f"127.0.0.1:{port} takes no connection: Connection refused")


def test_an_address_that_the_instance_lacks_is_said_at_once() -> None:
    outcome = attempt(check("tcp", port=80, address="public"), TARGET, tcp)
    assert not outcome.ok
    assert outcome.attempts == 1
    assert "has no public address" in outcome.message


def test_it_is_tried_until_it_holds() -> None:
    answers = iter([503, 503, 200])
    with serving(lambda _: page(next(answers))) as server:
        said: list[str] = []
        outcome = attempt(check("http", port=server.port), TARGET, http_get, say=said.append)
    assert (outcome.ok, outcome.attempts) == (True, 3)
    assert len(said) == 2


def test_it_is_not_tried_more_often_than_it_says() -> None:
    with serving(lambda _: page(503)) as server:
        outcome = attempt(check("http", port=server.port, attempts=2), TARGET, http_get)
    assert (outcome.ok, outcome.attempts) == (False, 2)
    assert "answered 503 Some (tried 2 times in" in outcome.message


def test_its_time_is_over_while_it_hangs() -> None:
    with serving(lambda _: b"") as server:
        begun = time.monotonic()
        outcome = attempt(check("http", port=server.port, timeout=0.5, interval=0.1), TARGET, http_get)
        took = time.monotonic() - begun
    assert not outcome.ok
    assert took < 4
