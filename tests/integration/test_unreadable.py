"""Damaged records on a broker's disk cost either driver only these records."""

from __future__ import annotations

import json
import zlib

import pytest
from kafka import TopicPartition
from typer.testing import CliRunner

from airsift.cli.app import make_app
from stream.kafka.apache_broker import ApacheKafka
from stream.kafka.client.connect import connect_consumer, ensure_topics
from stream.kafka.client.producer import Producer
from stream.kafka.client.tail import follow
from stream.kafka.settings import KafkaSettings, TopicSettings
from stream.runner import Stop
from tests.integration.brokers import TOPICS
from tests.integration.road import DRIVERS, RATE, end, make_environment, start
from tests.integration.segments import append, path_of
from tests.stream.batches import BAD, BAD_RECORDS, batch, good, record
from tests.waiting import wait_until

SECONDS = 30  # of audio among the damaged batches


def audio(second, delta=0):
    headers = [
        (b"content-type", b"audio/x-s16le"),
        (b"rate", str(RATE).encode()),
        (b"start_sample", str(second * RATE).encode()),
    ]
    return record(delta, b"a", bytes(2 * RATE), headers)


def bomb(base):
    """60 kB that are 64 MB."""
    packer = zlib.compressobj(9, wbits=31)
    parts = [packer.compress(bytes(1 << 20)) for _ in range(64)]
    return good(base, 3, body=b"".join(parts) + packer.flush(), attributes=1)


def damaged_log():
    """Return the batches of a partition: audio, and one of each kind of damage in between."""
    parts, letters, base, second = [], {}, 0, 0

    def sound(n):
        nonlocal base, second
        parts.append(batch(base, [audio(second + k, k) for k in range(n)]))
        base, second = base + n, second + n

    sound(2)
    for kind in ("codec 7", "checksum", "no zstd", "count too high", "body cut", "format 99"):
        parts.append(BAD[kind](base))
        letters[base] = base + 2
        base += 3
        sound(1)
    parts.append(bomb(base))
    letters[base] = base + 2
    base += 3
    sound(1)
    parts.append(batch(base, [audio(second), BAD_RECORDS["header name"], audio(second + 1, 2)]))
    letters[base + 1] = base + 1
    base, second = base + 3, second + 2
    sound(SECONDS - second)
    return b"".join(parts), letters, base


LOG, LETTERS, END = damaged_log()


@pytest.fixture(scope="module")
def kafka(need_kafka):
    with ApacheKafka() as broker:
        settings = {driver: settings_of(broker, driver) for driver in DRIVERS}
        for each in settings.values():
            ensure_topics(each, [getattr(each.topics, kind) for kind in TOPICS])
        broker.stop()
        for each in settings.values():
            append(broker, each.topics.audio, LOG)
            for kind in TOPICS[1:]:  # ours are damaged too
                append(broker, getattr(each.topics, kind), BAD["codec 7"](0) + BAD["checksum"](3))
        broker.start()
        yield broker


def settings_of(broker, driver):
    names = {kind: f"{driver}.{kind}" for kind in TOPICS}
    return KafkaSettings.default(
        bootstrap_servers=broker.bootstrap_servers,
        group=driver,
        topics=TopicSettings.default(**names, partitions=1),
    )


def environment_of(broker, settings):
    return {
        **make_environment(broker, 1),
        "AIRSIFT_KAFKA__GROUP": settings.group,
        **{
            f"AIRSIFT_KAFKA__TOPICS__{kind.upper()}": getattr(settings.topics, kind)
            for kind in TOPICS
        },
    }


def send(settings, seconds, rate=RATE):
    """Send a batch of a message for each second."""
    sender = Producer(settings)
    for second in seconds:
        headers = [
            ("content-type", b"audio/x-s16le"),
            ("rate", str(rate).encode()),
            ("start_sample", str(second * rate).encode()),
        ]
        sender.send(settings.topics.audio, b"a", bytes(2 * rate), headers)
        sender.flush()
    sender.close()


def read(settings, topic):
    return list(follow(settings, [topic], stop=Stop(), from_start=True, until_end=True))


def committed(settings):
    consumer = connect_consumer(settings, group_id=settings.group)
    try:
        return consumer.committed(TopicPartition(settings.topics.audio, 0)) or 0
    finally:
        consumer.close()


