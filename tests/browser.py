"""A real browser for tests of pages: Chromium without a window, driven through a pipe.

Chromium takes commands of its DevTools protocol on file descriptor 3 and answers on 4, as JSON
that ends with a zero byte; that needs no driver and no port.
"""

from __future__ import annotations

import base64
import json
import os
import select
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

_TIMEOUT_S = 60.0


class Page:
    """A page that is open.

    Attributes
    ----------
    problems : list of str
        Errors and warnings of its console, exceptions, and requests to anywhere but the page.
    """

    def __init__(self, write: int, read: int) -> None:
        self._write, self._read = write, read
        self._number = 0
        self._rest = b""
        self._session = ""
        self.problems: list[str] = []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        attached = self.call("Target.attachToTarget", targetId=target, flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Call a command of the protocol and return its result."""
        self._number += 1
        message: dict[str, Any] = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._write, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._next()
            if answer.get("id") == self._number:
                assert "error" not in answer, (method, answer["error"])
                result: dict[str, Any] = answer["result"]
                return result
            self._note(answer)

    def open(
        self, address: str, *, width: int = 1280, height: int = 900, dark: bool = False
    ) -> None:
        """Open an address in a window of this size, light or dark."""
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width, height=height, deviceScaleFactor=1, mobile=width < 600,
        )  # fmt: skip
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])
        self.problems.clear()
        self.call("Page.navigate", url=address)

    def run(self, script: str) -> Any:
        """Return what an expression is worth; a promise is awaited."""
        done = self.call(
            "Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True,
            userGesture=True,
        )  # fmt: skip
        assert "exceptionDetails" not in done, done["exceptionDetails"]
        return done["result"].get("value")

    def wait(self, condition: str) -> None:
        """Wait until an expression is true."""
        end = time.monotonic() + _TIMEOUT_S
        while not self.run(condition):
            assert time.monotonic() < end, f"never true: {condition}; {self.problems}"
            time.sleep(0.05)

    def press(self, key: str, code: int) -> None:
        """Press a key, by its name and its virtual key code."""
        for kind in ("rawKeyDown", "keyUp"):
            self.call("Input.dispatchKeyEvent", type=kind, key=key, windowsVirtualKeyCode=code)

    def picture(self, path: Path) -> None:
        """Write a screenshot of the visible part."""
        path.write_bytes(base64.b64decode(self.call("Page.captureScreenshot")["data"]))

    def _next(self) -> dict[str, Any]:
        while b"\0" not in self._rest:
            ready, _, _ = select.select([self._read], [], [], _TIMEOUT_S)
            assert ready, "the browser does not answer"
            part = os.read(self._read, 1 << 20)
            assert part, "the browser has ended"
            self._rest += part
        message, _, self._rest = self._rest.partition(b"\0")
        found: dict[str, Any] = json.loads(message)
        return found

    def _note(self, event: dict[str, Any]) -> None:
        method, said = event.get("method"), event.get("params", {})
        if method == "Runtime.exceptionThrown":
            self.problems.append(str(said["exceptionDetails"]))
        elif method == "Log.entryAdded" and said["entry"]["level"] in ("error", "warning"):
            self.problems.append(said["entry"]["text"])
        elif method == "Runtime.consoleAPICalled" and said["type"] in ("error", "warning"):
            self.problems.append(str(said["args"]))
        elif method == "Network.requestWillBeSent":
            url = said["request"]["url"]
            if not url.startswith(("data:", "file:", "about:", "blob:")):
                self.problems.append(f"request to {url}")


@contextmanager
def browser(folder: Path) -> Iterator[Page]:
    """Start Chromium with a profile in a folder; it ends with the block.

    The test is skipped where there is none, but on CI, where it must be installed.
    """
    program = shutil.which("chromium") or shutil.which("google-chrome")
    if program is None:
        assert not os.environ.get("CI"), "chromium is not installed: see scripts/system-packages"
        pytest.skip("needs chromium")
    to_browser, write = os.pipe()
    read, from_browser = os.pipe()
    # The browser wants its ends as 3 and 4.
    command = f'exec "$0" "$@" 3<&{to_browser} 4>&{from_browser}'
    options = [
        "--headless", "--no-sandbox", "--disable-gpu", "--mute-audio", "--no-first-run",
        "--disable-dev-shm-usage", "--disable-background-networking", "--disable-component-update",
        "--remote-debugging-pipe", f"--user-data-dir={folder}",
    ]  # fmt: skip
    process = subprocess.Popen(
        ["/bin/bash", "-c", command, program, *options],
        pass_fds=(to_browser, from_browser), stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    os.close(to_browser)
    os.close(from_browser)
    try:
        yield Page(write, read)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        os.close(write)
        os.close(read)
