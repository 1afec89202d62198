"""A terminal of any size: what a program writes to it, and what a person then sees."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios
import threading
import time
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import IO, Any, Self, TextIO

import pyte
from wcwidth import wcwidth

SIZES = [(80, 24), (200, 60), (40, 10)]
AIRSIFT = [sys.executable, "-m", "airsift"]
# What a terminal obeys. Of these only what moves the cursor, erases and colours may be written.
_MARK = b"\0"  # which terminals pass over
_KNOWN = re.compile(r"\x1b\[(\?25[lh]|[0-9;]*[ABCDGHJKm])|\r|\n")


class _Screen(pyte.HistoryScreen):  # type: ignore[misc]
    """A screen that goes on behind characters without width; pyte leaves out what follows them.

    And it breaks a full line before an accent that belongs to its last character.
    """

    def draw(self, data: str) -> None:
        data = unicodedata.normalize("NFC", data)
        super().draw("".join(c for c in data if wcwidth(c) != 0 or unicodedata.combining(c)))


class Terminal:
    """Both ends of a pseudo-terminal, and a screen that shows what comes out of it.

    Parameters
    ----------
    size : (int, int)
        Columns and rows.
    """

    def __init__(self, size: tuple[int, int] = (80, 24)) -> None:
        self.screen = _Screen(*size, history=10_000, ratio=0.5)
        self.raw = b""
        self._stream = pyte.ByteStream(self.screen)
        self._ours, self.theirs = pty.openpty()
        self._sizes: list[tuple[int, int]] = []
        self._requested = self._passed = 0
        self.resize(size)
        self._reading = threading.Thread(target=self._read, daemon=True)
        self._reading.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.finish()
        os.close(self._ours)

    def file(self, encoding: str = "utf-8") -> TextIO:
        """Return the program's end as a text file."""
        return open(os.dup(self.theirs), "w", encoding=encoding)  # noqa: PTH123

    def type(self, text: str) -> None:
        """Press keys; the program must have the terminal as its standard input."""
        os.write(self._ours, text.encode())

    def resize(self, size: tuple[int, int]) -> None:
        """Change the size; the next query returns the new one."""
        columns, rows = size
        fcntl.ioctl(self._ours, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        self._sizes.append(size)

    def finish(self) -> None:
        """Wait until all that was written is on the screen; nothing can be written after."""
        self.let_go()
        self._reading.join(10)
        assert not self._reading.is_alive(), "a process still holds the terminal open"

    def let_go(self) -> None:
        """Close the program's end here: it is closed where the program has ended, too."""
        if self.theirs >= 0:
            os.close(self.theirs)
        self.theirs = -1

    def settle(self) -> None:
        """Wait until what was written so far is on the screen."""
        self._requested += 1
        os.write(self.theirs, _MARK)
        deadline = time.monotonic() + 60
        while self._passed < self._requested:
            assert time.monotonic() < deadline
            time.sleep(0.005)

    def wait_for(self, condition: Callable[[], bool], timeout_s: float = 60.0) -> None:
        """Wait until what is on the screen meets a condition."""
        deadline = time.monotonic() + timeout_s
        while not condition():
            assert time.monotonic() < deadline, "\n".join(self.shown)
            time.sleep(0.02)

    @property
    def text(self) -> str:
        """All that was written."""
        return self.raw.decode("utf-8", "replace")

    @property
    def lines(self) -> list[str]:
        """What is seen, with what has scrolled away, up to the last line that is not empty."""
        found = [row.rstrip() for row in self.rows]
        while found and not found[-1]:
            found.pop()
        return found

    @property
    def rows(self) -> list[str]:
        """Every row in its whole width: a blank at the end of one may be part of a text."""
        columns = range(self.screen.columns)
        rows = [
            *self.screen.history.top,
            *(self.screen.buffer[row] for row in range(self.screen.lines)),
        ]
        return ["".join(row[column].data for column in columns) for row in rows]

    @property
    def shown(self) -> list[str]:
        """What is on the screen now."""
        return [line.rstrip() for line in self.screen.display]

    def _read(self) -> None:
        while True:
            try:
                piece = os.read(self._ours, 65_536)
            except OSError:  # how Linux reports that the other end is closed
                return
            if not piece:
                return
            while self._sizes:
                columns, rows = self._sizes.pop(0)
                self.screen.resize(rows, columns)
            self._stream.feed(piece.replace(_MARK, b""))
            self.raw += piece.replace(_MARK, b"")
            self._passed += piece.count(_MARK)


@dataclass
class Ran:
    """What came of a command, for each of its outputs."""

    code: int
    out: Terminal | None
    err: Terminal | None
    files: dict[str, bytes] = field(default_factory=dict)


def run(
    command: Sequence[str],
    size: tuple[int, int] = (80, 24),
    *,
    out: str = "terminal",
    err: str = "same",
    typing: bool = False,
    while_running: Callable[[Terminal, subprocess.Popen[bytes]], None] | None = None,
    environ: Mapping[str, str] | None = None,
    timeout_s: float = 120.0,
    **options: Any,
) -> Ran:
    """Run a command to its end.

    Parameters
    ----------
    out, err : {"terminal", "pipe", "same"}
        Where standard output and error go; ``err="same"`` is the terminal or pipe of `out`.
    typing : bool
        Whether the terminal of `out` is the standard input, too.
    while_running : callable, optional
        Is given the first terminal and the process.
    """
    inherited = {k: v for k, v in os.environ.items() if not k.startswith(("AIRSIFT_", "PYTHON"))}
    for name in ("COLUMNS", "LINES", "NO_COLOR", "FORCE_COLOR", "COLORTERM"):
        inherited.pop(name, None)
    inherited |= {"TERM": "xterm-256color", "LANG": "C.UTF-8", **(environ or {})}
    first = Terminal(size) if out == "terminal" else None
    second = Terminal(size) if err == "terminal" else None
    ends: dict[str, Any] = {
        "stdout": first.theirs if first else subprocess.PIPE,
        "stderr": second.theirs
        if second
        else subprocess.PIPE
        if err == "pipe"
        else first.theirs
        if first
        else subprocess.STDOUT,
    }
    ran = Ran(0, first, first if err == "same" else second)
    with subprocess.Popen(
        list(command),
        stdin=first.theirs if typing and first else subprocess.DEVNULL,
        env=inherited,
        **ends,
        **options,
    ) as process:
        for terminal in {first, second} - {None}:
            terminal.let_go()
        readers = [
            threading.Thread(target=_collect, args=[pipe, ran.files, name])
            for name, pipe in (("out", process.stdout), ("err", process.stderr))
            if pipe
        ]
        for reader in readers:
            reader.start()
        try:
            if while_running is not None:
                while_running(next(t for t in (first, second) if t), process)
            ran.code = process.wait(timeout_s)
        finally:
            process.kill()
            for reader in readers:
                reader.join()
    for terminal in {first, second} - {None}:
        terminal.finish()
        os.close(terminal._ours)
    return ran


def _collect(pipe: IO[bytes], into: dict[str, bytes], name: str) -> None:
    into[name] = pipe.read()


def strange(text: str) -> list[str]:
    """Return the control characters in `text` that no program of ours writes on purpose."""
    rest = _KNOWN.sub("", text)
    return re.findall(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\u2028\u2029]", rest)
