"""Processes a past period of the audio topic again, and publishes what is missing of it.

::

        published ──────────┬───────────────────────┐ missing ┌───────────── published
        audio     ·····┌────┼───────────────────────┼─────────┼────┐·······
                       └ along                    begin      end   └ along

Audio is read along before and behind the period: from where the segment began that the period
begins in, and for long enough afterwards that what began in the period has its final form. Only
final events that begin in the period are published. Their ids are made of times, so those that are
on a topic already are the same, and are left out. What is named of music depends on when the
matcher was queried, and may begin a moment earlier or later than before: an event that overlaps a
published one of the same label or track is left out as well. So nothing doubles.
"""

from __future__ import annotations

import json
import logging
import time
from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING

from airsift.errors import ConfigError
from stream.events import Labelled, Segment
from stream.kafka.checkpoint.partition_reader import PartitionReader
from stream.kafka.client.past import Period, read_period
from stream.kafka.codec.event_message import unframed
from stream.runner import Runner
from stream.sinks.base import Sink
from stream.sources.base import Source

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from stream.audio import AudioChunk
    from stream.events import Event
    from stream.kafka.records.consumer_record import ConsumerRecord
    from stream.kafka.settings import KafkaSettings
    from stream.pipeline import Pipeline
    from stream.runner import Stop

log = logging.getLogger(__name__)

# Not levels, whose integrated loudness counts from midnight, and not repeats, which need days.
KINDS = ("decision", "segment", "label", "match", "share", "gap")
_SETTLE_S = 120.0  # of audio, until windows and labels no longer depend on where it begins
_SAME_CLOCK_S = 1.0  # positions that differ by less are of one count: it follows its clock
_FOREVER_MS = 2**62


@dataclass(slots=True)
class Published:
    """What is on the topics of a station: ids of final events, and spans by label or track."""

    ids: set[str] = field(default_factory=set)
    spans: dict[tuple[str, str], list[tuple[float, float]]] = field(default_factory=dict)
    segments: list[tuple[float, float]] = field(default_factory=list)  # open ones too
    zero: float | None = None  # Unix time of sample 0

    def add(self, record: ConsumerRecord) -> None:
        """Note a message; one that is no event is passed over."""
        try:
            event = json.loads(unframed(record.value))
            begin = datetime.fromisoformat(event["time"]).timestamp()
            kind = event["schema"].removeprefix("airsift.").partition("/")[0]
            length, start_s = event["end_s"] - event["start_s"], event["start_s"]
            is_final, what = event.get("final", True), event.get("label") or event.get("track", "")
            self.ids.update([event["id"]] if is_final else [])
        except (ValueError, TypeError, KeyError, AttributeError, OverflowError):
            return
        self.zero = begin - start_s
        if kind == "segment":
            self.segments.append((begin, begin + length))
        if what and is_final:
            self.spans.setdefault((kind, what), []).append((begin, begin + length))

    def has(self, event: Event) -> bool:
        """Return whether an event is published, or one that says the same of the same audio."""
        if event.id in self.ids:
            return True
        if isinstance(event, Segment | Labelled):
            what: str = event.label
        else:
            what = getattr(event, "track", "")
        assert event.time is not None
        begin, end = event.time, event.time + (event.end - event.start) / event.rate
        spans = self.spans.get((event.kind, what), ())
        return any(begin < there_end and there < end for there, there_end in spans)


@dataclass(slots=True)
class Backfilled:
    """Result of a backfill.

    Attributes
    ----------
    published, there : Counter
        Events by kind: published now, and left out because they are on the topics.
    unfinished : int
        Events of the period that were not final where the audio ended.
    refused : int
        Messages that could not be decoded.
    seconds : float
        Audio that was processed.
    """

    published: Counter[str] = field(default_factory=Counter)
    there: Counter[str] = field(default_factory=Counter)
    unfinished: int = 0
    refused: int = 0
    seconds: float = 0.0


class _PeriodSink(Sink):
    """Passes on the final events that begin in a period and are not published."""

    def __init__(
        self,
        sinks: Sequence[Sink],
        period: Period,
        published: dict[str, Published],
        result: Backfilled,
        *,
        again: bool,
    ) -> None:
        self._sinks, self._period, self._published = sinks, period, published
        self._result, self._again = result, again
        self.open: set[str] = set()
        self._checked: set[int] = set()  # sinks that have a part of the events of this call

    def write(self, events: Sequence[Event]) -> None:
        wanted = [event for event in events if self._is_wanted(event)]
        # A full sink raises, and is given the same events again: no other may have them twice.
        for index, sink in enumerate(self._sinks if wanted else ()):
            if index not in self._checked:
                sink.write(wanted)
                self._checked.add(index)
        self._checked.clear()
        for event in events:
            if event.time is None or event.time * 1000 not in self._period:
                continue
            if not getattr(event, "final", True):
                self.open.add(event.id)
                continue
            self.open.discard(event.id)
            if event.kind in KINDS:
                counts = self._result.published if event in wanted else self._result.there
                counts[event.kind] += 1

    def _is_wanted(self, event: Event) -> bool:
        if event.kind not in KINDS or event.time is None or not getattr(event, "final", True):
            return False
        if event.time * 1000 not in self._period:
            return False
        return self._again or not self._published[event.station].has(event)

    def flush(self) -> None:
        for sink in self._sinks:
            sink.flush()


