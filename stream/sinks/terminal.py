"""Sharing a terminal between a drawing in place and lines.

A drawing, such as the live table or a progress bar, is the last thing on the screen. Other writers
erase it first, so that their lines stay whole and appear above it::

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
_LOCK_S = 1.0  # a stopped terminal (Ctrl-S) blocks its writer only


class Drawing(Protocol):
    """Something drawn in place."""

    def erase(self) -> None:
        """Erase it; leave the cursor at the start of an empty line."""

    def draw(self) -> None:
        """Draw or redraw it."""


_lock = threading.RLock()
_drawings: list[Drawing] = []  # one on screen at a time: the last


@contextmanager
def drawing(shown: Drawing) -> Iterator[None]:
    """Protect `shown` from lines of other writers while the block runs."""
    begin(shown)
    try:
        yield
    finally:
        end(shown)


def begin(shown: Drawing) -> None:
    """Register a drawing; safe to call twice."""
    if shown not in _drawings:
        _drawings.append(shown)


def end(shown: Drawing) -> None:
    """Unregister a drawing; safe to call twice."""
    if shown in _drawings:
        _drawings.remove(shown)


def give_back() -> None:
    """Erase all drawings, before the process is ended by force."""
    with locked():
        for shown in _drawings:
            with suppress(OSError, ValueError):
                shown.erase()
        _drawings.clear()


@contextmanager
def locked() -> Iterator[None]:
    """Block other writers while the block draws."""
    got = _lock.acquire(timeout=_LOCK_S)
    try:
        yield
    finally:
        if got:
            _lock.release()


@contextmanager
def aside(file: TextIO) -> Iterator[None]:
    """Erase the drawing while the block writes whole lines to `file`; redraw it afterwards.

    Does nothing if `file` is no terminal or nothing is drawn. `file` may be any terminal: whether
    two of them are the same cannot always be known.
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
    """Return whether `file` is an open terminal."""
    return not file.closed and file.isatty()


def can_draw(file: TextIO) -> bool:
    """Return whether `file` is a terminal with a movable cursor."""
    return is_terminal(file) and os.environ.get("TERM", "dumb") not in ("dumb", "unknown", "")


def size_of(file: TextIO) -> tuple[int, int]:
    """Return the current columns and rows of a terminal.

    ``COLUMNS`` and ``LINES`` are used if it reports none, as over some serial lines.
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
