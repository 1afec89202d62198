"""Sends dead letters, each as long as its topic accepts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stream.kafka.client.limits import DEFAULT_BYTES
from stream.kafka.client.producer import Producer
from stream.kafka.client.refusals import TOO_LONG
from stream.kafka.codec.dead_letter import as_dead_letter
from stream.kafka.records.size import batch_bytes

if TYPE_CHECKING:
    from stream.kafka.client.refusals import Refusals
    from stream.kafka.records.consumer_record import ConsumerRecord
    from stream.kafka.settings import KafkaSettings

# What waits is memory, and is sent at the next checkpoint at the latest.
_MAX_WAITING = 200
_MAX_WAITING_BYTES = 8 * 1024 * 1024
_MIN_BYTES = 512  # the headers of a letter alone


class DeadLetterProducer:
    """Takes messages that cannot be decoded, for both drivers.

    It has a producer of its own, which connects with the first letter: letters are compressed, and
    with `exactly_once` they belong to no transaction, which a refusal would abort. They are sent at
    least once; a duplicate has the same origin.

    Parameters
    ----------
    settings : KafkaSettings
        Broker and topic.
    refusals : Refusals
        Records letters that cannot be sent.
    """

    def __init__(self, settings: KafkaSettings, refusals: Refusals) -> None:
        self._settings = settings
        self._topic = settings.topics.dead_letters
        self._refusals = refusals
        self._waiting: list[tuple[ConsumerRecord, str]] = []
        self._bytes = 0
        self._producer: Producer | None = None

    @property
    def full(self) -> bool:
        """Whether what waits should be sent now."""
        return len(self._waiting) >= _MAX_WAITING or self._bytes >= _MAX_WAITING_BYTES

    def put(self, message: ConsumerRecord, reason: str) -> None:
        """Take a message, and the reason in one line."""
        self._waiting.append((message, reason))
        self._bytes += len(message.value or b"")

    def flush(self) -> None:
        """Send what waits, and wait until the broker has it.

        A letter that is too long for the topic is truncated further and further. What the broker
        refuses all the same is counted and skipped.

        Raises
        ------
        BrokerError
            The broker does not answer.
        """
        waiting, self._waiting, self._bytes = self._waiting, [], 0
        if waiting and self._producer is None:
            settings = self._settings
            compression = "gzip" if settings.compression == "none" else settings.compression
            self._producer = Producer(
                settings, refusals=self._refusals, compression=compression, counts=False
            )
        while waiting:
            waiting = self._send(waiting)

    def close(self) -> None:
        """Disconnect."""
        if self._producer is not None:
            self._producer.close()
            self._producer = None

    def _send(self, letters: list[tuple[ConsumerRecord, str]]) -> list[tuple[ConsumerRecord, str]]:
        """Send letters; return those that may be accepted if they are shorter."""
        assert self._producer is not None
        limits = self._refusals.limits
        raw = self._refusals.max_bytes(self._topic)
        wire = min(limits.reported(self._topic) or DEFAULT_BYTES, raw)
        sent = []
        for message, reason in letters:
            letter = as_dead_letter(message, reason, max_bytes=wire, max_raw_bytes=raw)
            sent.append((letter, self._producer.send(self._topic, *letter)))
        self._producer.flush()
        too_long = []
        for (letter, each), original in zip(sent, letters, strict=True):
            if each.code in TOO_LONG and wire > _MIN_BYTES:
                limits.refused(self._topic, wire // 2 + 1)
                too_long.append(original)
            elif each.code:
                size = batch_bytes(letter.key, letter.value, letter.headers)
                self._refusals.count(self._topic, letter.key, size, each.code)
        return too_long
