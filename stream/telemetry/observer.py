"""The observer of the run loop. No stage knows that it is observed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from stream.events import Event
    from stream.sources.base import Batch


class Observer(Protocol):
    """Called by the loop in `stream.runner`; must return quickly."""

    def on_batch(self, batch: Batch, events: Sequence[Event]) -> None:
        """Record that `batch` was processed, and that every sink has accepted `events`."""
        ...

    def on_backpressure(self) -> None:
        """Record that a sink is full, and that the loop is about to wait for it."""
        ...


class NullObserver:
    """An observer that does nothing."""

    def on_batch(self, batch: Batch, events: Sequence[Event]) -> None:
        """Do nothing."""

    def on_backpressure(self) -> None:
        """Do nothing."""
