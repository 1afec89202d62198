"""Dead letters: messages that are no audio, kept with the reason, place and time."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from stream.kafka.headers import Headers
    from stream.kafka.sender import Sender
    from stream.kafka.settings import KafkaSettings

PREFIX = "airsift-"
_KEPT_BYTES = 64 * 1024


def send_dead_letter(sender: Sender, settings: KafkaSettings, message: Any, reason: str) -> None:
    """Send a message that does not decode to the dead letter topic.

    Key, value and headers are the original's, and headers say what happened:
    ``airsift-reason``, ``airsift-topic``, ``airsift-partition``, ``airsift-kafka-offset`` and
    ``airsift-time-ms`` (of the refusal). A message longer than `max_request_bytes` is cut to
    64 KiB; ``airsift-truncated`` is then its length in bytes.

    Parameters
    ----------
    sender : Sender
        Sends it; flush it before committing.
    settings : KafkaSettings
        Names the topic.
    message : kafka ConsumerRecord
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
    sender.send(settings.topics.dead_letters, key, value, headers)
