"""Lines that are drawn in place, at the end of what is on the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING, TextIO

from rich.console import Console, ConsoleDimensions

from stream.sinks import terminal

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from rich.text import Text

_SMALLEST = (20, 4)  # columns and rows; below, nothing is drawn
_HIDE, _SHOW, _CLEAR_LINE, _CLEAR_BELOW = "\x1b[?25l", "\x1b[?25h", "\x1b[2K", "\x1b[J"


class InPlace:
    """A few lines that are redrawn in the available room.

    They are drawn where `draw` is called, and around lines that others write to the terminal
    (`stream.sinks.terminal`), never in a thread of its own; the cursor is hidden only meanwhile. So
    the terminal works however the process ends.

    Parameters
    ----------
    file : text file object
        The terminal.
    render : callable
        Returns the lines for a number of columns and of rows, fewer than these rows.

    Attributes
    ----------
    fits : bool
        Whether the terminal can move its cursor and has room.
    marks : str
        A full and an empty part of a bar, in characters that the terminal has.
    """

    def __init__(self, file: TextIO, render: Callable[[int, int], list[Text]]) -> None:
        self._file = file
        self._render = render
        self._console = Console(file=file, highlight=False)
        columns, rows = terminal.size_of(file)
        self.fits = terminal.can_draw(file) and columns >= _SMALLEST[0] and rows >= _SMALLEST[1]
        self.marks = "█░" if self._console.encoding.startswith("utf") else "#."
        self._height = 0  # lines on the screen, the cursor at the end of the last
        self._columns = columns  # when they were drawn
        self._closed = False

    def draw(self) -> None:
        """Draw the lines."""
        if self._closed:
            return
        with terminal.locked():
            terminal.begin(self)
            columns, rows = terminal.size_of(self._file)
            lines = self._ansi(self._render(columns, rows), columns)
            text = f"\n{_CLEAR_LINE}".join(lines)
            self._write(
                f"{_HIDE}{self._home(columns, rows)}{_CLEAR_LINE}{text}{_CLEAR_BELOW}{_SHOW}"
            )
            self._height, self._columns = len(lines), columns

    def erase(self) -> None:
        """Erase the lines from the screen."""
        if self._height:
            self._write(f"{self._home(*terminal.size_of(self._file))}{_CLEAR_BELOW}")
            self._height = 0

    def close(self, *, leave: bool) -> None:
        """Release the terminal; `leave` the lines, drawn for the last time, or erase them."""
        if self._closed:
            return
        if leave:
            self.draw()
            self._write("\n")
        else:
            self.erase()
        self._closed = True
        terminal.end(self)

    def _home(self, columns: int, rows: int) -> str:
        """Return the control codes that move the cursor to the first drawn line."""
        if self._height and columns < self._columns:
            # Terminals wrap or cut lines that became too long, so their place is unknown: scroll
            # everything away.
            return f"\x1b[{rows};1H" + "\n" * rows + "\x1b[H"
        return "\r" + (f"\x1b[{self._height - 1}A" if self._height > 1 else "")

    def _ansi(self, lines: Sequence[Text], columns: int) -> list[str]:
        self._console.size = ConsoleDimensions(columns, len(lines))
        with self._console.capture() as capture:
            for line in lines:
                self._console.print(line, no_wrap=True, crop=False, soft_wrap=True)
        return capture.get().removesuffix("\n").split("\n")

    def _write(self, text: str) -> None:
        encoding = self._file.encoding or "utf-8"
        self._file.write(text.encode(encoding, "replace").decode(encoding))
        self._file.flush()
