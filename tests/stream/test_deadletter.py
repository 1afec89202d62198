"""A dead letter is one message, however often it was refused and sent again."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from stream.kafka.codec.dead_letter import (
    Ledger,
    Origin,
    as_dead_letter,
    as_note,
    as_replay,
    read_dead_letter,
)
from stream.kafka.records.consumer_record import Received, Unreadable
from stream.kafka.records.size import batch_bytes
from tests.examples import examples

names = st.one_of(
    st.text(max_size=8),
    st.sampled_from(["airsift-topic", "airsift-attempt", "airsift-kafka-offset", "rate", "\udcff"]),
)
headers = st.lists(st.tuples(names, st.one_of(st.none(), st.binary(max_size=60))), max_size=5)
keys = st.one_of(st.none(), st.binary(max_size=200))
values = st.one_of(st.none(), st.binary(max_size=4000))


def record(topic: str, at: int, message: Any, timestamp: int = 5) -> Any:
    return Received(topic, 0, at, timestamp, message.key, message.value, message.headers)


@examples(300)
@given(keys, values, headers, st.integers(-1, 2**63 - 1), st.integers(700, 6000), st.text())
def test_a_letter_fits_and_names_what_is_left(key, value, headers, timestamp, limit, reason):
    message = Received("audio", 3, 7, timestamp, key, value, headers)
    letter = as_dead_letter(message, reason, max_bytes=limit)
    assert batch_bytes(*letter) <= limit
    read = read_dead_letter(record("letters", 0, letter))
    theirs = [(n, v or b"") for n, v in headers if not n.startswith("airsift-")]
    whole = (value, key, len(theirs))
    left = (read.message.value, read.message.key, len(read.message.headers))
    assert bool(read.truncated) == (left != whole)
    if read.message.value is not None:
        assert value.startswith(read.message.value)
    if not read.truncated:
        assert read.message.headers == [
            (n.encode("utf-8", "replace").decode(), v) for n, v in theirs
        ]


@examples(100)
@given(st.sampled_from([0, 300, 70_000, 400_000]), st.integers(5000, 100_000))
def test_what_takes_no_room_is_left_whole(size, limit):
    message = Received("audio", 3, 7, 0, b"a", bytes(size), [])
    letter = as_dead_letter(message, "zeros", max_bytes=limit, max_raw_bytes=10**6)
    assert letter.value == bytes(size)


def test_the_work_of_cutting_is_bounded_by_what_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    from stream.kafka.codec import dead_letter

    seen = []

    class Counting:
        def __init__(self, level: int) -> None:
            self.inner = zlib_compressobj(level)

        def compress(self, block: bytes) -> bytes:
            seen.append(len(block))
            return self.inner.compress(block)

        def flush(self, mode: int) -> bytes:
            return self.inner.flush(mode)

    zlib_compressobj = dead_letter.zlib.compressobj
    monkeypatch.setattr(dead_letter.zlib, "compressobj", Counting)
    import random

    message = Received("audio", 3, 7, 0, b"a", random.Random(1).randbytes(20_000_000), [])
    as_dead_letter(message, "noise", max_bytes=1_000_000, max_raw_bytes=16_000_000)
    assert 1_000_000 <= sum(seen) + 65536 <= 1_200_000


class Topics(RuleBasedStateMachine):
    """Garbage arrives, letters are sent again by airsift and by others, and may be refused again.

    The worker may write a letter twice, and a replay may die before it notes what it sent.
    """

    def __init__(self) -> None:
        super().__init__()
        self.audio: list[Any] = []
        self.read = 0
        self.letters: list[Any] = []
        self.originals: set[int] = set()
        self.sent: dict[tuple[Origin, int], int] = {}  # by airsift, of each attempt
        self.unnoted: set[tuple[Origin, int]] = set()

    @rule(value=st.binary(max_size=3), stamp=st.integers(-1, 9))
    def arrive(self, value: bytes, stamp: int) -> None:
        at = len(self.audio)
        self.originals.add(at)
        self.audio.append(Received("audio", 0, at, stamp, b"a", value, [("rate", b"1")]))

    @precondition(lambda self: self.read < len(self.audio))
    @rule(refused=st.booleans(), twice=st.booleans())
    def work(self, refused: bool, twice: bool) -> None:
        message, self.read = self.audio[self.read], self.read + 1
        new = message.offset in self.originals and not any(
            name == "airsift-topic" for name, _ in message.headers
        )
        if refused or new:
            for _ in range(1 + twice):
                letter = as_dead_letter(message, "no audio", max_bytes=10**6)
                self.letters.append(record("letters", len(self.letters), letter))

    @rule(limit=st.integers(1, 3), dies=st.booleans())
    def replay(self, limit: int, dies: bool) -> None:
        sent = self.open()[:limit]
        for letter in sent:
            self.audio.append(record("audio", len(self.audio), as_replay(letter)))
            key = letter.origin, letter.attempt
            self.sent[key] = self.sent.get(key, 0) + 1
            if dies:
                self.unnoted.add(key)
            else:
                note = record("letters", len(self.letters), as_note(letter))
                self.letters.append(note)

    @precondition(lambda self: self.letters)
    @rule(data=st.data())
    def somebody_else_sends_one_back(self, data: st.DataObject) -> None:
        copied = data.draw(st.sampled_from(self.letters))
        if not any(name == "airsift-replayed" for name, _ in copied.headers):
            self.audio.append(copied._replace(topic="audio", offset=len(self.audio)))

    def open(self) -> list[Any]:
        ledger, seen, found = Ledger(), set(), []
        read = [read_dead_letter(each) for each in self.letters]
        for letter in read:
            ledger.note(letter)
        for letter in read:
            if ledger.is_open(letter) and letter.identity not in seen:
                seen.add(letter.identity)
                found.append(letter)
        return found

    @invariant()
    def no_more_letters_than_originals(self) -> None:
        live = self.open()
        assert len(live) <= len(self.originals)
        assert {letter.origin.kafka_offset for letter in live} <= self.originals
        for letter in live:
            original = self.audio[letter.origin.kafka_offset]
            assert letter.message.value == original.value
            assert letter.message.headers == original.headers
            assert (letter.timestamp_ms or 0) == max(original.timestamp, 0)

    @invariant()
    def each_attempt_is_sent_once_unless_a_replay_died(self) -> None:
        assert all(count == 1 or key in self.unnoted for key, count in self.sent.items())


TestTopics = Topics.TestCase
TestTopics.settings = examples(60, stateful_step_count=40)


def test_nothing_in_a_letter_is_taken_for_granted() -> None:
    fields = {
        "topic": b"\xff/../x",
        "partition": b"-1",
        "kafka-offset": "٣".encode(),
        "attempt": b"9" * 5000,
        "time-ms": b"9" * 19,
        "timestamp-ms": b"1e9",
    }
    forged = [(f"airsift-{name}", value) for name, value in fields.items()]
    letter = read_dead_letter(
        SimpleNamespace(
            topic="letters", partition=1, offset=2, key=b"\xff", value=b"v", headers=forged
        )
    )
    assert letter.origin == Origin("letters", 1, 2)
    assert (letter.attempt, letter.time_ms, letter.timestamp_ms) == (1, None, None)
    again = as_dead_letter(Received("audio", 3, 7, 5, b"a", b"x", forged), "no", max_bytes=10**4)
    assert read_dead_letter(record("letters", 0, again)).origin == Origin("audio", 3, 7)


def test_a_note_that_is_taken_for_audio_is_no_attempt_of_its_letter() -> None:
    message = Received("audio", 0, 1, 5, b"a", b"x", [])
    letter = read_dead_letter(record("t", 0, as_dead_letter(message, "no", max_bytes=10**4)))
    note = record("audio", 9, as_note(letter))
    refused = read_dead_letter(record("letters", 1, as_dead_letter(note, "no", max_bytes=10**4)))
    assert (refused.origin, refused.attempt) == (Origin("audio", 0, 9), 1)
    assert replace(letter, attempt=2).origin != refused.origin


@pytest.mark.parametrize("is_raw", [True, False])
def test_a_batch_that_cannot_be_read_is_known_as_one_and_a_message_is_not(is_raw):
    value = Unreadable.of(b"bytes", "bad", 9, is_raw=is_raw)
    message = Received("audio", 3, 7, -1, None if is_raw else b"a", value, [])
    letter = as_dead_letter(message, "bad", max_bytes=5000)
    assert type(letter.value) is bytes  # kafka-python sends no subclass
    read = read_dead_letter(record("letters", 0, letter))
    assert (read.is_raw, read.message.value) == (is_raw, b"bytes")
    # A header that a producer made up makes none of a message.
    forged = Received("audio", 3, 7, -1, b"a", b"", [("airsift-last-kafka-offset", b"9")])
    letter = as_dead_letter(forged, "bad", max_bytes=5000)
    assert not read_dead_letter(record("letters", 0, letter)).is_raw


@pytest.mark.parametrize("sent_again", [True, False])
def test_a_topic_made_anew_brings_letters_of_its_own(sent_again):
    """Kafka counts its messages from 0 again, so places repeat."""
    ledger, letters = Ledger(), []
    for timestamp, attempts in ((5, 2), (6, 1)):
        message = Received("audio", 0, 3, timestamp, b"a", b"%d" % timestamp, [])
        for _ in range(attempts):
            letter = read_dead_letter(
                record("letters", 0, as_dead_letter(message, "no", max_bytes=10**4))
            )
            message = record("audio", 9, as_replay(letter), timestamp=77)
        letters.append(letter)
        ledger.note(letter)
    if sent_again:
        ledger.note(read_dead_letter(record("letters", 0, as_note(letters[0]))))
    assert [ledger.is_open(letter) for letter in letters] == [not sent_again, True]
