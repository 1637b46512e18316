"""Where an engine comes from: the archive that Pulumi publishes, and the Go that builds it."""

from __future__ import annotations

import io
import os
import socket
import tarfile
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tools import _engine_build, _engine_download
from tools._errors import SetupError
from tools._progress import Progress


def _archive(folder: str = "pulumi") -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name in (f"{folder}/pulumi", f"{folder}/pulumi-language-python", "../../outside", "pulumi/README"):
            member = tarfile.TarInfo(name)
            member.size = len(b"#!/bin/sh\n")
            archive.addfile(member, io.BytesIO(b"#!/bin/sh\n"))
    return buffer.getvalue()


class _Site(BaseHTTPRequestHandler):
    content = b""

    def do_HEAD(self) -> None:
        self._answer(with_content=False)

    def do_GET(self) -> None:
        self._answer(with_content=True)

    def _answer(self, with_content: bool) -> None:
        there = self.path == (_engine_download.url("3.1.0", "") or "")
        self.send_response(200 if there else 404)
        self.send_header("Content-Length", str(len(self.content) if there else 0))
        self.end_headers()
        if there and with_content:
            self.wfile.write(self.content)

    def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002 - the base class names it so
        pass


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr("platform.system", lambda: "Linux")
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    with ThreadingHTTPServer(("127.0.0.1", 0), _Site) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("folder", ["pulumi", "pulumi/bin"])
def test_the_programs_of_the_archive_are_unpacked_and_nothing_else(
    site: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folder: str
) -> None:
    monkeypatch.setattr(_Site, "content", _archive(folder))
    (tmp_path / "scratch").mkdir()
    assert _engine_download.reachable("3.1.0", site=site)
    _engine_download.download("3.1.0", tmp_path / "scratch" / "bin", Progress(), site=site)
    written = sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file())
    assert written == ["scratch/bin/pulumi", "scratch/bin/pulumi-language-python"]
    assert os.access(tmp_path / "scratch" / "bin" / "pulumi", os.X_OK)


def test_a_version_that_is_not_published_is_not_reachable(site: str) -> None:
    assert not _engine_download.reachable("3.2.0", site=site)


def test_a_cut_archive_is_an_error_that_says_so(site: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_Site, "content", _archive()[:-20])
    with pytest.raises(SetupError, match="could not be downloaded"):
        _engine_download.download("3.1.0", tmp_path / "bin", Progress(), site=site)


def test_a_site_that_never_answers_is_given_up_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        started = time.monotonic()
        assert not _engine_download.reachable("3.1.0", site=f"http://127.0.0.1:{silent.getsockname()[1]}", seconds=0.3)
        assert time.monotonic() - started < 2


def test_a_machine_that_pulumi_does_not_publish_for_builds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.machine", lambda: "riscv64")
    assert _engine_download.url("3.1.0") is None
    assert not _engine_download.reachable("3.1.0")


@pytest.mark.parametrize(
    ("given_proxy", "expected"),
    [
        ("https://one.example,direct", "https://one.example"),
        ("https://one.example|https://two.example|direct", "https://one.example|https://two.example"),
        ("https://one.example,direct,https://two.example", "https://one.example,https://two.example"),
        ("https://direct.example", "https://direct.example"),
        ("direct", "direct"),
        ("off", "off"),
    ],
)
def test_modules_come_from_the_proxy_alone(given_proxy: str, expected: str) -> None:
    assert _engine_build.without_direct(given_proxy) == expected


@given(
    st.lists(st.sampled_from(["https://a.example", "file:///b", "direct", "off"]), min_size=1), st.sampled_from(",|")
)
def test_no_proxy_is_lost(entries: list[str], separator: str) -> None:
    kept = [entry for entry in entries if entry != "direct"]
    result = _engine_build.without_direct(separator.join(entries))
    assert result.split(separator) == kept if kept else result == separator.join(entries)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("go version go1.26.8 linux/amd64", (1, 26, 8)),
        ("go version go1.25 darwin/arm64", (1, 25, 0)),
        ("go version go1.26rc1 linux/amd64", (1, 26, 0)),
        ("", None),
    ],
)
def test_the_version_of_go_is_read(text: str, expected: tuple[int, int, int] | None) -> None:
    assert _engine_build.go_version(text) == expected


def test_a_go_that_is_too_old_is_named_with_the_one_needed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    go = tmp_path / "go"
    go.write_text("#!/bin/sh\necho go version go1.19.8 linux/amd64\n")
    go.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(_engine_build, "_USUAL_GO", ())
    with pytest.raises(SetupError, match=r"Go 1\.25\.11 to build it is not here .*go is 1\.19\.8") as caught:
        _engine_build.build(tmp_path / "bin", Progress())
    assert any("golang-go is too old" in line for line in caught.value.todo)
    assert not (tmp_path / "bin").exists()
