"""Where events go. A sink is the second of airsift's two edges."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from stream.events import Event


class Sink(Protocol):
    """Takes events in order.

    `write` may raise `airsift.errors.Backpressure`: nothing of that call was taken, and the
    same events are written again later. What `write` took is safe only after `flush`.
    """

    def write(self, events: Sequence[Event]) -> None:
        """Take events; return quickly."""
        ...

    def flush(self) -> None:
        """Return when everything written is where it belongs, or raise."""
        ...

    def close(self) -> None:
        """Flush and let go. Safe to call twice."""
        ...
