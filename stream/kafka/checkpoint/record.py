"""One station's record in the state topic, as a value and as a message.

Every field that is read from the topic is validated. A damaged record makes its own station begin
anew and affects no other.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple, Self

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError
from pydantic_core import from_json

from airsift.json_types import JsonObject
from stream.kafka.codec.frame_stream import NEW_STREAM, FrameEntry, read_entry
from stream.kafka.codec.message import Message
from stream.kafka.codec.timeline import TimelineState, read_timeline
from stream.lines import to_json_bytes
from stream.snapshot import StoredSnapshot

if TYPE_CHECKING:
    from stream.kafka.records.consumer_record import ConsumerRecord

log = logging.getLogger(__name__)

SCHEMA = "airsift.state/2"
_MAX_SAMPLE = 2**60
_MAX_OFFSET = 2**62


class StreamCount(NamedTuple):
    """The samples of a station's stream, at the pipeline's rate.

    Parameters
    ----------
    first, end : int
        Samples so far, half-open.
    over : {"", "sent", "idle"}
        How the stream ended; "" while it continues.
    """

    first: int = 0
    end: int = 0
    over: Literal["", "sent", "idle"] = ""

    def extend(self, start: int, end: int) -> StreamCount:
        """Return the count after audio in [start, end), which begins a new stream after an end."""
        if self.over:
            return StreamCount(start, end)
        return self._replace(end=max(self.end, end))


@dataclass(frozen=True, slots=True)
class StationRecord:
    """One station's record.

    Parameters
    ----------
    station : str
        The station.
    kafka_offset : int
        First message of the audio partition that must be read again after the snapshot.
    start, rate : int
        First sample of that message, and its rate.
    snapshot : StoredSnapshot, optional
        What the pipeline restores; None if the station is forgotten.
    timeline : TimelineState
        The station's timeline before that message.
    silent_s : float >= 0
        Seconds without a message of the station before the record was written.
    read_to : int
        Messages of the audio partition before this one had been read.
    count : StreamCount
        The station's stream.
    damaged : bool
        Whether the record could not be read.
    topic_id : str
        Id of the audio topic that the offsets belong to; a topic that is recreated has another.
    entry : FrameEntry
        How the frames of that message begin.
    """

    station: str
    kafka_offset: int
    start: int
    rate: int
    snapshot: StoredSnapshot | None
    timeline: TimelineState = field(default_factory=TimelineState)
    silent_s: float = 0.0
    read_to: int = 0
    count: StreamCount = field(default_factory=StreamCount)
    damaged: bool = False
    topic_id: str = ""
    entry: FrameEntry = NEW_STREAM

    @classmethod
    def tombstone(cls, station: str, *, damaged: bool = False) -> Self:
        """Return the record of a station that is forgotten."""
        return cls(station, 0, 0, 0, None, damaged=damaged)

    def is_of(self, topic_id: str) -> bool:
        """Return whether the offsets belong to this topic, as far as is known."""
        return not self.topic_id or not topic_id or self.topic_id == topic_id

    def is_before(self, other: StationRecord) -> bool:
        """Return whether this is an older state than `other`."""
        if self.snapshot is None or other.snapshot is None:
            return False
        return self.age < other.age

    @property
    def age(self) -> tuple[int, float]:
        """Progress of the station: the oldest sample needed, and the position of its message.

        A station that has moved has the same snapshot on two partitions, but later messages on one
        of them.
        """
        oldest = self.snapshot.oldest if self.snapshot else 0
        return oldest, self.start / max(self.rate, 1)


class _RecordJson(BaseModel):
    """The JSON of a record; `stream.snapshot` validates the snapshot."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    schema_: Literal["airsift.state/2"] = Field(alias="schema")
    station: Annotated[str, Field(min_length=1, max_length=1000)]
    partition: Annotated[int, Field(ge=0)]
    kafka_offset: Annotated[int, Field(ge=0, le=_MAX_OFFSET)]
    read_to: Annotated[int, Field(ge=0, le=_MAX_OFFSET)]
    start_sample: Annotated[int, Field(ge=-_MAX_SAMPLE, le=_MAX_SAMPLE)]
    rate: Annotated[int, Field(ge=0, le=10**6)]
    silent_s: Annotated[float, Field(ge=0, le=1e10, allow_inf_nan=False)]
    place: list[int | float | None]
    entry: Annotated[list[int | str | None], Field(max_length=len(FrameEntry._fields))]
    count: Annotated[list[int | str], Field(min_length=3, max_length=3)]
    topic_id: Annotated[str, Field(max_length=100)]
    snapshot: dict[str, Any]


