"""Who watches the loop: telemetry, or nobody. No stage knows that it is watched."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from stream.events import Event
    from stream.sources.base import SourceItem


class Observer(Protocol):
    """Is called by the loop in `stream.runner`, and must return quickly. This one does nothing."""

    def turn(self, items: Sequence[SourceItem], events: Sequence[Event]) -> None:
        """Take note: `items` are processed, and every sink has taken `events`."""
        return

    def full(self) -> None:
        """Take note: a sink can't take more, and the loop is about to wait for it."""
        return

    def took(self, part: str, seconds: float) -> None:
        """Take note: one call of a stage, or of an edge, took so long."""
        return


class NullObserver(Observer):
    """The observer of a loop that nobody watches."""
