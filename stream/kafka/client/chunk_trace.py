"""One chunk's life on the topics: its message, the events about it, and when each was written.

Everything comes from what is on the topics: the timestamps of records, and their headers. So the
time at which a worker received the message, and what its stages took, are known only from a trace
(`stream.telemetry.tracing`), whose id is among the lines.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from airsift.errors import BrokerError, DecodeError
from stream.kafka.checkpoint.record import read_record
from stream.kafka.client.past import Period, read_period
from stream.kafka.codec.dead_letter import read_dead_letter
from stream.kafka.codec.event_message import unframed
from stream.kafka.codec.message import ChunkDecoder
from stream.lines import iso_time, one_line
from stream.sinks.format import kind_of, said_by
from stream.trace_context import PARENT, TRACEPARENT

if TYPE_CHECKING:
    from stream.audio import AudioChunk
    from stream.kafka.records.consumer_record import ConsumerRecord
    from stream.kafka.settings import KafkaSettings
    from stream.runner import Stop

_KINDS = ("decision", "segment", "label", "match", "share", "repeat", "gap", "alarm")


@dataclass(frozen=True, slots=True)
class Line:
    """One record that has to do with a chunk.

    Parameters
    ----------
    time_ms : int
        When it was written, by its timestamp.
    what : str
        ``message``, ``dead letter``, ``stored``, or the kind of an event.
    where : str
        Topic, partition and offset.
    text : str
        What it says, for people.
    event : dict, optional
        The event itself.
    trace : str
        Id of its trace; "" where it has none.
    """

    time_ms: int
    what: str
    where: str
    text: str
    event: dict[str, object] | None = None
    trace: str = ""


@dataclass(frozen=True, slots=True)
class ChunkTrace:
    """A chunk's message, and what followed from it, in the order of writing.

    `begin_s` and `end_s` are Unix times of its audio.
    """

    begin_s: float
    end_s: float
    message: Line
    lines: tuple[Line, ...]


def trace_chunk(
    settings: KafkaSettings, station: str, time_s: float, *, within_s: float, stop: Stop
) -> ChunkTrace:
    """Find the message of a station with the audio of a time, and all that was written about it.

    Parameters
    ----------
    settings : KafkaSettings
        Broker, group and topics.
    station : str
        Its name.
    time_s : float
        Unix time of the audio.
    within_s : float > 0
        How far the timestamp of the message may be from that time, and how long after the message
        events about it are looked for.
    stop : Stop
        Checked several times a second.

    Raises
    ------
    BrokerError
        No broker answers, or there is no such message.
    """
    around_ms, time_ms = round(within_s * 1000), round(time_s * 1000)
    record, chunk = _find(
        settings, station, time_s, Period(time_ms, time_ms + 1).widened(around_ms), stop
    )
    assert chunk.time is not None
    begin_s, end_s = chunk.time, chunk.time + len(chunk.samples) / chunk.rate
    after = Period(record.timestamp, record.timestamp + around_ms)
    topics = settings.topics
    names = [*topics.events.values(), topics.dead_letters, topics.state]
    lines: list[Line] = []
    is_stored = False
    for records in read_period(settings, names, after, stop=stop):
        for each in records:
            if each.topic == topics.state:
                line = None if is_stored else _stored(settings, each, record, station)
                is_stored |= line is not None
            elif each.topic == topics.dead_letters:
                line = _dead_letter(each, record)
            else:
                line = _event(each, station, begin_s, end_s)
            if line is not None:
                lines.append(line)
    size = len(record.value or b"")
    kind = dict(record.headers).get("content-type", b"").decode("utf-8", "replace")
    length = f"{end_s - begin_s:g} s from sample {chunk.start} at {chunk.rate} Hz"
    text = f"{size} bytes of {kind}, {length}"
    message = Line(record.timestamp, "message", _where(record), text, trace=_trace_id(record))
    return ChunkTrace(begin_s, end_s, message, tuple(sorted(lines, key=lambda each: each.time_ms)))


def _find(
    settings: KafkaSettings, station: str, time_s: float, period: Period, stop: Stop
) -> tuple[ConsumerRecord, AudioChunk]:
    """Return the message with the audio of a time, and the audio."""
    decoder, key = ChunkDecoder(settings.wire), station.encode()
    nearest = None
    topics = [settings.topics.audio]
    for records in read_period(settings, topics, period, stop=stop, keys=[key]):
        for record in records:
            if not record.value:
                continue
            content = record.key, record.value, record.headers
            try:
                chunk = decoder.decode(*content, record.timestamp, record.offset).chunk
            except DecodeError as error:
                nearest = nearest or f"; {_where(record)} does not decode: {error}"
                continue
            if chunk.time is None:
                continue
            if chunk.time <= time_s < chunk.time + len(chunk.samples) / chunk.rate:
                return record, chunk
            nearest = f"; the last one there has the audio of {_clock(chunk.time)}"
    begin, end = (_clock(ms / 1000) for ms in period)
    raise BrokerError(
        f"{settings.topics.audio} has no message of {station!r} with the audio of {_clock(time_s)} "
        f"among those written from {begin} to {end}{nearest or ', nor any other'}; check the name "
        "and the time, or search further with --within"
    )


def _event(record: ConsumerRecord, station: str, begin_s: float, end_s: float) -> Line | None:
    """Return an event that is about some of [begin_s, end_s)."""
    if record.key != station.encode():
        return None
    try:
        event = json.loads(unframed(record.value))
        starts_s = datetime.fromisoformat(event["time"]).timestamp()
        ends_s = starts_s + event["end_s"] - event["start_s"]
        kind = kind_of(event)
        text = f"{said_by(event)}, {event['start_s']} to {event['end_s']} s"
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError):
        return None
    if kind not in _KINDS or starts_s >= end_s or ends_s <= begin_s:
        return None
    trace = _trace_id(record)
    return Line(record.timestamp, kind, _where(record), one_line(text), event, trace)


def _dead_letter(record: ConsumerRecord, message: ConsumerRecord) -> Line | None:
    letter = read_dead_letter(record)
    if letter.origin != (message.topic, message.partition, message.offset) or letter.replayed:
        return None
    return Line(record.timestamp, "dead letter", _where(record), letter.reason)


def _stored(
    settings: KafkaSettings, record: ConsumerRecord, message: ConsumerRecord, station: str
) -> Line | None:
    """Return the first snapshot of the station in which its message was processed."""
    if record.partition != message.partition:
        return None
    stored = read_record(settings.group, record)
    if stored is None or stored.station != station or stored.read_to <= message.offset:
        return None
    text = f"snapshot of group {settings.group}: read up to {stored.read_to}"
    return Line(record.timestamp, "stored", _where(record), text)


def _where(record: ConsumerRecord) -> str:
    return f"{record.topic}[{record.partition}] {record.offset}"


def _trace_id(record: ConsumerRecord) -> str:
    for name, value in record.headers:
        if name.lower() == PARENT:
            found = TRACEPARENT.fullmatch((value or b"").decode("ascii", "replace"))
            return found[1] if found else ""
    return ""


def _clock(time_s: float) -> str:
    return iso_time(time_s, "milliseconds")
