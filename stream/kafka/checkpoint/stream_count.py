"""How far a station has come since its stream began, and whether that is at its end."""

from __future__ import annotations

from typing import Literal, NamedTuple


class Count(NamedTuple):
    """One station's stream, in samples at the pipeline's rate.

    Parameters
    ----------
    first, end : int
        What came of it so far, half-open.
    over : {"", "sent", "idle"}
        How it came to its end; "" while it goes on.
    """

    first: int = 0
    end: int = 0
    over: Literal["", "sent", "idle"] = ""

    def follow(self, start: int, end: int) -> Count:
        """Return the count after audio in [start, end), which begins a stream after an end."""
        if self.over:
            return Count(start, end)
        return self._replace(end=max(self.end, end))
