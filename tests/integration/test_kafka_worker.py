"""Faust workers: a group that grows and shrinks, dead letters, stalls, a broker not there."""

from __future__ import annotations

import os
import subprocess
import time

import pytest

from stream.drive import Stop
from stream.kafka.client import ensure_topics
from stream.kafka.embedded import EmbeddedBroker
from stream.kafka.sender import Sender
from stream.kafka.settings import KafkaSettings
from stream.kafka.tail import follow
from stream.kafka.watchdog import waiting_messages
from tests.integration import road


@pytest.fixture
def broker():
    with EmbeddedBroker() as running:
        yield running


@pytest.fixture
def environment(broker):
    return road.make_environment(broker, partitions=4)


@pytest.mark.slow
def test_a_worker_joins_and_another_leaves(broker, environment, tmp_path):
    path = road.recording(tmp_path / "long.wav", 120, seed=3)
    stations = ("a", "b", "c", "d")
    publishing = [
        subprocess.Popen(
            [*road.AIRSIFT, "publish", str(path), "--station", station, "--speed", "4"],
            env=environment,
            stderr=subprocess.DEVNULL,
        )
        for station in stations
    ]
    subscriber = road.Subscriber(broker)
    workers = [road.start("worker", environment)]
    try:
        subscriber.read_until(lambda e: road.last_decision(e, "a") >= 15)
        workers.append(road.start("worker", environment))
        subscriber.read_until(lambda e: road.last_decision(e, "a") >= 60)
        began = time.monotonic()
        assert road.end(workers[0]) == 0
        assert time.monotonic() - began < 10
        events = subscriber.read_until(
            lambda e: all(road.last_decision(e, station) >= 118 for station in stations)
        )
        assert all(p.wait(60) == 0 for p in publishing)
    finally:
        for process in workers:
            if process.poll() is None:
                road.end(process)
        for publisher in publishing:
            publisher.kill()
            publisher.wait(10)
    for station in stations:
        starts = sorted({event["start_s"] for event in road.of(events, "decision", station)})
        assert starts == [float(k) for k in range(len(starts))]
        assert road.of(events, "gap", station) == []


def test_what_is_no_audio_becomes_a_dead_letter(broker, environment):
    settings = KafkaSettings(bootstrap_servers=broker.bootstrap_servers)
    topics = settings.topics
    ensure_topics(settings, [topics.audio, topics.dead_letters])
    sender = Sender(settings)
    sender.send(topics.audio, b"a", b"no headers", [])
    sender.send(topics.audio, None, b"no key", [])
    sender.flush()
    sender.close()
    process = road.start("worker", environment)
    try:
        deadline = time.monotonic() + 60
        letters = []
        while len(letters) < 2:
            assert time.monotonic() < deadline
            letters = list(
                follow(
                    settings, [topics.dead_letters], stop=Stop(), from_start=True, until_end=True
                )
            )
    finally:
        code = road.end(process)
    assert code == 0
    reasons = sorted(dict(letter.headers)["airsift-reason"].decode() for letter in letters)
    assert reasons[0].startswith("header content-type is missing")
    assert reasons[1].startswith("the message has no key")


def test_messages_that_wait_are_found(kafka_settings):
    settings = kafka_settings
    topic = settings.topics.audio
    ensure_topics(settings, [topic])
    assert waiting_messages(settings, None) == ""
    sender = Sender(settings)
    for value in (b"x", b"y"):
        sender.send(topic, b"a", value, [], partition=1)
    sender.flush()
    sender.close()
    assert waiting_messages(settings, None) == f"kafka_offset 0 of {topic} partition 1 waits"
    assert waiting_messages(settings, {1: 1}).startswith("kafka_offset 1 ")
    assert waiting_messages(settings, {0: -1, 1: 2}) == ""


def test_no_broker_is_one_line():
    result = subprocess.run(
        [*road.AIRSIFT, "worker", "--set", "kafka.bootstrap_servers=127.0.0.1:1"],
        env={**os.environ, "AIRSIFT_KAFKA__CONNECT_TIMEOUT_S": "1"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert result.returncode == 1
    [line] = result.stderr.splitlines()
    assert line.startswith("airsift: no Kafka broker answers at 127.0.0.1:1")
