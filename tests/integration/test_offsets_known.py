"""No offset is committed that the broker has not told."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from kafka import TopicPartition

from stream.kafka.client.producer import SentMessage
from stream.kafka.settings import KafkaSettings
from stream.testing import noise
from tests.integration.ear import RATE, Ear, read_all, send


@pytest.mark.parametrize("told", [[True, False, True], [False, False, False]])
def test_a_record_that_the_broker_does_not_place_moves_no_offset(
    kafka_settings: KafkaSettings,
    ears: Callable[[KafkaSettings], Ear],
    monkeypatch: pytest.MonkeyPatch,
    told: list[bool],
) -> None:
    ear, commits = ears(kafka_settings), list[dict[TopicPartition, Any]]()
    commit = ear.source._consumer.commit
    monkeypatch.setattr(
        ear.source._consumer, "commit", lambda o, **kw: (commits.append(o), commit(o, **kw))
    )
    place = SentMessage.kafka_offset.fget  # type: ignore[attr-defined]
    state = kafka_settings.topics.state
    newest = 0
    for turn, known in enumerate(told):
        monkeypatch.setattr(
            SentMessage, "kafka_offset", property(place if known else lambda _: None)
        )
        send(kafka_settings, "a", noise(2))
        ear.listen(lambda end=2 * (turn + 1) * RATE: ear.ends().get("a", 0) >= end)
        ear.source.checkpoint({"a": {"oldest": 2 * turn * RATE + RATE}})
        assert all(at.offset >= 0 for each in commits for at in each.values())
        at = [each[tp].offset for each in commits for tp in each if tp.topic == state]
        assert at == sorted(at)
        # Never beyond the newest record, which a restart must find.
        if known:
            newest = len(read_all(kafka_settings, state)) - 1
        assert max(at, default=0) == newest
