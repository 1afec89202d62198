"""Final events alone: the result of a file, without decisions and provisional events."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from stream.events import Event


class FinalEvents:
    """Passes on every final event except decisions.

    Parameters
    ----------
    accept : callable
        Called with each event, as soon as it is known.

    Attributes
    ----------
    decided : set of str
        Stations with at least one decision.
    """

    def __init__(self, accept: Callable[[Event], object]) -> None:
        self._accept = accept
        self.decided: set[str] = set()

    def write(self, events: Sequence[Event]) -> None:
        """Pass on the events that are final."""
        for event in events:
            if event.kind == "decision":
                self.decided.add(event.station)
            elif getattr(event, "final", True):
                self._accept(event)

    def flush(self) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Do nothing."""
