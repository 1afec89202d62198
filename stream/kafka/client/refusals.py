"""Messages of ours that a broker refuses: counted, logged and skipped.

A refusal concerns one message or one topic. A broker that does not answer is not a refusal.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from typing import TYPE_CHECKING

from stream.kafka.client.limits import TopicLimits
from stream.kafka.client.rights import principal
from stream.kafka.records.size import batch_bytes, max_batch_bytes

if TYPE_CHECKING:
    from collections.abc import Callable

    from stream.kafka.codec.headers import Headers
    from stream.kafka.settings import KafkaSettings

log = logging.getLogger(__name__)

TOO_LONG = {10, 18}
_TOO_LARGE = 10
_NO_RIGHT = 29
# Kafka's error codes, which both client libraries have in `errno`, and their text in the log.
_REASONS = {
    2: "as corrupt",
    10: "as longer than its max.message.bytes",
    17: "as no topic to write to",
    18: "as longer than its segment.bytes",
    29: "because this client has no right to write to it",
    32: "for its timestamp: compare the clocks of this machine and the broker, and its "
    "message.timestamp.before.max.ms and message.timestamp.after.max.ms",
    43: "because its message format is too old",
    44: "by a policy of the cluster",
    76: "for its compression: set kafka.compression",
    87: "as an invalid record",
}
_MAX_IN_A_ROW = 10  # refusals in a row after which a topic refuses all messages
_PAUSE_S = 60.0
_MAX_KNOWN = 1000
_ROUNDING = 32  # bytes: client libraries overestimate a message's length a little


def is_refusal(error: object) -> bool:
    """Whether a broker, or the client for it, has refused a message and would do so again."""
    return getattr(error, "errno", None) in _REASONS


def reason_of(code: int) -> str:
    """Return why a message was refused, to follow "refuses it"."""
    return _REASONS.get(code, f"with Kafka's error {code}")


class Refusals:
    """Refused messages, by topic.

    A topic that has refused ten messages in a row, or to which there is no right to write,
    receives nothing for a minute; the messages for it count as refused.

    Parameters
    ----------
    settings : KafkaSettings
        Broker and topics.
    limits : TopicLimits, optional
        The topics' limits; by default, queried from the broker.
    now : callable
        The clock, in seconds.

    Attributes
    ----------
    counts : Counter
        Messages that were not published, by topic.
    limits : TopicLimits
        The topics' limits.
    """

    def __init__(
        self,
        settings: KafkaSettings,
        limits: TopicLimits | None = None,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        named = settings.topics
        topics = [*named.events.values(), named.state, named.dead_letters]
        self.counts: Counter[str] = Counter(dict.fromkeys(topics, 0))
        self.limits = limits or TopicLimits(settings, topics)
        self._max_bytes = settings.max_request_bytes - _ROUNDING
        self._compressed = settings.compression != "none"
        self._principal = principal(settings)
        self._dead_letters = named.dead_letters  # always compressed
        self._now = now
        self._in_a_row: Counter[str] = Counter()
        self._paused: dict[str, tuple[float, int]] = {}  # until when, and for which error
        self._known: dict[int, int] = {}  # hashes of messages, and for which error

    def expected_error(
        self, topic: str, key: bytes | None, value: bytes | None, headers: Headers
    ) -> int:
        """Return the code of the error for which a message would be refused, else 0."""
        until, code = self._paused.get(topic, (0.0, 0))
        if code and self._now() < until:
            return code
        max_bytes = self.max_bytes(topic)
        # Nearly every message is far below the limit: its exact size takes longer.
        if (
            max_batch_bytes(key, value, headers) > max_bytes
            and batch_bytes(key, value, headers) > max_bytes
        ):
            return _TOO_LARGE
        return self._known.get(hash((topic, key, value)), 0) if self._known else 0

    def max_bytes(self, topic: str) -> int:
        """Return how long a message may be, uncompressed, as far as is known."""
        compressed = self._compressed or topic == self._dead_letters
        reported = None if compressed else self.limits.reported(topic)
        known = (reported, self.limits.learned(topic), self._max_bytes)
        return min(limit for limit in known if limit is not None)

    def accepted(self, topic: str) -> None:
        """Take note that a topic accepts messages."""
        if self._in_a_row:
            self._in_a_row.pop(topic, None)

    def learn(
        self,
        topic: str,
        key: bytes | None,
        value: bytes | None,
        headers: Headers,
        error: BaseException,
    ) -> int:
        """Remember a message that was refused by itself; return the error's code."""
        code = int(getattr(error, "errno", 0))
        if code in TOO_LONG:
            self.limits.refused(topic, batch_bytes(key, value, headers))
            return code
        self._known[hash((topic, key, value))] = code
        if len(self._known) > _MAX_KNOWN:
            del self._known[next(iter(self._known))]
        self._in_a_row[topic] += 1
        if code == _NO_RIGHT or self._in_a_row[topic] >= _MAX_IN_A_ROW:
            self._paused[topic] = self._now() + _PAUSE_S, code
        return code

    def count(self, topic: str, key: bytes | None, size: int, code: int) -> None:
        """Count and log a message that is not published."""
        self.counts[topic] += 1
        # The log sums up lines of one template; each topic and reason has its own.
        refuses = (
            f"{self._principal} has no right to Write on topic {topic}"
            if code == _NO_RIGHT
            else f"topic {topic} refuses a message {reason_of(code)}"
        )
        template = f"{refuses}; %d bytes are not published"
        log.warning(template, size, extra={"station": (key or b"").decode("utf-8", "replace")})
