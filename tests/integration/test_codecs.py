"""All of Kafka's codecs, from clients and from a broker that recompresses, read by both drivers."""

from __future__ import annotations

import asyncio
import itertools

import numpy as np
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from stream.kafka.client.connect import ensure_topics
from stream.kafka.client.producer import Producer
from stream.kafka.client.tail import follow
from stream.kafka.faust.privates import read_with
from stream.kafka.records.partitions import Partitions
from stream.kafka.settings import KafkaSettings, TopicSettings
from stream.runner import Stop
from tests.integration.brokers import TOPICS
from tests.integration.road import DRIVERS, RATE, end, make_environment, start

CODECS = ("gzip", "snappy", "lz4", "zstd")
_numbers = itertools.count()

rng = np.random.default_rng(5)
# Together far more than the megabyte at which some clients stop to decompress.
VALUES = [bytes(40_000) + rng.bytes(300) + bytes(n % 251 for n in range(9_000))] * 60


@pytest.fixture
def kafka(apache_kafka):
    return apache_kafka


@pytest.fixture
def topic():
    return f"codecs{next(_numbers)}"


def settings_for(kafka, **options):
    return KafkaSettings.default(bootstrap_servers=kafka.bootstrap_servers, **options)


async def read_by_aiokafka(settings, topic, count):
    consumer = AIOKafkaConsumer(
        bootstrap_servers=settings.bootstrap_servers, auto_offset_reset="earliest"
    )
    await consumer.start()
    read_with(Partitions(settings.wire.max_batch_bytes), consumer)
    consumer.assign([TopicPartition(topic, 0)])
    values = []
    try:
        while len(values) < count:
            got = await consumer.getmany(timeout_ms=500)
            values += [record.value for records in got.values() for record in records]
    finally:
        await consumer.stop()
    return values


def read_by_both(settings, topic, count):
    mine = follow(settings, [topic], stop=Stop(), from_start=True, until_end=True)
    theirs = asyncio.run(asyncio.wait_for(read_by_aiokafka(settings, topic, count), 60))
    return [record.value for record in mine], theirs


@pytest.mark.parametrize("codec", CODECS)
def test_what_a_broker_recompresses_is_read(kafka, topic, codec):
    settings = settings_for(kafka, linger_ms=50)
    one = settings.model_copy(
        update={"topics": settings.topics.model_copy(update={"partitions": 1})}
    )
    ensure_topics(one, [topic], configs={"compression.type": codec, "max.message.bytes": "8000000"})

    async def send():
        producer = AIOKafkaProducer(
            bootstrap_servers=settings.bootstrap_servers,
            max_batch_size=4_000_000,
            max_request_size=8_000_000,
            linger_ms=50,
        )
        await producer.start()
        sent = [await producer.send(topic, value) for value in VALUES]
        await asyncio.gather(*sent)
        await producer.stop()

    asyncio.run(send())
    mine, theirs = read_by_both(settings, topic, len(VALUES))
    assert mine == theirs == VALUES


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("by", ["kafka-python", "Faust"])
def test_what_our_producers_compress_is_read(kafka, topic, codec, by):
    settings = settings_for(kafka, compression=codec, topics=TopicSettings.default(partitions=1))
    ensure_topics(settings, [topic])
    if by == "kafka-python":
        sender = Producer(settings)
        for value in VALUES:
            sender.send(topic, b"k", value, [])
        sender.flush()
        sender.close()
    else:
        asyncio.run(send_by_faust(settings, topic))
    mine, theirs = read_by_both(settings, topic, len(VALUES))
    assert mine == theirs == VALUES
    written = kafka._folder / "0" / f"{topic}-0" / "00000000000000000000.log"
    assert written.stat().st_size < sum(map(len, VALUES)) / 2


async def send_by_faust(settings, topic):
    from stream.kafka.client.refusals import Refusals
    from stream.kafka.codec.message import Message
    from stream.kafka.faust.app import make_app
    from stream.kafka.faust.producer import FaustProducer

    app = make_app(settings)
    producer = FaustProducer(app, 1000, Refusals(settings))
    for value in VALUES:
        producer.put(topic, Message(b"k", value, []))
    await producer.flush()
    await app.producer.stop()


@pytest.mark.parametrize("driver", DRIVERS)
@pytest.mark.parametrize("turn", [0, 2])
def test_a_driver_on_topics_that_the_broker_recompresses(kafka, topic, driver, turn):
    """Each topic has another codec, including the topic of the worker's own snapshots."""
    names = {kind: f"{topic}.{kind}" for kind in TOPICS}
    settings = settings_for(kafka, group=topic, topics=TopicSettings.default(**names, partitions=1))
    for k, name in enumerate(names.values()):
        configs = {"compression.type": CODECS[(k + turn) % 4]}
        if name == settings.topics.state:
            configs["cleanup.policy"] = "compact"
        ensure_topics(settings, [name], configs=configs)
    environment = {
        **make_environment(kafka, 1),
        "AIRSIFT_KAFKA__GROUP": topic,
        **{f"AIRSIFT_KAFKA__TOPICS__{kind.upper()}": name for kind, name in names.items()},
    }
    sender = Producer(settings)

    def send(first, last):
        for second in range(first, last):
            headers = [
                ("content-type", b"audio/x-s16le"),
                ("rate", b"16000"),
                ("start_sample", str(second * RATE).encode()),
            ]
            sender.send(settings.topics.audio, b"a", bytes(2 * RATE), headers)
        sender.flush()

    try:
        for first, last in ((0, 12), (12, 24)):  # the second time it goes on from its snapshot
            send(first, last)
            process = start(driver, environment)
            try:
                wait_for_decision(settings, last - 2)
            finally:
                code = end(process)
            assert code == 0
    finally:
        sender.close()
    topics = settings.topics
    read = follow(
        settings, [topics.gaps, topics.dead_letters], stop=Stop(), from_start=True, until_end=True
    )
    assert list(read) == []


def wait_for_decision(settings, second):
    import json
    import time

    deadline = time.monotonic() + 120
    last = -1.0
    while last < second:
        assert time.monotonic() < deadline, last
        records = follow(
            settings, [settings.topics.decisions], stop=Stop(), from_start=True, until_end=True
        )
        last = max((json.loads(r.value)["end_s"] for r in records), default=-1.0)
        time.sleep(0.3)
