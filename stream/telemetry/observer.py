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

    def on_step(self, items: Sequence[SourceItem]) -> None:
        """Record that `items` are about to be processed."""
        return

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


class Observers(Observer):
    """Several observers as one, called in their order."""

    def __init__(self, *observers: Observer) -> None:
        self._observers = observers

    def on_step(self, items: Sequence[SourceItem]) -> None:
        for each in self._observers:
            each.on_step(items)

    def on_batch(self, items: Sequence[SourceItem], events: Sequence[Event]) -> None:
        for each in self._observers:
            each.on_batch(items, events)

    def on_items(self, items: Sequence[Item]) -> None:
        for each in self._observers:
            each.on_items(items)

    def on_backpressure(self) -> None:
        for each in self._observers:
            each.on_backpressure()

    def on_call(self, part: str, seconds: float) -> None:
        for each in self._observers:
            each.on_call(part, seconds)
