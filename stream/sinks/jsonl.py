"""Events as lines of JSON, in a file or on standard output."""

from __future__ import annotations

import errno
import io
import os
import stat
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, TextIO, cast

from airsift.errors import Backpressure, ConfigError
from stream.sinks.base import Sink
from stream.sinks.terminal import aside

if TYPE_CHECKING:
    from collections.abc import Sequence

    from stream.events import Event

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
FULL_S = 0.05  # between two attempts to write to a full pipe
_MAX_LINE = 65_536  # bytes; ours are shorter than a tenth of it


class JsonlSink(Sink):
    """One event per line, in UTF-8; each `write` is passed to the system at once.

    Parameters
    ----------
    target : path or text file object
        A path is appended to; ``-`` is standard output. A file object is not closed.

    Raises
    ------
    ConfigError
        The path cannot be written to.

    Notes
    -----
    `write` raises `Backpressure` when the disk of a file is full, and has then written nothing. It
    raises `BrokenPipeError` when the reader of a pipe has gone: the command line ends quietly then.
    After either, `close` does not raise it again.
    """

    def __init__(self, target: str | Path | TextIO) -> None:
        self._path: Path | None = None
        if isinstance(target, str | Path) and str(target) != "-":
            self._path = Path(target)
            self._out: BinaryIO | TextIO = _append_to(self._path)
        else:
            self._text = sys.stdout if isinstance(target, str | Path) else target
            # JSON is UTF-8 in every locale; in-memory text files have no buffer.
            out = getattr(self._text, "buffer", self._text)
            # Unbuffered: data for a full pipe would also block the end of the program.
            self._out = cast("BinaryIO | TextIO", getattr(out, "raw", out))
        self._failed = False

    def write(self, events: Sequence[Event]) -> None:
        """Write the events: all, or none if the disk is full."""
        lines = "".join(event.to_json() + "\n" for event in events)
        try:
            if self._path is None:
                with aside(self._text):
                    if isinstance(self._out, io.TextIOBase):
                        self._out.write(lines)
                    else:
                        _write_out(cast("BinaryIO", self._out), lines.encode())
                    self._out.flush()
            else:
                _write_all(cast("BinaryIO", self._out), lines.encode())
        except OSError as error:
            if self._path is not None and error.errno in _FULL and self._is_regular():
                raise Backpressure(
                    f"{self._path}: no space left on its disk for {len(lines)} bytes; free some",
                    retry_after_s=2.0,
                ) from error
            self._failed = True
            raise

    def flush(self) -> None:
        """Return when the events are on the disk, or in the pipe."""
        if self._out.closed or self._failed:
            return
        self._out.flush()
        if self._path is not None and self._is_regular():
            os.fsync(self._out.fileno())

    def close(self) -> None:
        """Flush, and close the file if it was opened here."""
        self.flush()
        if self._path is not None:
            self._out.close()

    def _is_regular(self) -> bool:
        return stat.S_ISREG(os.fstat(self._out.fileno()).st_mode)


def _append_to(path: Path) -> BinaryIO:
    """Open a file for appending lines; drop an incomplete last line of ours."""
    try:
        file = cast("BinaryIO", path.open("ab", buffering=0))
    except OSError as error:
        raise ConfigError(
            f"{path}: cannot be written to ({error.strerror}); check the folder and its permissions"
        ) from error
    if not path.is_file():
        return file
    with path.open("rb") as before:
        size = before.seek(0, os.SEEK_END)
        before.seek(max(size - _MAX_LINE, 0))
        rest = before.read().rpartition(b"\n")[2]
    if rest.startswith(b'{"schema":"airsift.'):
        file.truncate(size - len(rest))  # incomplete line of a killed process
    elif rest:
        file.write(b"\n")  # the last line of another program, without its end
    return file


def _write_out(out: BinaryIO, data: bytes) -> None:
    """Write all of `data`, waiting as long as necessary."""
    rest = memoryview(data)
    while rest:
        written = out.write(rest)
        if written is None:  # a non-blocking pipe is full
            time.sleep(FULL_S)
        else:
            rest = rest[written:]


def _write_all(file: BinaryIO, data: bytes) -> None:
    """Append all of `data` to an unbuffered file, or leave the file unchanged."""
    start, done = None, 0
    while done < len(data):
        try:
            written = file.write(data[done:])
        except OSError:
            if start is not None:
                file.truncate(start)
            raise
        start = file.tell() - written if start is None else start
        done += written
