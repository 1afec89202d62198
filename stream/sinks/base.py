"""Sinks: destinations of events."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from stream.events import Event


class Sink(Protocol):
    """Accepts events in order. Subclasses inherit what they do not need to change.

    `write` may raise `airsift.errors.Backpressure`: then none of the events of that call was
    accepted, and the same events are written again later. Accepted events are safe after `flush`,
    which may raise it too, and is then called again.

    Attributes
    ----------
    refused : mapping of str to int
        Messages that the broker has refused, by topic.
    """

    refused: Mapping[str, int] = MappingProxyType({})

    @property
    def queued(self) -> int:
        """Events that wait to be sent. For the loop's thread."""
        return 0

    @property
    def deliveries(self) -> Mapping[tuple[str, str], int]:
        """Messages about alarms, by kind of target and by what became of them. Safe in any thread.

        See `stream.alarms.delivery.OUTCOMES`.
        """
        return MappingProxyType({})

    @property
    def waiting(self) -> Mapping[str, int]:
        """Messages about alarms that wait, by kind of target. Safe in any thread."""
        return MappingProxyType({})

    @property
    def broker_error(self) -> str:
        """Why nothing can be sent, "" where it can. Safe in any thread."""
        return ""

    def write(self, events: Sequence[Event]) -> None:
        """Accept events; return quickly."""
        ...

    def flush(self) -> None:
        """Return when all accepted events are at their destination, or raise."""
        return

    def close(self) -> None:
        """Flush and close. Safe to call twice."""
        return
