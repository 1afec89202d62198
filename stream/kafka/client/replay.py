"""Sends dead letters to the audio topic again, each once per refusal."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from stream.kafka.client.connect import ensure_topics
from stream.kafka.client.limits import TopicLimits
from stream.kafka.client.producer import Producer
from stream.kafka.client.refusals import Refusals, reason_of
from stream.kafka.client.tail import follow
from stream.kafka.codec.dead_letter import Ledger, as_note, as_replay, read_dead_letter

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from stream.kafka.client.producer import SentMessage
    from stream.kafka.codec.dead_letter import DeadLetter
    from stream.kafka.settings import KafkaSettings
    from stream.runner import Stop

_BATCH = 100  # sent, then marked: a replay that dies in between sends at most these twice


@dataclass(slots=True)
class Replayed:
    """Result of a replay, in messages."""

    sent: int = 0
    sent_before: int = 0
    not_sent: int = 0


def letters_on(settings: KafkaSettings, stop: Stop) -> Iterator[tuple[int, DeadLetter]]:
    """Yield the dead letters on the topic now, with their partition; oldest first in each."""
    topic = settings.topics.dead_letters
    for record in follow(settings, [topic], stop=stop, from_start=True, until_end=True):
        yield record.partition, read_dead_letter(record)


def open_letters(
    settings: KafkaSettings, station: str | None, stop: Stop, result: Replayed
) -> Iterator[tuple[int, DeadLetter]]:
    """Yield the newest letter of each message that was not sent again since.

    Parameters
    ----------
    settings : KafkaSettings
        Broker and topic; the topic is created if it is missing.
    station : str, optional
        Only letters of this one.
    stop : Stop
        Checked several times a second.
    result : Replayed
        Counts the messages that were sent again before.
    """
    ensure_topics(settings, {settings.topics.dead_letters: ["Read"]})
    ledger, seen = Ledger(), set()
    for _, letter in letters_on(settings, stop):
        ledger.note(letter)
    for partition, letter in letters_on(settings, stop):
        # A letter may be on the topic twice.
        if not ledger.is_newest(letter) or letter.identity in seen:
            continue
        if station is not None and letter.station != station:
            continue
        seen.add(letter.identity)
        if ledger.is_open(letter):
            yield partition, letter
        else:
            result.sent_before += 1


def replay(
    settings: KafkaSettings,
    *,
    stop: Stop,
    complain: Callable[[str], None],
    station: str | None = None,
    limit: int | None = None,
) -> Replayed:
    """Send each open letter to the audio topic unchanged, and mark it as sent on its own topic.

    Parameters
    ----------
    settings : KafkaSettings
        Broker and topics; they are created if they are missing.
    stop : Stop
        Checked before every message.
    complain : callable
        Receives one line for each letter that is not sent, with the reason.
    station : str, optional
        Only letters of this one.
    limit : int > 0, optional
        Maximum number of messages to send.

    Raises
    ------
    BrokerError
        No broker answers.
    """
    audio, dead_letters = settings.topics.audio, settings.topics.dead_letters
    ensure_topics(settings, {audio: ["Write"]})
    limits = TopicLimits(settings, [audio, dead_letters])
    producer = Producer(settings, refusals=Refusals(settings, limits), counts=False)
    result = Replayed()
    waiting: list[tuple[int, DeadLetter, SentMessage]] = []
    try:
        for partition, letter in open_letters(settings, station, stop, result):
            if stop.requested or result.sent + len(waiting) == limit:
                break
            if reason := _cannot_be_sent(letter):
                result.not_sent += 1
                complain(f"{letter.origin} is not sent: {reason}")
                continue
            message = as_replay(letter)
            sent = producer.send(audio, *message, timestamp_ms=letter.timestamp_ms)
            waiting.append((partition, letter, sent))
            if len(waiting) == _BATCH:
                _note(producer, settings, waiting, result, complain)
        _note(producer, settings, waiting, result, complain)
    finally:
        producer.close()
    return result


def _cannot_be_sent(letter: DeadLetter) -> str:
    if letter.truncated:
        return f"only its beginning is left ({letter.truncated}); send it again from where it came"
    if letter.is_raw:
        return "it is no message, but a batch that cannot be read; have its producer send it again"
    if letter.message.key is None and letter.message.value is None:
        return "it has neither key nor value, so there is nothing to send"
    return ""


def _note(
    producer: Producer,
    settings: KafkaSettings,
    waiting: list[tuple[int, DeadLetter, SentMessage]],
    result: Replayed,
    complain: Callable[[str], None],
) -> None:
    """Wait until the broker has what was sent, and mark the letters as sent."""
    producer.flush()
    notes = []
    for partition, letter, sent in waiting:
        if sent.code:
            result.not_sent += 1
            why = reason_of(sent.code)
            complain(f"{letter.origin} is not sent: topic {settings.topics.audio} refuses it {why}")
            continue
        result.sent += 1
        notes.append(producer.send(settings.topics.dead_letters, *as_note(letter), partition))
    producer.flush()
    if refused := next((note.code for note in notes if note.code), 0):
        complain(
            f"what was sent could not be noted, and the next replay sends it again: topic "
            f"{settings.topics.dead_letters} refuses it {reason_of(refused)}"
        )
    waiting.clear()
