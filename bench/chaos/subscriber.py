"""A subscriber of all published events."""

from __future__ import annotations

import json
import threading
import time
from typing import TYPE_CHECKING

from kafka import KafkaConsumer, TopicPartition

if TYPE_CHECKING:
    from collections.abc import Iterable

    from stream.kafka.settings import KafkaSettings


class Subscriber(threading.Thread):
    """Reads all events from the beginning of the topics."""

    def __init__(self, settings: KafkaSettings) -> None:
        super().__init__(name="subscriber", daemon=True)
        self._settings = settings
        self._off = threading.Event()
        self.lines: list[str] = []
        self.letters = 0
        self.processed: dict[str, float] = {}  # of each station, the end of its latest decision
        self.last_line = time.monotonic()

    def run(self) -> None:
        topics = self._settings.topics
        names = [*topics.events.values(), topics.dead_letters]
        consumer = KafkaConsumer(
            bootstrap_servers=self._settings.bootstrap_servers,
            auto_offset_reset="earliest",
            reconnect_backoff_max_ms=500,
            fetch_max_wait_ms=self._settings.fetch_wait_ms,
        )
        consumer.assign([TopicPartition(n, p) for n in names for p in range(topics.partitions)])
        while not self._off.is_set():
            for tp, messages in consumer.poll(timeout_ms=100).items():
                if tp.topic == topics.dead_letters:
                    self.letters += len(messages)
                else:
                    self._add(message.value.decode() for message in messages)
        consumer.close()

    def off(self) -> None:
        self._off.set()
        self.join(20)

    def _add(self, lines: Iterable[str]) -> None:
        for line in lines:
            self.lines.append(line)
            self.last_line = time.monotonic()
            if line.startswith('{"schema":"airsift.decision/'):
                event = json.loads(line)
                processed = max(self.processed.get(event["station"], 0.0), event["end_s"])
                self.processed[event["station"]] = processed