def backfill(
    settings: KafkaSettings,
    pipeline: Pipeline,
    sinks: Sequence[Sink],
    stations: Collection[str],
    period: Period,
    *,
    stop: Stop,
    along_s: float = 600.0,
    again: bool = False,
    flush_s: float = 2.0,
) -> Backfilled:
    """Process a period of some stations again.

    Parameters
    ----------
    settings : KafkaSettings
        Broker and topics.
    pipeline : Pipeline
        A new one, configured as that of the workers, without `repeats`.
    sinks : sequence of Sink
        Where missing events go; the caller closes them.
    stations : collection of str
        Names of the stations.
    period : Period
        By the time of the audio.
    stop : Stop
        Ends it; what is published by then is complete.
    along_s : float > 0
        Maximum seconds of audio that are read along before the period, where no segment is
        published there, and behind it.
    again : bool
        Whether events are sent again whose ids are on the topics.
    flush_s : float > 0
        Seconds between flushes of the sinks.

    Raises
    ------
    BrokerError
        No broker answers.
    ConfigError
        The ids of a station's events depend on where reading begins.
    """
    published = _published(settings, stations, period, stop)
    begin_ms = min(_first_ms(published[station], period, along_s) for station in stations)
    audio = Period(max(begin_ms, 0), period.end_ms + round(along_s * 1000))
    result = Backfilled()
    sink = _PeriodSink(sinks, period, published, result, again=again)
    runner = Runner(pipeline, [sink], stop)
    source = _PastAudio(settings, pipeline.rate, stations, audio, stop, result)
    unchecked = set(stations)
    next_flush = time.monotonic() + flush_s
    for chunks in source:
        for chunk in chunks:
            if chunk.station in unchecked and len(chunk.samples):
                unchecked.discard(chunk.station)
                _check_count(chunk, published[chunk.station])
        runner.step(chunks)
        result.seconds += sum(len(chunk.samples) / chunk.rate for chunk in chunks)
        if time.monotonic() >= next_flush:
            runner.checkpoint(source)
            next_flush = time.monotonic() + flush_s
    # What is open stays open: the audio goes on, and others process it.
    runner.checkpoint(source)
    result.unfinished = len(sink.open)
    if unchecked and not stop.requested:
        log.warning("no audio in the period of: %s", ", ".join(sorted(unchecked)))
    return result


def _published(
    settings: KafkaSettings, stations: Collection[str], period: Period, stop: Stop
) -> dict[str, Published]:
    """Return what is on the topics of the period; events come after the audio they are about."""
    keys = {station.encode(): Published() for station in stations}
    topics = [settings.topics.events[kind] for kind in KINDS]
    begin_ms = period.begin_ms - round(_SETTLE_S * 1000)
    since = Period(max(begin_ms, 0), _FOREVER_MS)
    for records in read_period(settings, topics, since, stop=stop, keys=keys):
        for record in records:
            keys[record.key or b""].add(record)
    return {station: keys[station.encode()] for station in stations}


def _first_ms(published: Published, period: Period, along_s: float) -> int:
    """Return when the audio begins that the events of a period depend on."""
    at_s = period.begin_ms / 1000
    over = [begin for begin, end in published.segments if begin <= at_s < end]
    first_s = min(over) - _SETTLE_S if over else at_s - along_s
    return round(first_s * 1000)


class _PastAudio(Source):
    """The audio of stations in a period. Nothing is committed, nothing goes to the dead letters."""

    def __init__(
        self,
        settings: KafkaSettings,
        rate: int,
        stations: Collection[str],
        period: Period,
        stop: Stop,
        result: Backfilled,
    ) -> None:
        self._settings, self._period, self._stop = settings, period, stop
        self._keys = {station.encode() for station in stations}
        self._result = result
        self._reader = PartitionReader(settings, rate, self._refuse)

    def __iter__(self) -> Iterator[list[AudioChunk]]:
        topics = [self._settings.topics.audio]
        for records in read_period(
            self._settings, topics, self._period, stop=self._stop, keys=self._keys
        ):
            yield [chunk for each in records for chunk in self._read(each)]

    def _read(self, record: ConsumerRecord) -> list[AudioChunk]:
        _check_position(record)
        if record.partition not in self._reader.partitions:
            self._reader.begin(record.partition, record.offset, ())
        return self._reader.read(record)

    def _refuse(self, message: ConsumerRecord, reason: str) -> None:
        del message, reason  # the reader logs it, and it has its dead letter already
        self._result.refused += 1


def _check_position(record: ConsumerRecord) -> None:
    """Refuse audio whose positions depend on the messages before it.

    Raises
    ------
    ConfigError
        The message has no ``start_sample``.
    """
    if record.value and not any(name.lower() == "start_sample" for name, _ in record.headers):
        station = (record.key or b"").decode("utf-8", "replace")
        raise ConfigError(
            f"{station!r} is sent without start_sample ({record.topic}[{record.partition}] "
            f"{record.offset}): the ids of its events depend on where reading begins, and would "
            "double; send start_sample, or process it under another group and other topics"
        )


def _check_count(chunk: AudioChunk, published: Published) -> None:
    """Refuse a station whose samples were counted differently when its events were published.

    Raises
    ------
    ConfigError
        They were.
    """
    if published.zero is None or chunk.time is None:
        return
    off_s = chunk.time - chunk.start / chunk.rate - published.zero
    if abs(off_s) > _SAME_CLOCK_S:
        raise ConfigError(
            f"{chunk.station!r}: its published events count samples {abs(off_s):.0f} s apart from "
            "its messages, because its producer has begun to count anew; their ids would double. "
            "Process the period under another group and other topics"
        )
