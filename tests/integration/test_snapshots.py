"""What a Faust worker goes on with is what the changelog holds, whatever Faust restored of it."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import pytest

from stream.kafka.client import ensure_topics
from stream.kafka.faust_app import make_app
from stream.kafka.saved import Saved, as_record
from stream.kafka.sender import Sender
from stream.kafka.snapshots import Snapshots


def saved(station, oldest):
    return Saved(station, oldest, oldest, 16_000, {"oldest": oldest})


def known(snapshots, partition):
    return {each.station: each.snapshot["oldest"] for each in snapshots.of(partition)}


@pytest.mark.parametrize("restored", [[], [0, 1, 2, 3], [0, 2, 3], [2], [0, 1]])
def test_what_faust_passed_over_is_read_again(kafka_settings, restored):
    settings = kafka_settings
    topic, written = settings.topics.state, [("a", 1), ("b", 1), ("a", 2), ("c", 1)]
    ensure_topics(settings, [topic])
    sender, events = Sender(settings), []
    for kafka_offset, (station, oldest) in enumerate(written):
        key, value, headers = as_record(settings.group, 1, saved(station, oldest))
        sender.send(topic, key, value, headers, 1)
        message = SimpleNamespace(
            topic=topic, partition=1, offset=kafka_offset, key=key, value=value
        )
        events.append(SimpleNamespace(message=message))
    sender.flush()
    sender.close()

    async def restore():
        snapshots = Snapshots(make_app(settings), settings, 3, lambda: None)
        for kafka_offset in restored:
            await snapshots._restore(events[kafka_offset])
        await snapshots.complete([0, 1])
        first = known(snapshots, 1)
        await snapshots.complete([0, 1])
        return first, known(snapshots, 1), known(snapshots, 0)

    whole = {"a": 2, "b": 1, "c": 1}
    assert asyncio.run(asyncio.wait_for(restore(), 30)) == (whole, whole, {})
