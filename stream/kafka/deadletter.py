"""Dead letters: messages that are no audio, kept with the reason, place and time."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from stream.kafka.unreadable import Unreadable
from stream.kafka.wire import Message

if TYPE_CHECKING:
    from stream.kafka.headers import Headers
    from stream.kafka.settings import KafkaSettings

PREFIX = "airsift-"
_KEPT_BYTES = 64 * 1024


def as_dead_letter(settings: KafkaSettings, message: Any, reason: str) -> Message:
    """Return what is sent to the dead letter topic for a message that does not decode.

    Key, value and headers are the original's, and headers say what happened:
    ``airsift-reason``, ``airsift-topic``, ``airsift-partition``, ``airsift-kafka-offset`` and
    ``airsift-time-ms`` (of the refusal). A message longer than `max_request_bytes` is cut to
    64 KiB; ``airsift-truncated`` is then its length in bytes. What no client can read is sent as
    the bytes that the broker has, and ``airsift-last-kafka-offset`` tells how far they reach.

    Parameters
    ----------
    settings : KafkaSettings
        Tells how long a message may be.
    message : Received or kafka ConsumerRecord
        What was read.
    reason : str
        Why it was refused, in one line.
    """
    told = {
        "reason": reason,
        "topic": message.topic,
        "partition": str(message.partition),
        "kafka-offset": str(message.offset),
        "time-ms": str(round(time.time() * 1000)),
    }
    key, value = message.key, message.value
    if isinstance(value, Unreadable):
        if value.is_raw:
            told["last-kafka-offset"] = str(value.last_offset)
        value = bytes(value)
    # A dead letter sent back and refused again carries only its newest reason.
    headers: Headers = [(n, v or b"") for n, v in message.headers if not n.startswith(PREFIX)]
    size = len(value or b"")
    around = len(key or b"") + sum(len(name) + len(content) for name, content in headers)
    if size + around > settings.max_request_bytes - _KEPT_BYTES:
        told["truncated"] = str(size)
        value = value[:_KEPT_BYTES] if value else value
        if around > _KEPT_BYTES:
            key, headers = (key or b"")[:1024], []
    headers += [(PREFIX + name, text.encode()) for name, text in told.items()]
    return Message(key, value, headers)


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A message that was refused.

    Parameters
    ----------
    message : Message
        As it came.
    station : str
        Its key, as text.
    topic, partition, kafka_offset : str
        Where it was.
    time_ms : int, optional
        When it was refused, Unix time in milliseconds.
    reason : str
        Why.
    truncated : int, optional
        How long its value was, in bytes, if it was cut.
    is_raw : bool
        Whether its value is no message, but the bytes of a batch that no client can read.
    """

    message: Message
    station: str
    topic: str
    partition: str
    kafka_offset: str
    time_ms: int | None
    reason: str
    truncated: int | None
    is_raw: bool = False


def read_dead_letter(record: Any) -> DeadLetter:
    """Return what a message of the dead letter topic tells.

    Parameters
    ----------
    record : kafka ConsumerRecord
        Whoever may write to the topic has written it: nothing in it is taken for granted.
    """
    told = {
        name.removeprefix(PREFIX): (content or b"").decode("utf-8", "replace")
        for name, content in record.headers
        if name.startswith(PREFIX)
    }
    headers = [(n, v or b"") for n, v in record.headers if not n.startswith(PREFIX)]
    return DeadLetter(
        message=Message(record.key, record.value, headers),
        station=(record.key or b"").decode("utf-8", "replace"),
        topic=told.get("topic", "?"),
        partition=told.get("partition", "?"),
        kafka_offset=told.get("kafka-offset", "?"),
        time_ms=_number(told.get("time-ms")),
        reason=told.get("reason", "(no reason)"),
        truncated=_number(told.get("truncated")),
        is_raw="last-kafka-offset" in told,
    )


def _number(text: str | None) -> int | None:
    # As long as datetime can show: a date of the year 9999 has 15 digits.
    return int(text) if text and text.isdecimal() and len(text) <= 14 else None
