"""One station's record in the state topic, as a value and as a message."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from airsift.errors import BrokerError
from stream.kafka.frame_stream import NEW, Entry
from stream.kafka.position import NOWHERE, Place, read_place
from stream.kafka.wire import Message

if TYPE_CHECKING:
    from collections.abc import Mapping

SCHEMA = "airsift.state/1"


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
    entry : Entry
        How the frames of that message begin.
    silent_s : float >= 0
        For how long workers had listened to the station in vain when this was written.
    """

    station: str
    kafka_offset: int
    start: int
    rate: int
    snapshot: Mapping[str, Any] | None
    place: Place = NOWHERE
    entry: Entry = NEW
    silent_s: float = 0.0

    @classmethod
    def nothing(cls, station: str) -> Self:
        """Return the record of a station that is forgotten."""
        return cls(station, 0, 0, 0, None)

    def is_before(self, other: Saved) -> bool:
        """Say whether this is an older state than `other`."""
        if self.snapshot is None or other.snapshot is None:
            return False
        return int(self.snapshot.get("oldest", 0)) < int(other.snapshot.get("oldest", 0))


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
        "start_sample": saved.start,
        "rate": saved.rate,
        "place": saved.place,
        "entry": saved.entry,
        "silent_s": round(saved.silent_s, 1),
        "snapshot": saved.snapshot,
    }
    return Message(key, json.dumps(told, separators=(",", ":")).encode(), headers)


def read_record(group: str, record: Any) -> Saved | None:
    """Return what a message of the state topic holds; None if it is not of this group.

    Parameters
    ----------
    group : str
        Consumer group.
    record : kafka ConsumerRecord, or what has its names
        The message.

    Raises
    ------
    BrokerError
        It is no record of airsift's.
    """
    key = record.key or b""
    if not key.startswith(_key(group, "")):
        return None
    if record.value is None:
        return Saved.nothing(key[len(_key(group, "")) :].decode("utf-8", "replace"))
    try:
        told = json.loads(record.value)
        # A group may be called as the beginning of another's key.
        if told["schema"] != SCHEMA or key != _key(group, told["station"]):
            return None
        return Saved(
            str(told["station"]),
            int(told["kafka_offset"]),
            int(told["start_sample"]),
            int(told["rate"]),
            dict(told["snapshot"]),
            read_place(told["place"]),
            Entry.checked(*told.get("entry") or ()),
            max(float(told.get("silent_s", 0.0)), 0.0),
        )
    except (ValueError, TypeError, KeyError) as error:
        raise BrokerError(
            f"topic {record.topic} partition {record.partition} kafka_offset {record.offset} is "
            f"no snapshot of airsift ({error}); delete the topic, or set kafka.topics.state"
        ) from error


def _key(group: str, station: str) -> bytes:
    return f"{group}/{station}".encode()
