"""Only offsets that the broker has reported are committed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from kafka import TopicPartition

from stream.kafka.client.producer import SentMessage
from stream.kafka.settings import KafkaSettings
from stream.testing import noise
from tests.integration.source_reader import RATE, SourceReader, read_all, send
from tests.stream.doubles import snapshot


@pytest.mark.parametrize("reported", [[True, False, True], [False, False, False]])
def test_a_record_that_the_broker_does_not_place_moves_no_offset(
    kafka_settings: KafkaSettings,
    open_reader: Callable[[KafkaSettings], SourceReader],
    monkeypatch: pytest.MonkeyPatch,
    reported: list[bool],
) -> None:
    reader, commits = open_reader(kafka_settings), list[dict[TopicPartition, Any]]()
    commit = reader.source._consumer.commit
    monkeypatch.setattr(
        reader.source._consumer, "commit", lambda o, **kw: (commits.append(o), commit(o, **kw))
    )
    place = SentMessage.kafka_offset.fget  # type: ignore[attr-defined]
    state = kafka_settings.topics.state
    newest = 0
    for turn, known in enumerate(reported):
        monkeypatch.setattr(
            SentMessage, "kafka_offset", property(place if known else lambda _: None)
        )
        send(kafka_settings, "a", noise(2))
        reader.read_until(lambda end=2 * (turn + 1) * RATE: reader.ends().get("a", 0) >= end)
        reader.source.checkpoint({"a": snapshot(2 * turn * RATE + RATE)})
        assert all(at.offset >= 0 for each in commits for at in each.values())
        at = [each[tp].offset for each in commits for tp in each if tp.topic == state]
        assert at == sorted(at)
        # Never beyond the newest record, which a restart must find.
        if known:
            newest = len(read_all(kafka_settings, state)) - 1
        assert max(at, default=0) == newest
