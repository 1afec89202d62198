"""Exactly once while each of three brokers is away in turn: no end, and each event once."""

from __future__ import annotations

import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest

from stream.kafka.client.connect import connect_consumer, ensure_topics
from stream.kafka.client.producer import Producer
from tests.integration.seconds import (
    SECONDS,
    STATIONS,
    DiedError,
    Subscriber,
    published,
    send_seconds,
    work,
)
from tests.integration.source_reader import read_all

AWAY_S = {"stop": 3.0, "kill": 3.0, "freeze": 12.0}
GUARD_S = 150.0
SHARE = SECONDS // 6  # played before a broker goes, and while it is away


@pytest.mark.long
@pytest.mark.parametrize("how", AWAY_S)
def test_each_event_once_while_each_broker_is_away(apache_cluster, cluster_settings, how):
    # Among the three are the coordinator of the transaction, that of the group, and each leader.
    settings = cluster_settings.model_copy(
        update={
            "exactly_once": True,
            "transactional_id": cluster_settings.group,
            "session_timeout_s": 10.0,
            "request_timeout_s": 30.0,
            "delivery_timeout_s": 60.0,
            "transaction_timeout_s": 30.0,
        }
    )
    topics = settings.topics
    ensure_topics(settings, [topics.audio, topics.decisions])
    given_up = threading.Event()

    def on_iteration(_observer):
        if given_up.is_set():
            raise DiedError

    with (
        ThreadPoolExecutor(1) as pool,
        closing(Subscriber(settings)) as subscriber,
        closing(Producer(settings)) as sender,
    ):
        worker = pool.submit(work, settings, on_iteration, 0.2, 10_000)

        def wait_until(holds):
            deadline = time.monotonic() + GUARD_S
            while not holds():
                if worker.done():
                    worker.result()
                assert time.monotonic() < deadline
                time.sleep(0.05)

        try:
            for node in range(3):
                first = 2 * node * SHARE
                send_seconds(sender, topics.audio, range(first, first + SHARE))
                wanted = (first + SHARE) * len(STATIONS)
                wait_until(lambda n=wanted: subscriber.read() >= n)
                getattr(apache_cluster, how)(node)
                send_seconds(sender, topics.audio, range(first + SHARE, first + 2 * SHARE))
                time.sleep(AWAY_S[how])
                apache_cluster.thaw(node) if how == "freeze" else apache_cluster.start(node)
            wait_until(worker.done)
            worker.result()
        finally:
            given_up.set()
            apache_cluster.thaw()
    counts = published(settings)
    assert counts == Counter(counts.keys())
    assert len(counts) == SECONDS * len(STATIONS)


@pytest.mark.long
@pytest.mark.parametrize("node", range(3))
def test_a_client_that_connects_passes_a_frozen_broker_by(apache_cluster, cluster_settings, node):
    settings, topic = cluster_settings, cluster_settings.topics.gaps
    ensure_topics(settings, [topic])
    apache_cluster.freeze(node)
    try:
        # The broker is drawn at random from those that are given.
        for _ in range(6):
            with closing(connect_consumer(settings)) as consumer:
                assert consumer.partitions_for_topic(topic) == {0, 1, 2}
        with closing(Producer(settings.model_copy(update={"delivery_timeout_s": 40.0}))) as sender:
            for partition in range(3):
                sender.send(topic, b"k", b"v", [], partition)
            sender.flush()
    finally:
        apache_cluster.thaw()
    assert len(read_all(settings, topic)) == 3