_COUNT = TypeAdapter(StreamCount)


def as_record(group: str, partition: int, record: StationRecord) -> Message:
    """Return a record as a message for `partition` of the state topic.

    A tombstone has no value: Kafka then removes the key from a compacted topic.
    """
    key, headers = _key(group, record.station), [("schema", SCHEMA.encode())]
    if record.snapshot is None:
        return Message(key, None, headers)
    fields: JsonObject = {
        "schema": SCHEMA,
        "station": record.station,
        "partition": partition,
        "kafka_offset": record.kafka_offset,
        "read_to": record.read_to,
        "start_sample": record.start,
        "rate": record.rate,
        "silent_s": round(record.silent_s, 1),
        "place": list(record.timeline),
        "entry": list(record.entry),
        "count": list(record.count),
        "topic_id": record.topic_id,
    }
    # It is JSON already, and by far the largest part.
    value = b'%b,"snapshot":%b}' % (to_json_bytes(fields)[:-1], record.snapshot.data)
    return Message(key, value, headers)


def read_record(group: str, message: ConsumerRecord) -> StationRecord | None:
    """Return the record in a message of the state topic; None if it belongs to another group.

    A damaged record is logged and returned as a tombstone.
    """
    key = message.key or b""
    if not key.startswith(_key(group, "")):
        return None
    station = key[len(_key(group, "")) :].decode("utf-8", "replace")
    if message.value is None:
        return StationRecord.tombstone(station)
    try:
        record = _read(message.value)
    except ValueError as error:
        reason = _in_one_line(error)
    else:
        if key == _key(group, record.station):
            return record
        reason = f"station: it is of {record.station[:40]!r}"
    where = {"station": station, "partition": message.partition, "kafka_offset": message.offset}
    log.warning(
        "its record in topic %s is damaged, so it begins anew: %s",
        message.topic, reason, extra=where,
    )  # fmt: skip
    return StationRecord.tombstone(station, damaged=True)


def _read(value: bytes) -> StationRecord:
    """Return the record in a value; raises ValueError if any part of it is invalid."""
    # Unlike Python's parser, this one refuses deep nesting and text that is not UTF-8.
    fields = _RecordJson.model_validate(from_json(value))
    timeline, entry = read_timeline(fields.place), read_entry(fields.entry)
    count = _COUNT.validate_python(fields.count)
    if not all(0 <= sample <= _MAX_SAMPLE for sample in (count.first, count.end)):
        raise ValueError("count: a number is out of range")
    if fields.kafka_offset > fields.read_to:
        raise ValueError("kafka_offset: it was not read when this was written")
    try:
        snapshot = StoredSnapshot.of_json(fields.snapshot, fields.station)
    except ValueError as error:
        raise ValueError(f"snapshot: {error}") from None
    return StationRecord(
        fields.station,
        fields.kafka_offset,
        fields.start_sample,
        fields.rate,
        snapshot,
        timeline,
        fields.silent_s,
        fields.read_to,
        count,
        topic_id=fields.topic_id,
        entry=entry,
    )


def _in_one_line(error: ValueError) -> str:
    if not isinstance(error, ValidationError):
        return str(error)[:200]
    first = error.errors(include_url=False, include_input=False, include_context=False)[0]
    return f"{'.'.join(map(str, first['loc']))[:80]}: {first['msg'][:120]}"


def _key(group: str, station: str) -> bytes:
    """Return the key of a record; ``/`` is escaped in the group, so that keys are unique."""
    return f"{group.replace('%', '%25').replace('/', '%2F')}/{station}".encode()
