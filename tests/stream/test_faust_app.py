"""How Faust's client is configured where Faust has no setting of its own."""

from __future__ import annotations

import asyncio

from stream.kafka.faust.app import make_app
from stream.kafka.settings import KafkaSettings


def test_fetches_wait_as_long_as_those_of_airsift_run():
    async def wait_ms():
        app = make_app(KafkaSettings.default(fetch_wait_ms=123))
        thread = app.consumer._thread
        return thread._create_consumer(asyncio.get_running_loop())._fetch_max_wait_ms

    assert asyncio.run(wait_ms()) == 123
