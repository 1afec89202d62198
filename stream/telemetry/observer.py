"""airsift as seen from outside: metrics, health and logs. No stage knows that it is watched."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from stream.events import Event
    from stream.sources.base import Batch


class Observer(Protocol):
    """Is told what the loop in `stream.runner` does; must return quickly."""

    def turn(self, batch: Batch, events: Sequence[Event]) -> None:
        """Take note: `batch` has been heard, and every sink has taken `events`."""
        ...

    def full(self) -> None:
        """Take note: a sink can't take more, and the loop is about to wait for it."""
        ...


class Nobody:
    """The observer of a loop that nobody watches."""

    def turn(self, batch: Batch, events: Sequence[Event]) -> None:
        """Do nothing."""

    def full(self) -> None:
        """Do nothing."""
