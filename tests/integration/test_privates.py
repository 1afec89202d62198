"""The private names of the client libraries exist in the installed versions."""

from __future__ import annotations

import asyncio
import gc
import time
from contextlib import closing
from importlib.metadata import version

import pytest
from aiokafka.conn import AIOKafkaConnection
from faust.transport.drivers.aiokafka import AIOKafkaConsumerThread
from kafka.consumer.fetcher import Fetcher
from kafka.protocol.frame import KafkaBytes

from stream.kafka.client import privates as of_kafka
from stream.kafka.client.connect import (
    connect_admin,
    connect_consumer,
    connect_producer,
    ensure_topics,
)
from stream.kafka.faust import privates as of_faust
from stream.kafka.faust.app import make_app


def missing(path, roots):
    """Return the first part of a path that does not exist, as a line; "" if all of it does."""
    root, *names = path.split(".")
    value, walked = roots[root], root
    for name in names:
        if not hasattr(value, name):
            return f"{walked}.{name} is gone"
        value, walked = getattr(value, name), f"{walked}.{name}"
    return ""


def check(names, roots, libraries, file):
    gone = [line for path in names if (line := missing(path, roots))]
    versions = ", ".join(f"{library} {version(library)}" for library in libraries)
    assert not gone, f"{versions}: {'; '.join(gone)}: see {file}"


def test_a_name_that_is_gone_is_one_line_with_version_and_file():
    with pytest.raises(
        AssertionError, match=r"kafka-python 3\..*: Fetcher\._gone is gone: see f\n"
    ):
        check(["Fetcher._gone", "Fetcher.__init__"], {"Fetcher": Fetcher}, ["kafka-python"], "f")


def test_kafka_python_has_the_private_names(kafka_settings):
    ensure_topics(kafka_settings, ["t"])
    consumer = connect_consumer(kafka_settings, group_id="g")
    producer = connect_producer(kafka_settings)
    try:
        consumer.subscribe(["t"])
        deadline = time.monotonic() + 60
        while not consumer.assignment():
            consumer.poll(timeout_ms=100)
            assert time.monotonic() < deadline
        assert of_kafka.last_reads(consumer)
        with closing(connect_admin(kafka_settings)) as admin:
            roots = {
                "KafkaConsumer": consumer,
                "KafkaProducer": producer,
                "KafkaAdminClient": admin,
                "Fetcher": Fetcher,
                "KafkaTCPTransport": next(iter(consumer._manager._conns.values())).transport,
                "KafkaBytes": KafkaBytes(1),
            }
            file = "stream/kafka/client/privates.py"
            check(of_kafka.PRIVATE_NAMES, roots, ["kafka-python"], file)
    finally:
        consumer.close()
        producer.close()


def test_faust_and_aiokafka_have_the_private_names(kafka_settings):
    async def connected():
        app = make_app(kafka_settings)
        thread = of_faust.fetch_thread(app)
        assert isinstance(thread, AIOKafkaConsumerThread)
        consumer = thread._create_consumer(asyncio.get_running_loop())
        thread._consumer = consumer
        producer = await app.maybe_start_producer()
        await consumer.start()
        try:
            consumer.subscribe(topics=["t"])
            while not of_faust.last_reads(app):
                await asyncio.sleep(0.05)
            roots = {
                "App": app,
                "AIOKafkaConsumer": consumer,
                "AIOKafkaProducer": of_faust.aiokafka_producer(producer),
                "AIOKafkaConnection": next(iter(consumer._client._conns.values())),
            }
            assert isinstance(roots["AIOKafkaConnection"], AIOKafkaConnection)
            file = "stream/kafka/faust/privates.py"
            libraries = ["faust-streaming", "mode-streaming", "aiokafka"]
            check(of_faust.PRIVATE_NAMES, roots, libraries, file)
        finally:
            await consumer.stop()
            await producer.stop()

    ensure_topics(kafka_settings, ["t"])
    asyncio.run(asyncio.wait_for(connected(), 60))


def test_an_error_that_nobody_waits_for_is_not_printed_where_faust_fetches(kafka_settings, caplog):
    """Of a commit, say, that is refused while the worker ends for the same reason."""

    async def refused():
        raise ValueError("refused")

    async def fetching():
        consumer = of_faust.fetch_thread(make_app(kafka_settings))._create_consumer(
            asyncio.get_running_loop()
        )
        await consumer.start()
        try:
            task = asyncio.create_task(refused())
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            assert task.done()
            del task
            gc.collect()
        finally:
            await consumer.stop()

    asyncio.run(asyncio.wait_for(fetching(), 60))
    assert not [each for each in caplog.records if "never retrieved" in each.getMessage()]
