"""The demo's sources: a programme, and a Kafka source that ends with the programmes."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from airsift.errors import BrokerError
from stream.audio import AudioChunk
from stream.demo.clips import RATE
from stream.sources.base import Source, SourceItem

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import numpy as np
    from numpy.typing import NDArray

    from stream.kafka.client.source import KafkaSource
    from stream.snapshot import StoredSnapshot

SILENT_S = 30.0  # without audio; something is broken then
SHORT_MS = 100  # codecs round the end of a station by less


class ProgrammeSource(Source):
    """The samples of a station, in chunks of a second.

    Parameters
    ----------
    station : str
        The station.
    samples : np.ndarray [shape=(n,), float32]
        Mono at `RATE`.
    after_ms : int >= 0
        Milliseconds without audio before them.
    """

    def __init__(self, station: str, samples: NDArray[np.float32], after_ms: int = 0) -> None:
        self._station, self._samples = station, samples
        self._first = after_ms * RATE // 1000

    def __iter__(self) -> Iterator[list[AudioChunk]]:
        for start in range(0, len(self._samples), RATE):
            piece = self._samples[start : start + RATE]
            yield [AudioChunk(self._station, self._first + start, piece, RATE)]


class EndingSource(Source):
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

    def __iter__(self) -> Iterator[list[SourceItem]]:
        last = time.monotonic()
        for items in self._source:
            now = time.monotonic()
            for item in items:
                if isinstance(item, AudioChunk):
                    last = now
                    end_ms = item.end * 1000 // item.rate + SHORT_MS
                    if end_ms >= self._missing.get(item.station, end_ms + 1):
                        del self._missing[item.station]
            yield items
            if not self._missing:
                return
            if now - last > SILENT_S:
                raise BrokerError(
                    f"no audio of {', '.join(self._missing)} for {SILENT_S:.0f} s, and the "
                    "programme is not over: the demo is broken or this machine is too busy; "
                    "try a lower --speed"
                )

    def checkpoint(self, snapshots: Mapping[str, StoredSnapshot]) -> None:
        """Store snapshots in the source."""
        self._source.checkpoint(snapshots)

    def close(self) -> None:
        """Close the source."""
        self._source.close()
