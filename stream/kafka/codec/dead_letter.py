"""Dead letters: messages that could not be processed, with the reason, origin and time.

A message may be refused several times: each refusal after a replay has the first origin and
timestamp of the message, and the next attempt number. The newest attempt of each message is open
until its replay is noted on the topic.
"""

from __future__ import annotations

import re
import time
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from stream.kafka.codec.message import Message
from stream.kafka.records.consumer_record import Unreadable
from stream.kafka.records.size import batch_bytes

if TYPE_CHECKING:
    from collections.abc import Iterable

    from stream.kafka.codec.headers import Headers
    from stream.kafka.records.consumer_record import ConsumerRecord

PREFIX = "airsift-"
# Headers of a replayed message that identify it if it is refused again. `truncated` is read by
# `stream.kafka.codec.headers`: part of a message must not be processed.
_PAST = ("topic", "partition", "kafka-offset", "attempt", "timestamp-ms", "truncated")
_MAX_ATTEMPT = 10**6
_MAX_NUMBER = 2**63 - 1
_TOPIC = re.compile(r"[A-Za-z0-9._-]{1,249}")
_MAX_REASON = 1000  # characters
_RESERVE = 200  # bytes for `truncated`
_MAX_KEY = 1024  # bytes of a key too long to be sent with the letter
_BLOCK = 64 * 1024


class Origin(NamedTuple):
    """The partition and offset of a message when it was first refused."""

    topic: str
    partition: int
    kafka_offset: int

    def __str__(self) -> str:
        return f"{self.topic}[{self.partition}] {self.kafka_offset}"


