"""A terminal is shared by what is drawn in place and what is written line by line.

A drawing, such as the live table or a progress bar, is at the end of what is on the screen.
Whatever else writes to a terminal takes it away first, so that lines stay whole and go above it::

    with aside(sys.stderr):
        print("a line", file=sys.stderr)
"""

from __future__ import annotations

import os
import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Protocol, TextIO

if TYPE_CHECKING:
    from collections.abc import Iterator

DEFAULT_SIZE = (80, 24)
_LOCK_S = 1.0  # a terminal that was stopped (Ctrl-S) holds up who writes to it, and nobody else


class Drawing(Protocol):
    """What is drawn in place."""

    def erase(self) -> None:
        """Take it off the terminal, the cursor at the beginning of an empty line."""

    def draw(self) -> None:
        """Put it there, or there again."""


_lock = threading.RLock()
_drawings: list[Drawing] = []  # one on screen at a time: the last


@contextmanager
def drawing(shown: Drawing) -> Iterator[None]:
    """Keep lines that are written aside from tearing `shown`, while the block runs."""
    begin(shown)
    try:
        yield
    finally:
        end(shown)


def begin(shown: Drawing) -> None:
    """Take note of a drawing; safe to call twice."""
    if shown not in _drawings:
        _drawings.append(shown)


def end(shown: Drawing) -> None:
    """Forget a drawing; safe to call twice."""
    if shown in _drawings:
        _drawings.remove(shown)


def give_back() -> None:
    """Take off what is drawn, before the process is ended by force."""
    with locked():
        for shown in _drawings:
            with suppress(OSError, ValueError):
                shown.erase()
        _drawings.clear()


@contextmanager
def locked() -> Iterator[None]:
    """Let no line be written while the block draws."""
    got = _lock.acquire(timeout=_LOCK_S)
    try:
        yield
    finally:
        if got:
            _lock.release()


@contextmanager
def aside(file: TextIO) -> Iterator[None]:
    """Take what is drawn off the terminal while the block writes whole lines to `file`.

    Does nothing where `file` is no terminal or nothing is drawn. It may be any terminal: that
    two of them are one cannot always be known.
    """
    if not (_drawings and is_terminal(file)):
        yield
        return
    with locked():
        shown = _drawings[-1] if _drawings else None
        if shown is not None:
            with suppress(OSError, ValueError):
                shown.erase()
        try:
            yield
            file.flush()
        finally:
            if shown is not None:
                with suppress(OSError, ValueError):
                    shown.draw()


def is_terminal(file: TextIO) -> bool:
    """Return whether people read `file` as it is written."""
    return not file.closed and file.isatty()


def can_draw(file: TextIO) -> bool:
    """Return whether `file` is a terminal that moves its cursor."""
    return is_terminal(file) and os.environ.get("TERM", "dumb") not in ("dumb", "unknown", "")


def size_of(file: TextIO) -> tuple[int, int]:
    """Return a terminal's columns and rows as they are now.

    Where it does not tell, as over some serial lines, ``COLUMNS`` and ``LINES`` do.
    """
    columns = rows = 0
    with suppress(OSError, ValueError):
        columns, rows = os.get_terminal_size(file.fileno())
    return (
        columns or _number("COLUMNS", DEFAULT_SIZE[0]),
        rows or _number("LINES", DEFAULT_SIZE[1]),
    )


def _number(name: str, otherwise: int) -> int:
    text = os.environ.get(name, "")
    return int(text) if text.isdecimal() and int(text) > 0 else otherwise
