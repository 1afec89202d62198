"""One station's record in the state topic, as a value and as a message.

What is read from the topic is checked here, to its last number, before anything is made of it.
A record that is damaged costs its station what it knew, and nobody else anything.
"""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError
from pydantic_core import from_json

from stream.kafka.checkpoint.stream_count import Count
from stream.kafka.codec.frame_stream import NEW, Entry, read_entry
from stream.kafka.codec.message import Message
from stream.kafka.codec.timeline import Place, read_place
from stream.snapshot import why_no_snapshot

if TYPE_CHECKING:
    from collections.abc import Mapping

log = logging.getLogger(__name__)

SCHEMA = "airsift.state/2"
_MAX_SAMPLE = 2**60
_MAX_OFFSET = 2**62


@dataclass(frozen=True, slots=True)
class Saved:
    """One station's record.

    Parameters
    ----------
    station : str
        Whose it is.
    kafka_offset : int
        The first message of the audio partition that the snapshot needs again.
    start, rate : int
        First sample of that message, and the rate it counts in.
    snapshot : mapping, optional
        What the pipeline restores; None where the station is forgotten, and nothing is known.
    place : Place
        Where that message found its station.
    silent_s : float >= 0
        For how long workers had listened to the station in vain when this was written.
    read_to : int
        Messages of the audio partition before this one had been read.
    count : Count
        How the station's samples are counted.
    damaged : bool
        Whether the record could not be read, so that nothing is known.
    topic_id : str
        Of the audio topic that the offsets count in: one that is made anew has another.
    entry : Entry
        How the frames of that message begin.
    """

    station: str
    kafka_offset: int
    start: int
    rate: int
    snapshot: Mapping[str, Any] | None
    place: Place = field(default_factory=Place)
    silent_s: float = 0.0
    read_to: int = 0
    count: Count = field(default_factory=Count)
    damaged: bool = False
    topic_id: str = ""
    entry: Entry = NEW

    @classmethod
    def nothing(cls, station: str, *, damaged: bool = False) -> Self:
        """Return the record of a station that is forgotten."""
        return cls(station, 0, 0, 0, None, damaged=damaged)

    def is_of(self, topic_id: str) -> bool:
        """Say whether the offsets count in the topic of this id, as far as is known."""
        return not self.topic_id or not topic_id or self.topic_id == topic_id

    def is_before(self, other: Saved) -> bool:
        """Say whether this is an older state than `other`."""
        if self.snapshot is None or other.snapshot is None:
            return False
        return self.age < other.age

    @property
    def age(self) -> tuple[int, float]:
        """How far the station had come: by what is needed again, in samples and in messages.

        A station that has moved has the same snapshot on two partitions, and on one of them the
        messages that follow.
        """
        oldest = int((self.snapshot or {}).get("oldest", 0))
        return oldest, self.start / max(self.rate, 1)


class _Record(BaseModel):
    """The JSON of a record; the snapshot in it is checked by `stream.snapshot`."""

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
    entry: Annotated[list[int | str | None], Field(max_length=len(Entry._fields))]
    count: Annotated[list[int | str], Field(min_length=3, max_length=3)]
    topic_id: Annotated[str, Field(max_length=100)]
    snapshot: dict[str, Any]


_COUNT = TypeAdapter(Count)


def as_record(group: str, partition: int, saved: Saved) -> Message:
    """Return a record as a message for `partition` of the state topic.

    Of a station that is forgotten it has no value: Kafka then drops the key from a compacted
    topic.
    """
    key, headers = _key(group, saved.station), [("schema", SCHEMA.encode())]
    if saved.snapshot is None:
        return Message(key, None, headers)
    told = {
        "schema": SCHEMA,
        "station": saved.station,
        "partition": partition,
        "kafka_offset": saved.kafka_offset,
        "read_to": saved.read_to,
        "start_sample": saved.start,
        "rate": saved.rate,
        "silent_s": round(saved.silent_s, 1),
        "place": saved.place,
        "entry": saved.entry,
        "count": saved.count,
        "topic_id": saved.topic_id,
        "snapshot": saved.snapshot,
    }
    return Message(key, json.dumps(told, separators=(",", ":")).encode(), headers)


def read_record(group: str, record: Any) -> Saved | None:
    """Return what a message of the state topic holds; None if it is not of this group.

    A record that is damaged is logged, and the same as one of a station that is forgotten.

    Parameters
    ----------
    group : str
        Consumer group.
    record : kafka ConsumerRecord, or what has its names
        The message.
    """
    key = record.key or b""
    if not key.startswith(_key(group, "")):
        return None
    station = key[len(_key(group, "")) :].decode("utf-8", "replace")
    if record.value is None:
        return Saved.nothing(station)
    try:
        saved = _read(record.value)
    except ValueError as error:
        reason = _in_one_line(error)
    else:
        if key == _key(group, saved.station):
            return saved
        reason = f"station: it is of {saved.station[:40]!r}"
    where = {"station": station, "partition": record.partition, "kafka_offset": record.offset}
    log.warning(
        "its record in topic %s is damaged, so it begins anew: %s",
        record.topic, reason, extra=where,
    )  # fmt: skip
    return Saved.nothing(station, damaged=True)


def _read(value: bytes) -> Saved:
    """Return a record's value; raises ValueError for all that is wrong with it."""
    # Unlike Python's, this parser refuses nesting that is deep, and text that is not UTF-8.
    told = _Record.model_validate(from_json(value))
    place, entry = read_place(told.place), read_entry(told.entry)
    count = _COUNT.validate_python(told.count)
    if not all(0 <= sample <= _MAX_SAMPLE for sample in (count.first, count.end)):
        raise ValueError("count: a number is out of range")
    if told.kafka_offset > told.read_to:
        raise ValueError("kafka_offset: it was not read when this was written")
    if reason := why_no_snapshot(told.snapshot, station=told.station):
        raise ValueError(f"snapshot: {reason}")
    return Saved(
        told.station,
        told.kafka_offset,
        told.start_sample,
        told.rate,
        told.snapshot,
        place,
        told.silent_s,
        told.read_to,
        count,
        topic_id=told.topic_id,
        entry=entry,
    )


def _in_one_line(error: ValueError) -> str:
    if not isinstance(error, ValidationError):
        return str(error)[:200]
    first = error.errors(include_url=False, include_input=False, include_context=False)[0]
    return f"{'.'.join(map(str, first['loc']))[:80]}: {first['msg'][:120]}"


def _key(group: str, station: str) -> bytes:
    """Return the key of a record; names may have a ``/``, so no two are joined to the same."""
    return f"{group.replace('%', '%25').replace('/', '%2F')}/{station}".encode()
