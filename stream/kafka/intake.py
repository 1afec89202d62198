"""From messages of the audio topic to chunks, whoever reads them.

Both drivers (`stream.kafka.source`, `stream.kafka.worker`) hand over each message they are given
and the records that a partition's last owner left; this keeps the decoders, what a restart must
read again, and what is read a second time.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from airsift.errors import DecodeError
from stream.audio import AudioChunk, rescale
from stream.kafka.count import Count
from stream.kafka.headers import read_end
from stream.kafka.kept import Kept
from stream.kafka.offsets import Heard, Offsets
from stream.kafka.saved import Saved
from stream.kafka.wire import ChunkDecoder

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

    from stream.audio import Ending
    from stream.kafka.headers import End
    from stream.kafka.settings import KafkaSettings

log = logging.getLogger(__name__)

_ENDED = "the stream had ended"  # why audio is missing before what comes after an end
# What a restart skips must exist: looked at after so much listening, when its end is known.
_SETTLED_S = 5.0


class Received(NamedTuple):
    """A message, with the names that kafka-python's ConsumerRecord has for it.

    `timestamp` is Unix time in milliseconds, negative where there is none.
    """

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]]


class Intake:
    """Decodes the messages of the partitions that are ours.

    Parameters
    ----------
    settings : KafkaSettings
        Limits, when a silent station is at its end, and when it is forgotten.
    rate : int > 0
        Samples per second of the snapshots' ``oldest``.
    refuse : callable
        Is given each message that is no audio, and the reason in one line.
    now : callable
        The clock, in seconds.

    Attributes
    ----------
    counts : Counter
        ``messages``, ``bytes``, ``dead_letters``, ``repeats`` and ``ends`` (of streams) so far.
    offsets : Offsets
        What a restart must read again.
    """

    def __init__(
        self,
        settings: KafkaSettings,
        rate: int,
        refuse: Callable[[Any, str], None],
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self.counts: Counter[str] = Counter()
        self.offsets = Offsets(rate)
        self._rate = rate
        self._refuse = refuse
        self._decoder = ChunkDecoder(settings.wire)
        self._damaged: set[str] = set()  # stations whose last message did not decode
        self._most = settings.max_stations
        self._names: dict[int, set[str]] = {}  # stations of each partition
        self._skip: dict[tuple[int, str], int] = {}  # first offset a resumed station needs
        self._checked: set[int] = set()  # partitions whose `_skip` was looked at
        self._kept = Kept(settings.idle_s, settings.forget_s, now)
        self._stream: dict[tuple[int, str], Count] = {}  # how each station is counted
        self._forgotten: set[tuple[int, str]] = set()  # whose records are to be withdrawn

    def begin(
        self, partition: int, kafka_offset: int, left: Iterable[Saved]
    ) -> dict[str, dict[str, Any]]:
        """Take up a partition of which `kafka_offset` is the next message.

        Parameters
        ----------
        partition : int
            Which one.
        kafka_offset : int
            Of the first message that `take` will be given.
        left : iterable of Saved
            What its last owner left.

        Returns
        -------
        dict of str to dict
            Snapshot of each station, for the pipeline.
        """
        self.offsets.begin(partition, kafka_offset)
        self._checked.discard(partition)
        names = self._names[partition] = set()
        resumed = {}
        left = list(left)
        self._kept.begin(partition, left)
        for saved in left:
            self._skip[partition, saved.station] = saved.kafka_offset
            self._decoder.resume(saved.station, saved.start, saved.rate, saved.place)
            names.add(saved.station)
            self._stream[partition, saved.station] = saved.count
            resumed[saved.station] = dict(saved.snapshot or {})
        return resumed

    def let_go(self, partitions: Iterable[int]) -> set[str]:
        """Forget partitions; return the stations that are on none that is left."""
        partitions = set(partitions)
        self.offsets.drop(partitions)
        # Those that were resumed and have sent nothing since are lost as well.
        lost = set[str]().union(*(self._names.pop(p, set()) for p in partitions))
        lost = lost.difference(*self._names.values())
        for station in lost:
            self._decoder.forget(station)
        self._damaged -= lost
        self._kept.drop(partitions)
        self._forgotten = {place for place in self._forgotten if place[0] not in partitions}
        self._skip = {k: v for k, v in self._skip.items() if k[0] not in partitions}
        self._stream = {k: v for k, v in self._stream.items() if k[0] not in partitions}
        return lost

    def take(self, message: Any) -> list[AudioChunk]:
        """Decode the next message of a partition; there may be no chunk in it.

        Parameters
        ----------
        message : Received or kafka ConsumerRecord
            The first of its partition that was not taken yet.
        """
        partition = message.partition
        self.offsets.passed(partition, message.offset)
        station = (message.key or b"").decode("utf-8", "replace")
        if message.offset < self._skip.get((partition, station), 0):
            self.counts["repeats"] += 1
            return []
        self.counts["messages"] += 1
        self.counts["bytes"] += len(message.value or b"")
        chunks: list[AudioChunk] = []
        if self._kept.ends_before((partition, station), message.offset):
            chunks += self._end((partition, station), "idle")
        try:
            end = read_end(message.headers)
            if message.value or end is None:
                self._admit(partition, station)
                chunks += self._decode(message, station)
            if end is not None:
                chunks += self._end_as_sent((partition, station), end, empty=not message.value)
        except DecodeError as error:
            place = {"station": station, "partition": partition, "kafka_offset": message.offset}
            log.warning("not decoded, sent to the dead letters: %s", error, extra=place)
            self.counts["dead_letters"] += 1
            self._damaged.add(station)
            self._refuse(message, str(error))
        return chunks

    def _decode(self, message: Any, station: str) -> list[AudioChunk]:
        """Return the audio of a message, at its place in the station's count."""
        place = partition, _ = message.partition, station
        arrived_ms = message.timestamp if message.timestamp >= 0 else None
        chunk = self._decoder.decode(message.key, message.value, message.headers, arrived_ms)
        self._names[partition].add(station)
        if not len(chunk.samples):
            return []
        self._kept.heard(place, message.offset)
        start, end = (rescale(at, chunk.rate, self._rate) for at in (chunk.start, chunk.end))
        before = self._stream.get(place)
        if before is None:
            before = Count.begin(start, end)
        self._stream[place] = count = before.follow(start, end, self._rate)
        if count.over:
            log.info("audio of before the end of its stream is dropped", extra={"station": station})
            return []
        shift = rescale(count.shift, self._rate, chunk.rate)
        reason = _ENDED if before.over == "sent" else chunk.gap_reason
        if station in self._damaged:
            self._damaged.remove(station)
            reason = "a message could not be decoded"
        chunk = replace(chunk, start=chunk.start + shift, gap_reason=reason)
        lead, found = self._decoder.place(station)
        heard = Heard(message.offset, chunk.start + lead, chunk.end, chunk.rate, found)
        self.offsets.heard(partition, station, heard)
        return [chunk]

    def _end_as_sent(self, place: tuple[int, str], end: End, *, empty: bool) -> list[AudioChunk]:
        """End a station whose producer says so; nothing where it is at its end, or further."""
        count = self._stream.get(place)
        if count is None:
            return []
        rate = end.rate or self._decoder.rate(place[1])
        if empty and end.start_sample is not None and rate:
            at = rescale(end.start_sample, rate, self._rate)
            if count.is_before(at, self._rate):  # of a stream before this one, or sent twice
                return []
        return self._end(place, "sent")

    def _end(self, place: tuple[int, str], how: Ending) -> list[AudioChunk]:
        """End a station's stream after what came of it; nothing where it is at its end."""
        partition, station = place
        count = self._stream.get(place)
        if count is None or count.over:
            return []
        self._stream[place] = count._replace(over=how)
        self._decoder.end(station)
        self.offsets.end(partition, station)
        self.counts["ends"] += 1
        where = {"station": station, "partition": partition}
        log.info("its stream has ended" if how == "sent" else "idle: it is ended", extra=where)
        nothing = np.zeros(0, np.float32)
        return [AudioChunk(station, count.end, nothing, self._rate, ends=how)]

    def listen(self, partitions: Collection[int]) -> tuple[list[AudioChunk], set[str]]:
        """Note that a turn of the loop begins.

        Parameters
        ----------
        partitions : collection of int
            Those of which all messages there are have been read, from a broker that answers: a
            station there that sends nothing is silent.

        Returns
        -------
        ends : list of AudioChunk
            The ends of stations that have been silent for `kafka.idle_s`.
        forgotten : set of str
            Stations that have been silent for `kafka.forget_s`. The next `settle` withdraws their
            records; if they come back they are new. None is forgotten before the group has
            committed beyond its last message: a restart would hear it again.
        """
        self._kept.listen(partitions)
        for partition in partitions:
            self._check_skips(partition)
        ends, forgotten = [], set()
        idle, old = self._kept.look()
        for place in idle:
            if self.offsets.next(place[0]) < self._kept.saved(place).read_to:
                continue  # a restart has not come to its end yet
            if self._is_elsewhere(*place):
                self.offsets.end(*place)
                old.append(place)
            else:
                ends += self._end(place, "idle")
        for partition, station in old:
            if not self.offsets.is_past(partition, self._kept.saved((partition, station)).read_to):
                continue
            self._forget(partition, station)
            if not self._is_elsewhere(partition, station):
                self._decoder.forget(station)
                self._damaged.discard(station)
                forgotten.add(station)
                where = {"station": station, "partition": partition}
                log.info("forgotten: it has sent nothing for a long time", extra=where)
        return ends, forgotten

    def _forget(self, partition: int, station: str) -> None:
        self._kept.forget((partition, station))
        self._forgotten.add((partition, station))
        self._skip.pop((partition, station), None)
        self._stream.pop((partition, station), None)
        self._names[partition].discard(station)

    def _is_elsewhere(self, partition: int, station: str) -> bool:
        """Say whether a station is on another partition of ours too: it has moved there."""
        return any(station in names for p, names in self._names.items() if p != partition)

    def _check_skips(self, partition: int) -> None:
        """Skip nothing that is not there: the topic may have been deleted and made anew."""
        if partition in self._checked or self._kept.listened_s(partition) < _SETTLED_S:
            return
        self._checked.add(partition)
        for place, skip in list(self._skip.items()):
            if place[0] == partition and skip > self.offsets.next(partition):
                del self._skip[place]
                self._kept.forget(place)
                self.counts["damaged_records"] += 1
                where = {"station": place[1], "partition": partition, "kafka_offset": skip}
                log.warning("its record names a message that is not there: ignored", extra=where)

    def _admit(self, partition: int, station: str) -> None:
        """Refuse a station too many: whoever may write to the topic can invent names."""
        if station in self._names[partition]:
            return
        known = sum(map(len, self._names.values()))
        if known >= self._most:
            raise DecodeError(
                f"a new station, and this worker has kafka.max_stations={self._most} of them; "
                "raise it, add workers, or look who sends invented names"
            )

    def settle(self, snapshots: Mapping[str, dict[str, Any]]) -> list[tuple[int, Saved]]:
        """Let go of what these snapshots no longer need.

        Returns
        -------
        list of (partition, Saved)
            The records to write before anything is committed.
        """
        written = [
            (partition, self._kept.store(partition, saved))
            for station, snapshot in snapshots.items()
            for partition, saved in self._records(station, snapshot)
        ]
        self._forgotten -= {(partition, saved.station) for partition, saved in written}
        withdrawn = [(p, Saved.nothing(station)) for p, station in sorted(self._forgotten)]
        self._forgotten.clear()
        return written + self._kept.refresh() + withdrawn

    def _records(self, station: str, snapshot: dict[str, Any]) -> Iterable[tuple[int, Saved]]:
        """Yield a station's record for each partition that it is on."""
        first_needed = dict(self.offsets.settle(station, snapshot["oldest"]))
        for partition in self.offsets.partitions:
            count, read_to = self._stream.get((partition, station)), self.offsets.next(partition)
            if count is None:
                continue
            if count.over:  # nothing is needed again
                found = self._decoder.end(station)
                first = Heard(read_to, found.end, found.end, found.rate, found)
            elif partition in first_needed:
                first = first_needed[partition]
            else:
                continue
            yield partition, Saved(
                station, first.kafka_offset, first.start, first.rate, snapshot, first.place,
                read_to=read_to, count=count,
            )  # fmt: skip
