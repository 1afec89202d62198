"""A progress bar on standard error, for commands that take long."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TextIO

from airsift.cli.common import verbosity
from stream.sinks import terminal
from stream.sinks.format import clock, in_cells, shortened, width_of

LONG_S = 120.0  # shorter files are done before a bar could be read
REDRAW_S = 0.1
_BAR = 30  # columns at most
_ERASE = "\r\x1b[K"


class Bar:
    """A line that is redrawn in place, and erased at the end.

    Parameters
    ----------
    file : text file object
        A terminal that can move its cursor.
    total : float > 0
        Value of `done` at the end.
    counted : bool
        Whether to show the number; otherwise a percentage is shown.
    """

    def __init__(self, file: TextIO, total: float, *, counted: bool = False) -> None:
        self._file = file
        self._total = total
        self._counted = counted
        self._began = time.monotonic()
        self._drawn = -REDRAW_S
        self._done, self._name = 0.0, ""
        plain = not (file.encoding or "").lower().startswith("utf")
        self._marks = "#." if plain else "█░"

    def update(self, done: float, name: str) -> None:
        """Set how much is done, and the name of what is processed."""
        self._done, self._name = min(done, self._total), name
        if time.monotonic() - self._drawn >= REDRAW_S:
            with terminal.locked():
                self.draw()

    def draw(self) -> None:
        """Draw it in the current width of the terminal."""
        self._drawn = time.monotonic()
        self._write(_ERASE + self._line(terminal.size_of(self._file)[0]))

    def erase(self) -> None:
        """Leave an empty line."""
        self._write(_ERASE)

    def _write(self, text: str) -> None:
        encoding = self._file.encoding or "ascii"
        self._file.write(text.encode(encoding, "replace").decode(encoding))
        self._file.flush()

    def _line(self, columns: int) -> str:
        """Return the line; one column less than there are, so that no terminal breaks it."""
        room, share = columns - 1, self._done / self._total
        passed = time.monotonic() - self._began
        left = f"{clock(passed / share - passed, tenths=False)} left" if share > 0 else ""
        count = f"{self._done:.0f}/{self._total:.0f}" if self._counted else f"{share:4.0%}"
        figures = f"  {count}  {left}".rstrip()
        wide = max(min(_BAR, room - width_of(figures) - 10), 0)
        full = round(share * wide)
        bar = self._marks[0] * full + self._marks[1] * (wide - full)
        name_room = room - width_of(figures) - wide - 2
        name = shortened(in_cells(self._name), max(name_room, 0))
        if self._counted:  # names change: the bar comes first
            return shortened(f"{bar}{figures}  {name}".strip(), room)
        return shortened(f"{name}  {bar}{figures}".strip(), room)


@contextmanager
def _bar(total: float, *, counted: bool = False) -> Iterator[Bar | None]:
    if verbosity.quiet or not terminal.can_draw(sys.stderr):
        yield None
        return
    bar = Bar(sys.stderr, total, counted=counted)
    with terminal.drawing(bar):
        try:
            yield bar
        finally:
            with terminal.locked():
                bar.erase()


@contextmanager
def progress_bar(
    name: str, duration_s: float | None
) -> Iterator[Callable[[Mapping[str, float]], None] | None]:
    """Give the `progress` callback of `stream.runner.run_source`; None without a bar."""
    if duration_s is None or duration_s < LONG_S:
        yield None
        return
    with _bar(duration_s) as bar:
        yield None if bar is None else lambda done_s: bar.update(max(done_s.values()), name)


@contextmanager
def files_bar(total: int) -> Iterator[Callable[[str], None]]:
    """Give a function to call with the name of each file before it is processed."""
    with _bar(max(total, 1), counted=True) as bar:
        if bar is None:
            yield lambda _: None
            return
        done = -1

        def advance(name: str) -> None:
            nonlocal done
            done += 1
            bar.update(done, name)

        yield advance
