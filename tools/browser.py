"""Debian's chromium without a window, spoken to over a pipe: no driver, no port, nothing fetched.

    with Browser(folder) as browser:
        tab = browser.open("file:///report.html", width=400, dark=True)
        tab.screenshot(Path("narrow.png"))

The DevTools protocol: https://chromedevtools.github.io/devtools-protocol/ (`--remote-debugging-pipe`: JSON, each message ended by a NUL, in on
descriptor 3, out on 4).
"""

from __future__ import annotations

import base64
import contextlib
import fcntl
import json
import os
import select
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

PACKAGE = "chromium"
_SECONDS = 60.0


class BrowserError(Exception):
    """The browser did not start, refused a command, or did not answer in time."""


def program() -> str | None:
    """Where it is; None where the Debian package is missing."""
    return shutil.which("chromium")


class Tab:
    """One page. `log`: what it said on its console and what it was refused; `requests`: what it asked for."""

    def __init__(self, browser: Browser, session: str) -> None:
        self._browser, self._session = browser, session
        self.log: list[str] = []
        self.requests: list[str] = []
        self.loaded = False
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **parameters: Any) -> Any:
        return self._browser.call(method, self._session, **parameters)

    def evaluate(self, expression: str) -> Any:
        """The value of a JavaScript expression, awaited if it is a promise."""
        done = self.call("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in done:
            raise BrowserError(json.dumps(done["exceptionDetails"])[:2000])
        return done["result"].get("value")

    def wait(self, expression: str, seconds: float = _SECONDS) -> None:
        """Until a JavaScript expression is true."""
        deadline = time.monotonic() + seconds
        while not self.evaluate(expression):
            if time.monotonic() > deadline:
                raise BrowserError(f"it did not come true within {seconds} s: {expression}")
            self._browser.listen(0.05)

    def show(self, *, width: int, height: int = 900, dark: bool = False) -> None:
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
        scheme = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        self.call("Emulation.setEmulatedMedia", features=scheme)

    def go(self, url: str) -> None:
        """Load a page, to its `load` event."""
        self.loaded = False
        answer = self.call("Page.navigate", url=url)
        if answer.get("errorText"):
            raise BrowserError(f"{url}: {answer['errorText']}")
        self._browser.until(lambda: self.loaded, f"{url} did not load")

    def screenshot(self, path: Path, *, whole: bool = False) -> None:
        """A PNG of what is in view, or of the whole page up to 4,000 pixels."""
        path.parent.mkdir(parents=True, exist_ok=True)
        options: dict[str, Any] = {}
        if whole:
            size = self.call("Page.getLayoutMetrics")["cssContentSize"]
            area = {"x": 0, "y": 0, "width": size["width"], "height": min(4000, size["height"]), "scale": 1}
            options = {"captureBeyondViewport": True, "clip": area}
        path.write_bytes(base64.b64decode(self.call("Page.captureScreenshot", format="png", **options)["data"]))

    def heard(self, method: str, told: dict[str, Any]) -> None:
        if method == "Page.loadEventFired":
            self.loaded = True
        elif method == "Network.requestWillBeSent":
            self.requests.append(told["request"]["url"])
        elif method == "Log.entryAdded":
            self.log.append(told["entry"]["text"])
        elif method == "Runtime.exceptionThrown":
            self.log.append(json.dumps(told["exceptionDetails"])[:2000])
        elif method == "Runtime.consoleAPICalled":
            self.log.append(" ".join(str(each.get("value", each.get("description"))) for each in told["args"]))


class Browser:
    """Keeps everything of its own in `folder`. Raises `BrowserError`; ends the browser and all of its processes."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._number = 0
        self._rest = b""
        self._answers: dict[int, dict[str, Any]] = {}
        self._tabs: dict[str, Tab] = {}

    def __enter__(self) -> Self:
        found = program()
        if found is None:
            raise BrowserError(f"it needs the Debian package {PACKAGE}")
        theirs, self._out = os.pipe()
        self._in, from_them = os.pipe()
        to_browser, from_browser = _moved(theirs), _moved(from_them)
        options = [
            "--headless", "--remote-debugging-pipe", f"--user-data-dir={self._folder}", "--no-first-run", "--disable-gpu",
            "--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage",
            "--disable-default-apps", "--no-proxy-server", "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1", "--hide-scrollbars",
        ]  # fmt: skip
        if os.geteuid() == 0:
            options.append("--no-sandbox")  # it refuses to start as root with it
        # The shell puts the two pipes where the browser looks for them.
        command = f'exec "$0" "$@" 3<&{to_browser} 4>&{from_browser}'
        try:
            self._process = subprocess.Popen(
                ["/bin/bash", "-c", command, found, *options, "about:blank"],
                pass_fds=(to_browser, from_browser),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env={**os.environ, "HOME": str(self._folder), "XDG_RUNTIME_DIR": str(self._folder)},
            )
        finally:
            os.close(to_browser)
            os.close(from_browser)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        with contextlib.suppress(BrowserError, OSError):
            self.call("Browser.close")
        try:
            self._process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        os.close(self._out)
        os.close(self._in)

    def open(self, url: str, *, width: int = 1280, height: int = 900, dark: bool = False) -> Tab:
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        tab = Tab(self, session)
        self._tabs[session] = tab
        tab.show(width=width, height=height, dark=dark)
        tab.go(url)
        return tab

    def call(self, method: str, session: str | None = None, **parameters: Any) -> Any:
        self._number += 1
        number = self._number
        message: dict[str, Any] = {"id": number, "method": method, "params": parameters}
        if session:
            message["sessionId"] = session
        os.write(self._out, json.dumps(message).encode() + b"\0")
        self.until(lambda: number in self._answers, f"{method} was not answered")
        answer = self._answers.pop(number)
        if "error" in answer:
            raise BrowserError(f"{method}: {answer['error'].get('message')}")
        return answer.get("result", {})

    def until(self, condition: Callable[[], bool], otherwise: str) -> None:
        deadline = time.monotonic() + _SECONDS
        while not condition():
            if time.monotonic() > deadline:
                raise BrowserError(f"{otherwise} within {_SECONDS:.0f} s")
            self.listen(1.0)

    def listen(self, seconds: float) -> None:
        """Take what the browser says within so many seconds."""
        ready, _, _ = select.select([self._in], [], [], seconds)
        if not ready:
            return
        data = os.read(self._in, 1 << 20)
        if not data:
            raise BrowserError(f"the browser ended with exit code {self._process.wait()}")
        for told in self._messages(data):
            if "id" in told:
                self._answers[told["id"]] = told
            elif told.get("sessionId") in self._tabs:
                self._tabs[told["sessionId"]].heard(told["method"], told.get("params", {}))

    def _messages(self, data: bytes) -> Iterator[dict[str, Any]]:
        *whole, self._rest = (self._rest + data).split(b"\0")
        for message in whole:
            yield json.loads(message)


def _moved(descriptor: int) -> int:
    """The same, out of the way of 3 and 4."""
    moved = fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, 20)
    os.close(descriptor)
    return moved
