"""Stations whose snapshot the state topic has refused, in either driver."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from stream.kafka.checkpoint.record import Saved

if TYPE_CHECKING:
    from collections.abc import Collection

log = logging.getLogger(__name__)


class Unstored:
    """What is to be withdrawn, and which partitions may not be committed until it is.

    A record that is older than the committed offset would be restored without the audio that
    follows it. So where a new one is refused the old one is withdrawn, and after a restart the
    station begins anew. Where the topic refuses that too, the offsets stay where the old record
    needs them.
    """

    def __init__(self) -> None:
        self._places: dict[tuple[int, str], None] = {}

    def note(self, partition: int, saved: Saved, *, refused: bool) -> None:
        """Take note of the answer to a record."""
        place = partition, saved.station
        if not refused:
            self._places.pop(place, None)
            return
        self._places[place] = None
        if saved.snapshot is not None:
            where = {"station": saved.station, "partition": partition}
            log.warning("its snapshot is refused: after a restart it begins anew", extra=where)

    def withdrawals(self) -> list[tuple[int, Saved]]:
        """Return the records to write instead of those that were refused."""
        return [(partition, Saved.nothing(station)) for partition, station in self._places]

    @property
    def held(self) -> set[int]:
        """Partitions of which nothing may be committed."""
        return {partition for partition, _ in self._places}

    def drop(self, partitions: Collection[int]) -> None:
        """Leave partitions to others."""
        self._places = dict.fromkeys(p for p in self._places if p[0] not in partitions)

    def __bool__(self) -> bool:
        return bool(self._places)
