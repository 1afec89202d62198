"""Sends dead letters to the audio topic again, each attempt once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from stream.kafka.client.connect import ensure_topics
from stream.kafka.client.limits import TopicLimits
from stream.kafka.client.producer import Sender
from stream.kafka.client.refusals import Refusals, reason_of
from stream.kafka.client.tail import follow
from stream.kafka.codec.dead_letter import Ledger, as_note, as_replay, read_dead_letter

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from stream.kafka.client.producer import Sent
    from stream.kafka.codec.dead_letter import DeadLetter
    from stream.kafka.settings import KafkaSettings
    from stream.runner import Stop

_AT_ONCE = 100  # sent, then noted: a replay that dies in between sends so many twice


@dataclass(slots=True)
class Replayed:
    """What a replay did, in messages."""

    sent: int = 0
    sent_before: int = 0
    not_sent: int = 0


def letters_on(settings: KafkaSettings, stop: Stop) -> Iterator[tuple[int, DeadLetter]]:
    """Yield what is on the dead letter topic now, with its partition: oldest first in each."""
    topic = settings.topics.dead_letters
    for record in follow(settings, [topic], stop=stop, from_start=True, until_end=True):
        yield record.partition, read_dead_letter(record)


def open_letters(
    settings: KafkaSettings, station: str | None, stop: Stop, result: Replayed
) -> Iterator[tuple[int, DeadLetter]]:
    """Yield each message that was refused and not sent again since, by its newest letter.

    Parameters
    ----------
    settings : KafkaSettings
        Broker and topic; the topic is created if it is missing.
    station : str, optional
        Only of this one.
    stop : Stop
        Looked at several times a second.
    result : Replayed
        Is told how many messages were sent again before.
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
    """Send each open letter to the audio topic, as it came, and note beside it that this is done.

    Parameters
    ----------
    settings : KafkaSettings
        Broker and topics; they are created if they are missing.
    stop : Stop
        Looked at before every message.
    complain : callable
        Is given one line for each letter that is not sent, and why.
    station : str, optional
        Only of this one.
    limit : int > 0, optional
        Messages to send at most.

    Raises
    ------
    BrokerError
        No broker answers.
    """
    audio, dead_letters = settings.topics.audio, settings.topics.dead_letters
    ensure_topics(settings, {audio: ["Write"]})
    limits = TopicLimits(settings, [audio, dead_letters])
    sender = Sender(settings, refusals=Refusals(settings, limits), counts=False)
    result = Replayed()
    waiting: list[tuple[int, DeadLetter, Sent]] = []
    try:
        for partition, letter in open_letters(settings, station, stop, result):
            if stop.requested or result.sent + len(waiting) == limit:
                break
            if reason := _cannot_be_sent(letter):
                result.not_sent += 1
                complain(f"{letter.origin} is not sent: {reason}")
                continue
            message = as_replay(letter)
            sent = sender.send(audio, *message, timestamp_ms=letter.timestamp_ms)
            waiting.append((partition, letter, sent))
            if len(waiting) == _AT_ONCE:
                _note(sender, settings, waiting, result, complain)
        _note(sender, settings, waiting, result, complain)
    finally:
        sender.close()
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
    sender: Sender,
    settings: KafkaSettings,
    waiting: list[tuple[int, DeadLetter, Sent]],
    result: Replayed,
    complain: Callable[[str], None],
) -> None:
    """Wait until the broker has what was sent, and write down that it has."""
    sender.flush()
    notes = []
    for partition, letter, sent in waiting:
        if sent.code:
            result.not_sent += 1
            why = reason_of(sent.code)
            complain(f"{letter.origin} is not sent: topic {settings.topics.audio} refuses it {why}")
            continue
        result.sent += 1
        notes.append(sender.send(settings.topics.dead_letters, *as_note(letter), partition))
    sender.flush()
    if refused := next((note.code for note in notes if note.code), 0):
        complain(
            f"what was sent could not be noted, and the next replay sends it again: topic "
            f"{settings.topics.dead_letters} refuses it {reason_of(refused)}"
        )
    waiting.clear()