def decided(settings):
    events = [json.loads(r.value) for r in read(settings, settings.topics.decisions)]
    return [event["end_s"] for event in events if event["final"]]


@pytest.mark.parametrize("driver", DRIVERS)
def test_a_driver_goes_on_behind_what_it_cannot_read(kafka, driver):
    settings = settings_of(kafka, driver)
    environment, topics = environment_of(kafka, settings), settings.topics
    process = start(driver, environment)
    try:
        wait_until(lambda: max(decided(settings), default=0) >= SECONDS - 1)
        wait_until(lambda: committed(settings) > max(LETTERS))
    finally:
        code = end(process)
    assert code == 0
    letters = {
        int(fields["airsift-kafka-offset"]): (fields, letter)
        for letter in read(settings, topics.dead_letters)
        for fields in [{name: content.decode() for name, content in letter.headers}]
    }
    assert len(read(settings, topics.dead_letters)) == len(LETTERS)
    assert letters.keys() == LETTERS.keys()
    for first, last in LETTERS.items():
        fields, letter = letters[first]
        if last == first:
            assert fields["airsift-reason"].startswith("header name")
            assert (letter.key, letter.value) == (b"k", b"v")
        else:
            assert fields["airsift-reason"].startswith("a batch of records cannot be read: ")
            assert fields["airsift-last-kafka-offset"] == str(last)
            assert letter.value in LOG
    assert read(settings, topics.gaps) == []

    # A restart goes on from there, and refuses nothing a second time.
    send(settings, range(SECONDS, SECONDS + 10))
    process = start(driver, environment)
    try:
        wait_until(lambda: max(decided(settings)) >= SECONDS + 9)
    finally:
        code = end(process)
    assert code == 0
    assert len(read(settings, topics.dead_letters)) == len(LETTERS)
    assert read(settings, topics.gaps) == []
    steps = sorted(set(decided(settings)))
    assert steps == [steps[0] + k for k in range(len(steps))]
    replay_sends_no_batch(settings)


def replay_sends_no_batch(settings):
    options = ["--set", f"kafka.bootstrap_servers={settings.bootstrap_servers}"]
    for kind in TOPICS:
        options += ["--set", f"kafka.topics.{kind}={getattr(settings.topics, kind)}"]
    listed = CliRunner().invoke(make_app(), ["deadletter", "list", *options])
    assert listed.exit_code == 0, listed.output
    assert len(listed.stdout.splitlines()) == len(LETTERS)
    replayed = CliRunner().invoke(make_app(), ["deadletter", "replay", *options])
    assert replayed.exit_code == 1
    n_batches = len(LETTERS) - 1
    assert replayed.stdout == (
        f"1 messages sent to {settings.topics.audio}, 0 sent before, {n_batches} not sent\n"
    )
    refused = replayed.stderr.splitlines()
    assert len(refused) == n_batches
    assert all("it is no message" in line for line in refused)


@pytest.mark.parametrize("driver", DRIVERS)
def test_what_the_broker_itself_cannot_read_is_passed_over(need_kafka, driver):
    """Apache Kafka reports a wrong length (CORRUPT_MESSAGE), up to its next index entry.

    Both libraries leave it at that: one ends with an error, the other asks again for ever.
    """
    with ApacheKafka(properties={"log.index.interval.bytes": "20000"}) as broker:
        settings = settings_of(broker, driver)
        ensure_topics(settings, [getattr(settings.topics, kind) for kind in TOPICS])
        send(settings, range(40), rate=1000)
        broker.stop()
        path = path_of(broker, settings.topics.audio)
        data = bytearray(path.read_bytes())
        at = 0
        for _ in range(4):
            at += 12 + int.from_bytes(data[at + 8 : at + 12], "big")
        data[at + 8 : at + 12] = (3).to_bytes(4, "big")  # the length of the fifth
        data[at + 23 : at + 27] = (-5).to_bytes(4, "big", signed=True)  # and where it ends
        path.write_bytes(data)
        broker.start()
        process = start(driver, environment_of(broker, settings))
        try:
            wait_until(lambda: max(decided(settings), default=0) >= 39)
        finally:
            code = end(process)
        assert code == 0
        [letter] = read(settings, settings.topics.dead_letters)
        fields = {name: content.decode() for name, content in letter.headers}
        assert fields["airsift-kafka-offset"] == "4"
