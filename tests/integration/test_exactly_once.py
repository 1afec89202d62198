"""Each event once, even if a worker dies, loses its partitions or is stopped in between."""

from __future__ import annotations

import itertools
from contextlib import closing

import pytest
from kafka import KafkaAdminClient, KafkaConsumer
from kafka.admin import MemberToRemove
from kafka.errors import IllegalGenerationError
from kafka.producer.transaction_manager import TxnOffsetCommitHandler
from kafka.structs import ConsumerGroupMetadata

from stream.kafka.client.connect import ensure_topics
from stream.kafka.client.producer import Producer
from tests.integration.brokers import settings_of
from tests.integration.seconds import (
    RATE,
    SECONDS,
    dies_at,
    published,
    send_seconds,
    with_own_group,
    work,
)


@pytest.fixture(scope="module")
def audio(apache_kafka):
    """Publish a minute of two stations; return settings and one undisturbed worker's events."""
    settings = settings_of(apache_kafka).model_copy(
        update={
            "exactly_once": True,
            "session_timeout_s": 10.0,
            "delivery_timeout_s": 20.0,
            "request_timeout_s": 20.0,
            "poll_messages": 4,
        }
    )
    ensure_topics(settings, [settings.topics.audio])
    with closing(Producer(settings)) as sender:
        send_seconds(sender, settings.topics.audio, range(SECONDS))
    calm = with_own_group(settings, "calm")
    work(calm)
    expected = published(calm)
    assert set(expected.values()) == {1}
    return settings, expected


def test_each_event_once_after_a_death(audio):
    settings, expected = audio
    deaths = with_own_group(settings, "deaths")
    for iteration in (3, 9, 14):
        work(deaths, dies_at(iteration))
    work(deaths)
    assert published(deaths) == expected


def refuse(response):
    """Let an answer report that the partitions were reassigned."""
    for topic in response.topics:
        for partition in topic.partitions:
            partition.error_code = IllegalGenerationError.errno


def test_each_event_once_after_lost_partitions(audio, monkeypatch):
    # Once the member itself does not know its place, and twice the broker refuses its commit.
    settings, expected = audio
    unsure = with_own_group(settings, "unsure")
    nobody = ConsumerGroupMetadata(unsure.group, -1, "", None)
    real = KafkaConsumer.group_metadata
    calls = itertools.count()
    monkeypatch.setattr(
        KafkaConsumer,
        "group_metadata",
        lambda consumer: nobody if next(calls) == 2 else real(consumer),
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
    real, calls = KafkaConsumer.group_metadata, itertools.count()
    patched.setattr(
        KafkaConsumer,
        "group_metadata",
        lambda consumer: real(consumer) if next(calls) else nobody,
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

        def on_iteration(observer):
            if (
                any(event.end >= 20 * RATE for event in observer.events)
                and not observer.stop.requested
            ):
                loses_place(stopped, observer.source, patched)
                observer.stop.request()

        assert work(stopped, on_iteration, checkpoint_s)["commit_failures"] == 1
    assert len(published(stopped)) < len(expected)
    work(stopped)
    assert published(stopped) == expected
