"""Each event once, whoever dies, loses its place, or is asked to stop in between."""

from __future__ import annotations

import itertools
from collections import Counter
from types import SimpleNamespace

import numpy as np
import pytest
from kafka import KafkaAdminClient, KafkaConsumer
from kafka.admin import MemberToRemove
from kafka.errors import IllegalGenerationError
from kafka.producer.transaction_manager import TxnOffsetCommitHandler
from kafka.structs import ConsumerGroupMetadata

from stream.audio import AudioChunk
from stream.drive import Stop, drive
from stream.events import Decision
from stream.kafka.client import ensure_topics
from stream.kafka.sender import Sender
from stream.kafka.sink import KafkaSink
from stream.kafka.source import KafkaSource
from stream.kafka.transactions import Transactions
from stream.kafka.wire import encode
from stream.watch import Nobody
from tests.integration.brokers import settings_of
from tests.integration.ear import read_all
from tests.stream.fakes import snapshot as snapshot_at

STATIONS, SECONDS, RATE = ("a", "b"), 60, 16000
TURNS = 500  # of a loop that waits for 0.1 s at the longest


class Seconds:
    """A pipeline that says of each second how loud it is, and knows where it is."""

    rate = RATE

    def __init__(self):
        self._next = {}

    def push(self, chunks, *, last=False):
        events = []
        for chunk in chunks:
            if chunk.start >= self._next.get(chunk.station, 0):
                loudness = float(np.abs(chunk.samples).mean())
                place = (chunk.station, chunk.start, chunk.end, chunk.rate, None)
                events.append(Decision(*place, loudness, 1 - loudness))
                self._next[chunk.station] = chunk.end
        return events

    def snapshot(self, station):
        return snapshot_at(self._next.get(station, 0))

    def restore(self, station, snapshot):
        self._next[station] = snapshot["oldest"]

    def forget(self, station):
        self._next.pop(station, None)


class DiedError(Exception):
    """The process is gone: nothing of it is finished."""


class Turns(Nobody):
    """Looks on at each turn of the loop, and ends it when a subscriber has seen everything."""

    def __init__(self, settings, source, stop, at_turn):
        self._settings = settings
        self._source = source
        self._stop = stop
        self._at_turn = at_turn
        self._last = dict.fromkeys(STATIONS, 0)
        self.count = 0

    def turn(self, batch, events):
        self.count += 1
        assert self.count < TURNS
        for event in events:
            if event.kind == "decision":
                self._last[event.station] = event.end // event.rate
        self._at_turn(
            SimpleNamespace(count=self.count, events=events, stop=self._stop, source=self._source)
        )
        everything = len(STATIONS) * SECONDS
        if min(self._last.values()) >= SECONDS and len(published(self._settings)) == everything:
            self._stop.request()


def work(settings, at_turn=lambda turn: None, checkpoint_s=0.03):
    """Run a worker until all is published, or it stops or dies; return its counts."""
    stop = Stop()
    transactions = Transactions(settings)
    source = KafkaSource(settings, transactions=transactions)
    sink = KafkaSink(settings, transactions)
    turns = Turns(settings, source, stop, at_turn)
    try:
        drive(source, Seconds(), [sink], checkpoint_s=checkpoint_s, stop=stop, observer=turns)
    except DiedError:
        source._consumer.close()  # the group would wait for the dead; its transaction stays open
        transactions._identity.close()
        return source.counts
    source.close()
    transactions.close()
    return source.counts


def dies_at(count):
    def at_turn(turn):
        if turn.count == count:
            raise DiedError

    return at_turn


def published(settings):
    """Return how often a subscriber that wants only what counts reads each event."""
    return Counter(record.value for record in read_all(settings, settings.topics.decisions))


