"""The state topic: where each station's snapshot survives the process.

One partition for each partition of the audio topic, so that a worker that takes over an audio
partition reads one partition of state. Key: ``group/station``; the newest record of a key is
the valid one, so the topic may be compacted. A group's committed offset on a state partition
is the oldest record it still needs, so a restart reads little even where nothing is compacted.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from kafka import TopicPartition

from airsift.errors import BrokerError
from stream.kafka.client import broker_errors, connect_consumer, ensure_topics

if TYPE_CHECKING:
    from collections.abc import Mapping

    from stream.kafka.sender import Sender
    from stream.kafka.settings import KafkaSettings

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
    snapshot : mapping
        What the pipeline restores.
    """

    station: str
    kafka_offset: int
    start: int
    rate: int
    snapshot: Mapping[str, Any]


class Record(NamedTuple):
    """What was saved, and where in the state topic and when (by the monotonic clock)."""

    saved: Saved
    kafka_offset: int
    at: float


class StateLog:
    """Writes and reads the snapshots of one consumer group.

    Parameters
    ----------
    settings : KafkaSettings
        Where, and for which group.
    sender : Sender
        Writes the records.
    """

    def __init__(self, settings: KafkaSettings, sender: Sender) -> None:
        self._settings = settings
        self._sender = sender
        self._topic = settings.topics.state

    def ensure(self, consumer: Any) -> None:
        """Create the topic if it is missing, with as many partitions as the audio topic has.

        Parameters
        ----------
        consumer : kafka.KafkaConsumer
            Is asked for the audio topic's partitions.

        Raises
        ------
        BrokerError
            The topic is there with fewer partitions.
        """
        audio = self._settings.topics.audio
        needed = len(consumer.partitions_for_topic(audio) or {0})
        topics = self._settings.topics.model_copy(update={"partitions": needed})
        settings = self._settings.model_copy(update={"topics": topics})
        ensure_topics(settings, [self._topic], configs={"cleanup.policy": "compact"})
        there = len(consumer.partitions_for_topic(self._topic) or range(needed))
        if there < needed:
            raise BrokerError(
                f"topic {self._topic} has {there} partitions, {audio} has {needed}: give it as many"
            )

    def write(self, partition: int, saved: Saved) -> Any:
        """Hand a record to the sender; return its future."""
        record = {
            "schema": SCHEMA,
            "station": saved.station,
            "partition": partition,
            "kafka_offset": saved.kafka_offset,
            "start_sample": saved.start,
            "rate": saved.rate,
            "snapshot": saved.snapshot,
        }
        value = json.dumps(record, separators=(",", ":")).encode()
        headers = [("schema", SCHEMA.encode())]
        return self._sender.send(self._topic, self._key(saved.station), value, headers, partition)

    def read(self, since: Mapping[int, int]) -> dict[int, dict[str, Record]]:
        """Return, per partition, the newest record of each station.

        Parameters
        ----------
        since : mapping of int to int
            Kafka offset from which to read each partition.
        """
        found: dict[int, dict[str, Record]] = {partition: {} for partition in since}
        tps = {TopicPartition(self._topic, partition): at for partition, at in since.items()}
        consumer = connect_consumer(self._settings)
        try:
            with broker_errors(self._settings):
                consumer.assign(list(tps))
                ends = consumer.end_offsets(list(tps))
                begins = consumer.beginning_offsets(list(tps))
                waiting = set()
                for tp, at in tps.items():
                    at = max(at, begins[tp])
                    if at < ends[tp]:
                        consumer.seek(tp, at)
                        waiting.add(tp)
                    else:
                        consumer.pause(tp)
                deadline = time.monotonic() + self._settings.request_timeout_s
                while waiting:
                    if time.monotonic() > deadline:
                        raise BrokerError(
                            f"topic {self._topic} cannot be read to its end within "
                            f"kafka.request_timeout_s={self._settings.request_timeout_s:g}"
                        )
                    for tp, records in consumer.poll(timeout_ms=200).items():
                        for record in records:
                            self._take(record, found[tp.partition])
                    waiting = {tp for tp in waiting if consumer.position(tp) < ends[tp]}
        finally:
            consumer.close()
        return found

    def _key(self, station: str) -> bytes:
        return f"{self._settings.group}/{station}".encode()

    def _take(self, record: Any, found: dict[str, Record]) -> None:
        if not (record.key or b"").startswith(self._key("")):
            return
        try:
            told = json.loads(record.value)
            if told["schema"] != SCHEMA:
                return
            saved = Saved(
                str(told["station"]),
                int(told["kafka_offset"]),
                int(told["start_sample"]),
                int(told["rate"]),
                dict(told["snapshot"]),
            )
        except (ValueError, TypeError, KeyError) as error:
            raise BrokerError(
                f"topic {self._topic} partition {record.partition} kafka_offset {record.offset} is "
                f"no snapshot of airsift ({error}); delete the topic, or set kafka.topics.state"
            ) from error
        # A worker that was taken for dead may write an old state after its successor's.
        before = found.get(saved.station)
        if before is None or _oldest(saved) >= _oldest(before.saved):
            found[saved.station] = Record(saved, record.offset, time.monotonic())


def _oldest(saved: Saved) -> int:
    return int(saved.snapshot.get("oldest", 0))
