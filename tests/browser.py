"""A real browser for tests of HTML pages: Chromium, driven over two pipes.

The protocol is the DevTools protocol; messages are JSON with a zero byte behind each.
"""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
_WAIT_S = 60.0


class Page:
    """One page of the browser.

    Attributes
    ----------
    requests : list of str
        Addresses that the page asked for, without `data:` ones.
    errors : list of str
        What scripts raised or logged as an error.
    """

    def __init__(self, commands: int, answers: int) -> None:
        self.requests: list[str] = []
        self.errors: list[str] = []
        self._commands = os.fdopen(commands, "wb", buffering=0)
        self._answers = os.fdopen(answers, "rb", buffering=0)
        self._pending = b""
        self._number = 0
        self._session: str | None = None
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        attached = self.call("Target.attachToTarget", targetId=target, flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Send a command; return its result."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        if self._session is not None:
            message["sessionId"] = self._session
        self._commands.write(json.dumps(message).encode() + b"\0")
        while True:
            answer = self._next()
            if answer.get("id") == self._number:
                assert "error" not in answer, answer
                return answer["result"]
            self._note(answer)

    def open(self, path: Path) -> None:
        """Open a file, and wait until it is loaded."""
        self.call("Page.navigate", url=path.resolve().as_uri())
        self.wait_for("document.readyState === 'complete' && location.protocol === 'file:'")

    def visit(self, url: str) -> None:
        """Open a page of a server, and wait until it is loaded."""
        self.call("Page.navigate", url=url)
        self.wait_for(f"document.readyState === 'complete' && location.href === {json.dumps(url)}")

    def picture(self, path: Path) -> None:
        """Write what the window shows as a PNG."""
        path.write_bytes(base64.b64decode(self.call("Page.captureScreenshot")["data"]))

    def trace(self, seconds: float, categories: list[str]) -> list[dict[str, Any]]:
        """Return the events of a trace of all threads of the browser."""
        self._traced: list[dict[str, Any]] = []
        self._tracing = True
        config = {"includedCategories": categories}
        self.call("Tracing.start", transferMode="ReportEvents", traceConfig=config)
        time.sleep(seconds)
        self.call("Tracing.end")
        while self._tracing:
            self._note(self._next())
        return self._traced

    def evaluate(self, script: str) -> Any:
        """Return the value of an expression."""
        result = self.call(
            "Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in result, result
        return result["result"].get("value")

    def wait_for(self, condition: str, seconds: float = _WAIT_S) -> None:
        """Wait until an expression is true."""
        end = time.monotonic() + seconds
        while not self._is_true(condition):
            assert time.monotonic() < end, f"never true: {condition}"
            time.sleep(0.05)

    def _is_true(self, condition: str) -> bool:
        try:
            return bool(self.evaluate(f"Boolean({condition})"))
        except AssertionError as error:
            if "navigated" in str(error):  # the page is being loaded again
                return False
            raise

    def mouse(self, kind: str, x: float, y: float, **more: Any) -> None:
        """Move, press, release or turn the wheel, as a user does."""
        self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, **more)

    def drag(self, start: tuple[float, float], end: tuple[float, float]) -> None:
        """Drag with the left button."""
        self.mouse("mousePressed", *start, button="left", clickCount=1)
        self.mouse("mouseMoved", *end, button="left", buttons=1)
        self.mouse("mouseReleased", *end, button="left", clickCount=1)

    def press(self, key: str, code: int) -> None:
        """Press a key, by its name and its virtual key code."""
        for kind in ("rawKeyDown", "keyUp"):
            self.call("Input.dispatchKeyEvent", type=kind, key=key, windowsVirtualKeyCode=code)

    def resize(self, width: int, height: int = 900, *, dark: bool = False) -> None:
        """Show pages in a window of this size, as a phone below 600, light or dark."""
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width, height=height, deviceScaleFactor=1, mobile=width < 600,
        )  # fmt: skip
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])

    def close(self) -> None:
        """End the browser."""
        self._session = None
        self.call("Browser.close")
        self._commands.close()
        self._answers.close()

    def _next(self) -> dict[str, Any]:
        while b"\0" not in self._pending:
            more = self._answers.read(1 << 16)
            assert more, "the browser ended"
            self._pending += more
        message, _, self._pending = self._pending.partition(b"\0")
        return json.loads(message)

    def _note(self, event: dict[str, Any]) -> None:
        match event.get("method"):
            case "Network.requestWillBeSent":
                url = event["params"]["request"]["url"]
                if not url.startswith("data:"):
                    self.requests.append(url)
            case "Tracing.dataCollected":
                self._traced += event["params"]["value"]
            case "Tracing.tracingComplete":
                self._tracing = False
            case "Runtime.exceptionThrown":
                self.errors.append(str(event["params"]["exceptionDetails"]))
            case "Log.entryAdded" if event["params"]["entry"]["level"] == "error":
                self.errors.append(event["params"]["entry"]["text"])


@contextmanager
def browser(folder: Path, *options: str) -> Iterator[Page]:
    """Give a page of a browser whose files are in a folder; `options` are Chromium's own.

    Without a browser the test is skipped, but on CI it fails: scripts/system-packages brings one.
    """
    program = next(filter(None, map(shutil.which, PROGRAMS)), None)
    if program is None:
        assert not os.environ.get("CI"), "chromium is not installed: see scripts/system-packages"
        pytest.skip("needs Chromium")
    commands_out, commands = os.pipe()
    answers, answers_in = os.pipe()
    # The browser reads commands from its descriptor 3, and answers at 4.
    shell = f'exec "$0" "$@" 3<&{commands_out} 4>&{answers_in}'
    process = subprocess.Popen(
        ["/bin/bash", "-c", shell, program, "--headless=new", "--no-sandbox", "--disable-gpu",
         "--no-first-run", "--remote-debugging-pipe", f"--user-data-dir={folder / 'browser'}",
         "--window-size=1200,1000", "--autoplay-policy=no-user-gesture-required", *options],
        pass_fds=(commands_out, answers_in), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    os.close(commands_out)
    os.close(answers_in)
    try:
        page = Page(commands, answers)
        yield page
        page.close()
        process.wait(20)
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
