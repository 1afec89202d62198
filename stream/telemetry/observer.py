"""The observer of the run loop. No stage knows that it is observed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from stream.events import Event
    from stream.session import Item
    from stream.sources.base import SourceItem


class Observer(Protocol):
    """Is called by the loop, and must return quickly. What a subclass leaves out does nothing."""

    def on_batch(self, items: Sequence[SourceItem], events: Sequence[Event]) -> None:
        """Record that `items` were processed, and that every sink has accepted `events`."""
        return

    def on_items(self, items: Sequence[Item]) -> None:
        """Look at all that leaves the last stage: audio at the model's rate, columns and events."""
        return

    def on_backpressure(self) -> None:
        """Record that a sink is full, and that the loop is about to wait for it."""
        return

    def on_call(self, part: str, seconds: float) -> None:
        """Record the seconds of one call of a stage, or at an edge."""
        return


class NullObserver(Observer):
    """An observer that does nothing."""
