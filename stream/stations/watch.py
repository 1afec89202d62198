"""Whether a file has changed: its state is looked at once a second, or on request."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

EVERY_S = 1.0

_State = tuple[int, int, int] | None


class FileWatch:
    """A file that is edited, or replaced, while a program runs.

    A change is reported when the file is as it was a look before: an editor may write in parts.

    Parameters
    ----------
    path : Path
        The file.
    now : callable
        The clock, in seconds.
    """

    def __init__(self, path: Path, now: Callable[[], float] = time.monotonic) -> None:
        self._path = path
        self._now = now
        self._known = self._seen = self._state()
        self._next = now() + EVERY_S
        self._requested = False

    def request(self) -> None:
        """Report a change at the next look, whether there is one or not. Safe in a signal."""
        self._requested = True

    def has_changed(self) -> bool:
        """Return whether the file has changed since this was last True, or since the beginning."""
        if self._requested:
            self._requested = False
            self._known = self._seen = self._state()
            return True
        if self._now() < self._next:
            return False
        self._next = self._now() + EVERY_S
        before, self._seen = self._seen, self._state()
        if self._seen == self._known or self._seen != before:
            return False
        self._known = self._seen
        return True

    def _state(self) -> _State:
        try:
            found = self._path.stat()
        except OSError:
            return None
        return found.st_mtime_ns, found.st_size, found.st_ino
