"""The schema in an editor: yaml-language-server itself is asked for completion, help and errors."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tools import language_server
from tools._errors import SetupError
from tools._progress import Progress

ROOT = Path(__file__).resolve().parents[2]
SETTINGS = {"validate": True, "hover": True, "completion": True, "schemaStore": {"enable": False}}


class Editor:
    """As much of the Language Server Protocol (3.17) as an editor needs for one file at a time."""

    def __init__(self, process: subprocess.Popen[bytes], folder: Path) -> None:
        self.process, self.folder = process, folder
        self.requests = self.files = 0
        self.found: dict[str, list[str]] = {}

    def send(self, **message: Any) -> None:
        content = json.dumps({"jsonrpc": "2.0", **message}).encode()
        assert self.process.stdin
        self.process.stdin.write(b"Content-Length: %d\r\n\r\n" % len(content) + content)
        self.process.stdin.flush()

    def receive(self) -> Any:
        """The next message; what the server asks is answered, what it finds is kept."""
        stream, length = self.process.stdout, 0
        assert stream
        while line := stream.readline().strip():
            if line.lower().startswith(b"content-length:"):
                length = int(line.split(b":")[1])
        assert length, "the server has ended"
        message = json.loads(stream.read(length))
        if message.get("method") == "textDocument/publishDiagnostics":
            told = message["params"]
            self.found[told["uri"]] = [
                f"{each['range']['start']['line']}: {each['message']}" for each in told["diagnostics"]
            ]
        elif "method" in message and "id" in message:
            items = message.get("params", {}).get("items", [])
            self.send(id=message["id"], result=[SETTINGS if each.get("section") == "yaml" else {} for each in items])
        return message

    def ask(self, method: str, **parameters: Any) -> Any:
        self.requests += 1
        number = self.requests
        self.send(id=number, method=method, params=parameters)
        while True:
            message = self.receive()
            if message.get("id") == number and "method" not in message:
                assert "error" not in message, message
                return message["result"]

    def open(self, text: str) -> dict[str, Any]:
        """A new file with this text; | is where the cursor is, whose place is given back."""
        self.files += 1
        text = f"# yaml-language-server: $schema={self.folder / 'schema.json'}\n{text}"
        before, _, after = text.partition("|")
        uri = (self.folder / f"{self.files}.yaml").as_uri()
        document = {"uri": uri, "languageId": "yaml", "version": 1, "text": before + after}
        self.send(method="textDocument/didOpen", params={"textDocument": document})
        place = {"line": before.count("\n"), "character": len(before.rsplit("\n", 1)[-1])}
        return {"textDocument": {"uri": uri}, "position": place}

    def completion(self, text: str) -> set[str]:
        return {each["label"] for each in self.ask("textDocument/completion", **self.open(text))["items"]}

    def hover(self, text: str) -> str:
        return str(self.ask("textDocument/hover", **self.open(text))["contents"]["value"])

    def errors(self, text: str) -> list[str]:
        uri = self.open(text)["textDocument"]["uri"]
        while not self.found.get(uri):
            self.receive()
        return self.found[uri]


@pytest.fixture(scope="module")
def editor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Editor]:
    node = shutil.which("node")
    if node is None:
        pytest.skip("there is no node here: Debian package nodejs")
    try:
        program = language_server.ensure(Progress())
    except SetupError as error:
        pytest.skip(str(error))
    folder = tmp_path_factory.mktemp("editor")
    shutil.copy(ROOT / "rehost" / "spec" / "schema.json", folder)
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [node, program, "--stdio"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, cwd=folder
        )
    with process:
        found = Editor(process, folder)
        found.ask(
            "initialize",
            processId=None,
            rootUri=folder.as_uri(),
            capabilities={"textDocument": {"hover": {"contentFormat": ["markdown"]}}},
        )
        found.send(method="initialized", params={})
        found.send(method="workspace/didChangeConfiguration", params={"settings": {"yaml": SETTINGS}})
        yield found
        process.kill()


SERVER = "servers:\n  web-01:\n    source: e\n    locator: {path: x}\n"


def test_keys_are_completed(editor: Editor) -> None:
    assert {"schedule", "image", "launchConfig", "tags"} <= editor.completion(f"{SERVER}    |\n")
    assert "source" not in editor.completion(f"{SERVER}    |\n"), "it stands there already"
    assert {"sources", "servers", "waves"} <= editor.completion("|\n")


def test_values_are_completed(editor: Editor) -> None:
    assert editor.completion(f"{SERVER}    image:\n      conversion: |\n") == {"import", "register"}
    assert editor.completion("sources:\n  dc1:\n    type: |\n") == {"images", "qemu", "vsphere", "hyperv", "azure"}


def test_keys_of_a_source_are_those_of_its_type(editor: Editor) -> None:
    offered = editor.completion("sources:\n  dc1:\n    type: vsphere\n    endpoint: vc\n    |\n")
    assert {"credentials", "tls", "transport"} <= offered
    assert not {"sockets", "scratch"} & offered


def test_help_stands_under_the_cursor(editor: Editor) -> None:
    text = editor.hover(f"{SERVER}    image:\n      conver|sion: register\n")
    assert "VM import adapts drivers, fstab and boot loader" in text
    assert "`import`" in text
    assert "keepImages" not in text
    assert "0 keeps all" in editor.hover("schedules:\n  a: {every: 12h, keep|Images: 5}\n")


def test_errors_are_marked(editor: Editor) -> None:
    assert editor.errors(f"{SERVER}    imagee: {{}}\n    quiesce: maybe\n") == [
        '6: Value is not accepted. Valid values: "none", "try", "require".',
        "5: Property imagee is not allowed.",
    ]