def as_dead_letter(
    message: ConsumerRecord, reason: str, *, max_bytes: int, max_raw_bytes: int | None = None
) -> Message:
    """Return the dead letter for a message that does not decode.

    Key, value and headers are the original's; further headers give the reason, see docs/topics.md.
    A message that is too long is cut to the beginning of its value; long keys and headers are cut
    more. If no client can read the message, the letter contains the broker's bytes.

    Parameters
    ----------
    message : ConsumerRecord
        The message.
    reason : str
        Why it was refused, in one line.
    max_bytes : int > 0
        Limit of the topic for a batch, compressed by gzip.
    max_raw_bytes : int > 0, optional
        Limit before compression; by default the same.
    """
    past = _fields(message.headers)
    fields = {"reason": reason[: min(_MAX_REASON, max_bytes // 8)], **_origin_fields(message, past)}
    fields["time-ms"] = str(round(time.time() * 1000))
    if "truncated" in past:
        fields["truncated"] = past["truncated"][:_RESERVE]
    key, value = message.key, message.value
    if isinstance(value, Unreadable):
        if value.is_raw:
            fields["last-kafka-offset"] = str(value.last_offset)
        value = bytes(value)
    if key is None and value is None:  # Kafka's clients send no such message
        fields["null-value"], value = "1", b""
    # A name that is not UTF-8 cannot be sent as it is.
    headers = [
        (name.encode("utf-8", "replace").decode(), content or b"")
        for name, content in message.headers
        if not name.startswith(PREFIX)
    ]
    own = _as_headers(fields)
    raw = max(max_bytes, max_raw_bytes or 0)
    if batch_bytes(key, value, headers + own) <= max_bytes:
        return Message(key, value, headers + own)
    return _cut(Message(key, value, headers), fields, max_bytes, raw)


def _cut(whole: Message, fields: dict[str, str], max_bytes: int, max_raw_bytes: int) -> Message:
    """Return the beginning of a letter, as long as its topic allows."""
    room = max(max_bytes - batch_bytes(None, b"", _as_headers(fields)) - _RESERVE, 0)
    key, value, headers = whole.key, whole.value, list[tuple[str, bytes]]()
    if key is not None and len(key) > room // 4:
        key = key[: min(_MAX_KEY, room // 4)]
    around = len(key or b"")
    for name, content in whole.headers:
        size = len(name.encode()) + len(content) + 10
        if around + size <= room // 2:
            headers.append((name, content))
            around += size
    if value is not None:
        left = max(room - around, 0)
        value = value[: _prefix(value, left, max(max_raw_bytes - (max_bytes - left), left))]
    parts = [
        f"{name} {left} of {size}"
        for name, left, size in (
            ("value", len(value or b""), len(whole.value or b"")),
            ("key", len(key or b""), len(whole.key or b"")),
            ("headers", len(headers), len(whole.headers)),
        )
        if left < size
    ]
    if parts and "truncated" not in fields:
        fields = fields | {"truncated": ", ".join(parts)}
    return Message(key, value, headers + _as_headers(fields))


def _prefix(value: bytes, room: int, max_raw: int) -> int:
    """Return how many bytes of a value, `max_raw` at most, take up no more than `room` in gzip.

    Audio does not compress, so the work is proportional to the result.
    """
    if len(value) <= room:
        return len(value)
    deflate, used, at = zlib.compressobj(1), _RESERVE, 0
    while at < min(len(value), max_raw):
        block = value[at : min(at + _BLOCK, max_raw)]
        used += len(deflate.compress(block)) + len(deflate.flush(zlib.Z_SYNC_FLUSH))
        if used > room:
            break
        at += len(block)
    return max(at, room)


def _origin_fields(message: ConsumerRecord, past: dict[str, str]) -> dict[str, str]:
    """Return the headers that identify a message, also if it was refused before."""
    origin = None if "replayed" in past else _origin(past)
    attempt = 1
    timestamp = str(message.timestamp) if _is_number(message.timestamp) else None
    if origin is not None:
        attempt = min(_number(past.get("attempt")) or 1, _MAX_ATTEMPT - 1) + 1
        known = _number(past.get("timestamp-ms"))
        timestamp = None if known is None else str(known)
    topic, partition, at = origin or (message.topic, message.partition, message.offset)
    fields = {
        "topic": topic,
        "partition": str(partition),
        "kafka-offset": str(at),
        "attempt": str(attempt),
    }
    return fields | ({} if timestamp is None else {"timestamp-ms": timestamp})


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A message of the dead letter topic.

    Parameters
    ----------
    message : Message
        As it was received.
    station : str
        Its key, as text.
    origin : Origin
        Where it was first refused; the letter itself, if another program wrote it.
    attempt : int > 0
        Number of refusals.
    time_ms : int, optional
        Time of the last refusal, Unix time in milliseconds.
    timestamp_ms : int, optional
        Timestamp of the original record.
    reason : str
        Reason of the refusal.
    truncated : str
        The parts that were cut, "" if it is complete.
    replayed : bool
        Whether this is not a letter, but the note that the attempt was replayed.
    is_raw : bool
        Whether its value is the raw bytes of a batch that no client can read.
    """

    message: Message
    station: str
    origin: Origin
    attempt: int
    time_ms: int | None
    timestamp_ms: int | None
    reason: str
    truncated: str
    replayed: bool
    is_raw: bool

    @property
    def identity(self) -> tuple[Origin, int | None]:
        """Identifies a message: offsets alone repeat if a topic is recreated."""
        return self.origin, self.timestamp_ms


def read_dead_letter(record: ConsumerRecord) -> DeadLetter:
    """Return a message of the dead letter topic.

    Parameters
    ----------
    record : ConsumerRecord
        It may be from any program that may write to the topic, so nothing in it is trusted.
    """
    fields = _fields(record.headers)
    headers = [(n, v or b"") for n, v in record.headers if not n.startswith(PREFIX)]
    value = None if "null-value" in fields else record.value
    return DeadLetter(
        message=Message(record.key, value, headers),
        station=(record.key or b"").decode("utf-8", "replace"),
        origin=_origin(fields) or Origin(record.topic, record.partition, record.offset),
        attempt=min(max(_number(fields.get("attempt")) or 1, 1), _MAX_ATTEMPT),
        time_ms=_time(fields.get("time-ms")),
        timestamp_ms=_number(fields.get("timestamp-ms")),
        reason=fields.get("reason", "(no reason)"),
        truncated=fields.get("truncated", ""),
        replayed="replayed" in fields,
        is_raw="last-kafka-offset" in fields,
    )


def as_replay(letter: DeadLetter) -> Message:
    """Return the original message, with the headers that identify it if it is refused again."""
    return letter.message._replace(headers=letter.message.headers + _past_of(letter))


def as_note(letter: DeadLetter) -> Message:
    """Return the note that a letter was replayed."""
    done = {"replayed": str(round(time.time() * 1000))}
    return Message(letter.message.key, b"", _past_of(letter) + _as_headers(done))


class Ledger:
    """The open letters of a topic: refused, and not replayed since."""

    def __init__(self) -> None:
        # The newest attempt of each message, by its identity.
        self._refused: dict[tuple[Origin, int | None], int] = {}
        self._replayed: dict[tuple[Origin, int | None], int] = {}

    def note(self, letter: DeadLetter) -> None:
        """Process a message of the topic, in any order."""
        known = self._replayed if letter.replayed else self._refused
        known[letter.identity] = max(known.get(letter.identity, 0), letter.attempt)

    def is_newest(self, letter: DeadLetter) -> bool:
        """Whether no later refusal of the same message is known."""
        return not letter.replayed and letter.attempt >= self._refused.get(letter.identity, 0)

    def is_open(self, letter: DeadLetter) -> bool:
        """Whether a letter is the newest of its message, and not replayed."""
        return self.is_newest(letter) and letter.attempt > self._replayed.get(letter.identity, 0)


def _past_of(letter: DeadLetter) -> Headers:
    topic, partition, at = letter.origin
    values = (topic, partition, at, letter.attempt, letter.timestamp_ms, letter.truncated or None)
    fields = {name: str(v) for name, v in zip(_PAST, values, strict=True) if v is not None}
    return _as_headers(fields)


def _as_headers(fields: dict[str, str]) -> Headers:
    return [(PREFIX + name, text.encode("utf-8", "replace")) for name, text in fields.items()]


def _fields(headers: Iterable[tuple[str, bytes]]) -> dict[str, str]:
    return {
        name.removeprefix(PREFIX): (content or b"").decode("utf-8", "replace")
        for name, content in headers
        if name.startswith(PREFIX)
    }


def _origin(fields: dict[str, str]) -> Origin | None:
    """Return the origin in a message's headers, if there is one."""
    topic, partition, at = (fields.get(name, "") for name in _PAST[:3])
    if not _TOPIC.fullmatch(topic):
        return None
    numbers = _number(partition), _number(at)
    return None if None in numbers else Origin(topic, numbers[0] or 0, numbers[1] or 0)


def _number(text: str | None) -> int | None:
    if not text or len(text) > 19 or not (text.isascii() and text.isdigit()):
        return None
    return int(text) if int(text) <= _MAX_NUMBER else None


def _is_number(value: object) -> bool:
    return isinstance(value, int) and 0 <= value <= _MAX_NUMBER


def _time(text: str | None) -> int | None:
    # As long as datetime can show: a date of the year 9999 has 15 digits.
    return _number(text) if text and len(text) <= 14 else None
