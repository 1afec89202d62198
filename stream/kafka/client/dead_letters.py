"""Sends dead letters, each as long as its topic takes it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from stream.kafka.client.limits import DEFAULT_BYTES
from stream.kafka.client.producer import Sender
from stream.kafka.client.refusals import TOO_LONG
from stream.kafka.codec.dead_letter import as_dead_letter
from stream.kafka.records.size import batch_bytes

if TYPE_CHECKING:
    from stream.kafka.client.refusals import Refusals
    from stream.kafka.settings import KafkaSettings

# What waits is memory, and is sent at the next checkpoint at the latest.
_MAX_WAITING = 200
_MAX_WAITING_BYTES = 8 * 1024 * 1024
_MIN_BYTES = 512  # the headers of a letter alone


class Letterbox:
    """Takes messages that do not decode; both drivers send them with it.

    It has a producer of its own, connected with the first letter: letters are compressed, and
    with `exactly_once` they are in no transaction, which a refusal would undo. They are sent at
    least once, and one that comes twice names the same place.

    Parameters
    ----------
    settings : KafkaSettings
        Broker and topic.
    refusals : Refusals
        Is told of letters that cannot be sent.
    """

    def __init__(self, settings: KafkaSettings, refusals: Refusals) -> None:
        self._settings = settings
        self._topic = settings.topics.dead_letters
        self._refusals = refusals
        self._waiting: list[tuple[Any, str]] = []
        self._bytes = 0
        self._sender: Sender | None = None

    @property
    def full(self) -> bool:
        """Whether so much waits that it is to be delivered now."""
        return len(self._waiting) >= _MAX_WAITING or self._bytes >= _MAX_WAITING_BYTES

    def put(self, message: Any, reason: str) -> None:
        """Take a message, and why it was refused in one line."""
        self._waiting.append((message, reason))
        self._bytes += len(message.value or b"")

    def deliver(self) -> None:
        """Send what waits, and wait until the broker has it.

        One that is too long for the topic is cut shorter and shorter; what the broker refuses
        all the same is counted and passed over.

        Raises
        ------
        BrokerError
            The broker does not answer.
        """
        waiting, self._waiting, self._bytes = self._waiting, [], 0
        if waiting and self._sender is None:
            settings = self._settings
            compression = "gzip" if settings.compression == "none" else settings.compression
            self._sender = Sender(
                settings, refusals=self._refusals, compression=compression, counts=False
            )
        while waiting:
            waiting = self._try(waiting)

    def close(self) -> None:
        """Drop the connection."""
        if self._sender is not None:
            self._sender.close()
            self._sender = None

    def _try(self, letters: list[tuple[Any, str]]) -> list[tuple[Any, str]]:
        """Send letters; return those that may be taken if they are shorter."""
        assert self._sender is not None
        limits = self._refusals.limits
        raw = self._refusals.max_bytes(self._topic)
        wire = min(limits.told(self._topic) or DEFAULT_BYTES, raw)
        sent = []
        for message, reason in letters:
            letter = as_dead_letter(message, reason, max_bytes=wire, max_raw_bytes=raw)
            sent.append((letter, self._sender.send(self._topic, *letter)))
        self._sender.flush()
        again = []
        for (letter, each), original in zip(sent, letters, strict=True):
            if each.code in TOO_LONG and wire > _MIN_BYTES:
                limits.refused(self._topic, wire // 2 + 1)
                again.append(original)
            elif each.code:
                size = batch_bytes(letter.key, letter.value, letter.headers)
                self._refusals.count(self._topic, letter.key, size, each.code)
        return again