@pytest.fixture(scope="module")
def audio(apache_kafka):
    """Publish a minute of two stations; return settings, and what one undisturbed worker says."""
    settings = settings_of(apache_kafka).model_copy(
        update={
            "exactly_once": True,
            "session_timeout_s": 10.0,
            "delivery_timeout_s": 20.0,
            "request_timeout_s": 20.0,
            "poll_messages": 4,
        }
    )
    rng = np.random.default_rng(5)
    ensure_topics(settings, [settings.topics.audio])
    sender = Sender(settings)
    for second in range(SECONDS):
        for station in STATIONS:
            loud = 0.3 if second // 10 % 2 else 0.01
            samples = (loud * rng.standard_normal(RATE)).astype(np.float32)
            message = encode(AudioChunk(station, second * RATE, samples, RATE))
            sender.send(settings.topics.audio, message.key, message.value, message.headers)
    sender.flush()
    sender.close()
    calm = with_own_group(settings, "calm")
    work(calm)
    expected = published(calm)
    assert set(expected.values()) == {1}
    return settings, expected


def with_own_group(settings, name):
    """Return settings with a group and event topics of their own, and the same audio."""
    name = f"{settings.group}-{name}"
    kinds = ("decisions", "segments", "matches", "gaps", "state")
    topics = settings.topics.model_copy(update={kind: f"{name}.{kind}" for kind in kinds})
    return settings.model_copy(update={"group": name, "transactional_id": name, "topics": topics})


def test_each_event_once_whoever_dies(audio):
    settings, expected = audio
    deaths = with_own_group(settings, "deaths")
    for turn in (3, 9, 14):
        work(deaths, dies_at(turn))
    work(deaths)
    assert published(deaths) == expected


def refuse(response):
    """Let an answer say that the group has given the partitions to others."""
    for topic in response.topics:
        for partition in topic.partitions:
            partition.error_code = IllegalGenerationError.errno


def test_each_event_once_whoever_loses_its_place(audio, monkeypatch):
    # Once the member itself does not know its place, and twice the broker refuses its commit.
    settings, expected = audio
    unsure = with_own_group(settings, "unsure")
    nobody = ConsumerGroupMetadata(unsure.group, -1, "", None)
    real = KafkaConsumer.group_metadata
    asked = itertools.count()
    monkeypatch.setattr(
        KafkaConsumer,
        "group_metadata",
        lambda consumer: nobody if next(asked) == 2 else real(consumer),
    )
    handle, answers = TxnOffsetCommitHandler.handle_response, itertools.count()

    def handle_response(handler, response):
        if next(answers) in (3, 6):
            refuse(response)
        handle(handler, response)

    monkeypatch.setattr(TxnOffsetCommitHandler, "handle_response", handle_response)
    assert work(unsure)["commit_failures"] == 3
    assert published(unsure) == expected


def unknown_to_itself(settings, source, patched):
    del source
    nobody = ConsumerGroupMetadata(settings.group, -1, "", None)
    real, asked = KafkaConsumer.group_metadata, itertools.count()
    patched.setattr(
        KafkaConsumer,
        "group_metadata",
        lambda consumer: real(consumer) if next(asked) else nobody,
    )


def refused_once(settings, source, patched):
    del settings, source
    handle, answers = TxnOffsetCommitHandler.handle_response, itertools.count()

    def handle_response(handler, response):
        if next(answers) == 0:
            refuse(response)
        handle(handler, response)

    patched.setattr(TxnOffsetCommitHandler, "handle_response", handle_response)


def removed_from_the_group(settings, source, patched):
    del patched
    member = source._consumer.group_metadata().member_id
    with KafkaAdminClient(bootstrap_servers=settings.bootstrap_servers) as admin:
        admin.remove_group_members(settings.group, [MemberToRemove(member_id=member)])


@pytest.mark.parametrize("loses_place", [unknown_to_itself, refused_once, removed_from_the_group])
@pytest.mark.parametrize("checkpoint_s", [0.0, 60.0])
def test_a_stop_after_a_commit_that_was_refused_commits_no_offsets(
    audio, monkeypatch, loses_place, checkpoint_s
):
    # The last checkpoint follows the refused one at once (0 s), or is the refused one (60 s).
    settings, expected = audio
    stopped = with_own_group(settings, f"{loses_place.__name__}-{checkpoint_s:g}")

    with monkeypatch.context() as patched:

        def at_turn(turn):
            if any(event.end >= 20 * RATE for event in turn.events) and not turn.stop.requested:
                loses_place(stopped, turn.source, patched)
                turn.stop.request()

        assert work(stopped, at_turn, checkpoint_s)["commit_failures"] == 1
    assert len(published(stopped)) < len(expected)
    work(stopped)
    assert published(stopped) == expected
