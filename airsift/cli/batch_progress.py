"""The bar of a batch: how many files of how many, how fast, and the time left."""

from __future__ import annotations

import sys
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, TextIO

from airsift.cli import progress
from airsift.cli.common import verbosity
from stream.sinks import terminal
from stream.sinks.format import clock, in_cells, shortened, width_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_BAR = 20  # columns at most
_SURE_S = 2.0  # rates of less time say little


@dataclass(slots=True)
class Found:
    """What was found so far, by a thread that counts.

    Parameters
    ----------
    files : int
        Number of recordings.
    n_bytes : int
        Size of their files.
    is_all : bool
        Whether these are all.
    """

    files: int = 0
    n_bytes: int = 0
    is_all: bool = False


class BatchBar:
    """A line that is redrawn in place: a `stream.sinks.terminal.Drawing`.

    Time left is estimated by the bytes of what is left: the recordings of a folder are mostly of
    one kind.

    Parameters
    ----------
    file : text file object
        A terminal that can move its cursor.
    found : Found
        What there is to do.
    """

    def __init__(self, file: TextIO, found: Found) -> None:
        self._file, self._found = file, found
        self._began = time.monotonic()
        self._drawn = -progress.REDRAW_S
        self._done, self._bytes_done, self._name = 0, 0, ""
        self._processed, self._bytes_processed, self._seconds = 0, 0, 0.0
        self._current_s, self._of_current = 0.0, 0.0
        plain = not (file.encoding or "").lower().startswith("utf")
        self._marks, self._times = ("#.", "x") if plain else ("█░", "×")  # noqa: RUF001  # times

    def passed_over(self, n_bytes: int) -> None:
        """Count a recording that was done before."""
        self._done += 1
        self._bytes_done += n_bytes
        self._update()

    def processed(self, name: str, n_bytes: int, seconds: float) -> None:
        """Count a recording that was processed, of so many seconds of audio."""
        self._name = name
        self._processed += 1
        self._bytes_processed += n_bytes
        self._seconds += seconds
        self._current_s = self._of_current = 0.0
        self.passed_over(n_bytes)

    def at(self, name: str, done_s: float = 0.0, duration_s: float | None = None) -> None:
        """Set what is processed now, and how far it is."""
        self._name, self._current_s = name, done_s
        self._of_current = min(done_s / duration_s, 1.0) if duration_s else 0.0
        self._update()

    def _update(self) -> None:
        if time.monotonic() - self._drawn >= progress.REDRAW_S:
            with terminal.locked():
                self.draw()

    def draw(self) -> None:
        """Draw it in the current width of the terminal."""
        self._drawn = time.monotonic()
        line = self.line(terminal.size_of(self._file)[0], self._drawn - self._began)
        self._write(f"\r\x1b[K{line}")

    def erase(self) -> None:
        """Leave an empty line."""
        self._write("\r\x1b[K")

    def _write(self, text: str) -> None:
        encoding = self._file.encoding or "ascii"
        self._file.write(text.encode(encoding, "replace").decode(encoding))
        self._file.flush()

    def line(self, columns: int, passed_s: float) -> str:
        """Return the line; one column less than there are, so that no terminal breaks it."""
        room, files = columns - 1, max(self._found.files, self._done)
        share = (self._done + self._of_current) / files if files else 0.0
        more = "" if self._found.is_all else "+"
        figures = f"  {self._done} of {files}{more}"
        # In the order of their use, as far as there is room for them.
        for each in (self._left(passed_s), *self._rates(passed_s)):
            if each and width_of(figures) + 2 + width_of(each) <= room:
                figures += f"  {each}"
        wide = max(min(_BAR, room - width_of(figures) - 10), 0)
        full = round(min(share, 1.0) * wide)
        bar = self._marks[0] * full + self._marks[1] * (wide - full)
        name_room = room - width_of(figures) - wide - 2
        name = shortened(in_cells(self._name), max(name_room, 0))
        return shortened(f"{bar}{figures}  {name}".strip(), room)

    def _rates(self, passed_s: float) -> tuple[str, str]:
        if passed_s < _SURE_S:
            return "", ""
        real_time = (self._seconds + self._current_s) / passed_s
        speed = f"{real_time:.0f} {self._times} real time" if real_time >= 1 else ""
        rate = f"{60 * self._processed / passed_s:.3g} files/min" if self._processed else ""
        return speed, rate

    def _left(self, passed_s: float) -> str:
        n_bytes = self._found.n_bytes - self._bytes_done
        if not (self._found.is_all and self._bytes_processed and passed_s >= _SURE_S):
            return ""
        return f"{clock(passed_s * n_bytes / self._bytes_processed, tenths=False)} left"


@contextmanager
def batch_bar(sizes: Iterable[int]) -> Iterator[BatchBar | None]:
    """Give the bar of a batch, if standard error is a terminal.

    Parameters
    ----------
    sizes : iterable of int
        Bytes of each recording's file; read in a thread, while the first ones are processed.
    """
    if verbosity.quiet or not terminal.can_draw(sys.stderr):
        yield None
        return
    found, is_over = Found(), threading.Event()

    def count() -> None:
        for size in sizes:
            found.files += 1
            found.n_bytes += size
            if is_over.is_set():
                return
        found.is_all = True

    threading.Thread(target=count, name="count", daemon=True).start()
    bar = BatchBar(sys.stderr, found)
    with terminal.drawing(bar):
        try:
            yield bar
        finally:
            is_over.set()
            with terminal.locked():
                bar.erase()
