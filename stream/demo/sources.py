"""The demo's sources: a programme, and a Kafka source that ends with the programmes."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from airsift.errors import BrokerError
from stream.audio import AudioChunk
from stream.demo.clips import RATE
from stream.sources.base import Batch

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from stream.demo.programme import Programme
    from stream.kafka.client.source import KafkaSource

SILENT_S = 30.0  # without audio; something is broken then
SHORT_MS = 100  # codecs round the end of a station by less


class ProgrammeSource:
    """A programme, in chunks of a second."""

    resumable = False

    def __init__(self, programme: Programme) -> None:
        self._programme = programme

    def __iter__(self) -> Iterator[Batch]:
        name, samples = self._programme.name, self._programme.samples
        for start in range(0, len(samples), RATE):
            yield Batch([AudioChunk(name, start, samples[start : start + RATE], RATE)])

    def settle(self, snapshots: Mapping[str, dict[str, Any]]) -> None:
        """Do nothing: a programme is sent once."""

    def close(self) -> None:
        """Do nothing: a programme holds nothing open."""


class EndingSource:
    """A Kafka source that ends with the programmes; a real one never ends.

    Parameters
    ----------
    source : KafkaSource
        Receives the stations of the programmes.
    length_ms : mapping of str to int
        Length of the programme of each station.

    Raises
    ------
    BrokerError
        While iterating, if no audio comes for `SILENT_S`.
    """

    resumable = True

    def __init__(self, source: KafkaSource, length_ms: Mapping[str, int]) -> None:
        self._source = source
        self._missing = dict(length_ms)

    def __iter__(self) -> Iterator[Batch]:
        last = time.monotonic()
        for batch in self._source:
            now = time.monotonic()
            for chunk in batch.chunks:
                last = now
                received_ms = chunk.end * 1000 // chunk.rate + SHORT_MS
                if received_ms >= self._missing.get(chunk.station, received_ms + 1):
                    del self._missing[chunk.station]
            yield batch
            if not self._missing:
                return
            if now - last > SILENT_S:
                raise BrokerError(
                    f"no audio of {', '.join(self._missing)} for {SILENT_S:.0f} s, and the "
                    "programme is not over: the demo is broken or this machine is too busy; "
                    "try a lower --speed"
                )

    def settle(self, snapshots: Mapping[str, dict[str, Any]]) -> None:
        """Settle the source."""
        self._source.settle(snapshots)

    def close(self) -> None:
        """Close the source."""
        self._source.close()
