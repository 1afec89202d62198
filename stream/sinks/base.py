"""Sinks: destinations of events."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from stream.events import Event


class Sink(Protocol):
    """Accepts events in order.

    `write` may raise `airsift.errors.Backpressure`: then none of the events of that call was
    accepted, and the same events are written again later. Accepted events are safe after `flush`.
    """

    def write(self, events: Sequence[Event]) -> None:
        """Accept events; return quickly."""
        ...

    def flush(self) -> None:
        """Return when all accepted events are at their destination, or raise."""
        ...

    def close(self) -> None:
        """Flush and close. Safe to call twice."""
        ...
