"""Streams that end, and records that are damaged, over a broker and for both drivers."""

from __future__ import annotations

import re
import wave

import numpy as np
import pytest

from stream.audio import AudioChunk
from stream.kafka.client.producer import Producer
from stream.kafka.client.tail import follow
from stream.kafka.codec.message import encode
from stream.kafka.embedded_broker import EmbeddedBroker
from stream.kafka.settings import KafkaSettings
from stream.runner import Stop
from tests.integration.road import (
    DRIVERS,
    RATE,
    Subscriber,
    end,
    last_decision,
    make_environment,
    of,
    publish,
    recording,
    start,
)


@pytest.fixture(autouse=True, params=DRIVERS)
def driver(request):
    return request.param


@pytest.fixture
def broker():
    with EmbeddedBroker() as running:
        yield running


@pytest.fixture
def environment(broker):
    return {**make_environment(broker, partitions=2), "AIRSIFT_KAFKA__IDLE_S": "5"}


def closed(events, station):
    """Return the final segments of a station; of each id there is one content."""
    out = {}
    for event in of(events, "segment", station):
        if event["final"]:
            fields = {k: v for k, v in event.items() if k not in ("id", "station", "time")}
            assert out.setdefault(event["start_sample"], fields) == fields
    return out


def is_closed(events, station, seconds):
    """Return whether final segments cover all audio that was sent.

    The first segment of a stream begins with its first whole second.
    """
    finals = closed(events, station).values()
    covered = sum(each["end_sample"] - each["start_sample"] for each in finals)
    return covered > (seconds - 2) * RATE


def test_what_ends_and_what_falls_silent_is_made_final(driver, broker, environment, tmp_path):
    seconds = 30
    path = recording(tmp_path / "station.wav", seconds, seed=3)
    assert publish(environment, path, "sent", "--fast").returncode == 0
    assert publish(environment, path, "silent", "--fast", "--no-end").returncode == 0
    subscriber, stations = Subscriber(broker), ("sent", "silent")
    process = start(driver, environment)
    try:
        subscriber.read_until(lambda e: is_closed(e, "sent", seconds))
        process.kill()
        end(process)
        process = start(driver, environment)
        events = subscriber.read_until(lambda e: all(is_closed(e, s, seconds) for s in stations))
        assert closed(events, "sent") == closed(events, "silent")
        # One goes on where it ended; the other counts from 0 again.
        assert publish(environment, path, "sent", "--fast").returncode == 0
        send_from_0(broker, path, "silent")
        events = subscriber.read_until(
            lambda e: all(is_closed(e, s, 2 * seconds) for s in stations)
        )
        code = end(process)
    finally:
        process.kill()
    assert code == 0
    events = subscriber.drain()
    assert of(events, "gap", "sent") == []
    gaps = {gap["id"]: gap for gap in of(events, "gap", "silent")}
    [gap] = gaps.values()
    assert gap["start_sample"] == seconds * RATE
    assert gap["end_sample"] - gap["start_sample"] >= RATE  # by the times of arrival
    for station in stations:
        held = {event["id"]: event["final"] for event in of(events, "segment", station)}
        assert all(held.values())
        starts = sorted(closed(events, station))
        assert starts[0] < seconds * RATE <= starts[-1]


def send_from_0(broker, path, station):
    with wave.open(str(path)) as file:
        samples = np.frombuffer(file.readframes(file.getnframes()), "<i2") / np.float32(32768)
    sender = Producer(KafkaSettings.default(bootstrap_servers=broker.bootstrap_servers))
    for k in range(0, len(samples), RATE):
        chunk = AudioChunk(station, k, samples[k : k + RATE].astype(np.float32), RATE)
        sender.send("airsift.audio", *encode(chunk))
    sender.flush()
    sender.close()


DAMAGE = [
    lambda value: value[: len(value) // 2],
    lambda _: b"[" * 100_000,
    lambda _: b"\xff\x00",
    lambda value: value.replace(b'"kafka_offset":', b'"kafka_offset":-'),
    lambda value: value.replace(b'"base":[', b'"base":[Infinity,'),
]


def test_a_damaged_record_costs_its_own_station_a_fresh_start(
    driver, broker, environment, tmp_path
):
    path = recording(tmp_path / "station.wav", 40, seed=4)
    stations = [f"bad{n}" for n in range(len(DAMAGE))]
    for station in ("good", *stations):
        assert publish(environment, path, station, "--fast", "--no-end").returncode == 0
    environment = {**environment, "AIRSIFT_KAFKA__IDLE_S": "600"}
    subscriber = Subscriber(broker)
    process = start(driver, environment)
    everyone = ("good", *stations)
    subscriber.read_until(lambda e: all(last_decision(e, s) >= 38 for s in everyone))
    assert end(process) == 0
    settings = KafkaSettings.default(bootstrap_servers=broker.bootstrap_servers)
    sender, newest = Producer(settings), {}
    for record in follow(settings, ["airsift.state"], stop=Stop(), from_start=True, until_end=True):
        newest[record.key.decode().partition("/")[2]] = record
    for station, damage in zip(stations, DAMAGE, strict=True):
        old = newest[station]
        value = damage(old.value)
        assert value != old.value
        sender.send("airsift.state", old.key, value, [], old.partition)
    sender.flush()
    sender.close()
    before = len(subscriber.drain())
    process = start(driver, environment)
    try:
        for station in everyone:
            assert publish(environment, path, station, "--fast", "--no-end").returncode == 0
        events = subscriber.read_until(lambda e: all(last_decision(e, s) >= 76 for s in everyone))
        process.terminate()
        _, errors = process.communicate(timeout=30)
    finally:
        process.kill()
    assert process.returncode == 0
    lines = [line for line in errors.splitlines() if "is damaged, so it begins anew" in line]
    more = sum(int(n) for line in lines for n in re.findall(r" and (\d+) more like it", line))
    # What is repeated is summed up, and the last line of a sum names one of its own.
    assert len(lines) + more >= len(stations), errors
    assert of(events[before:], "gap", "good") == []
    starts = [e["start_s"] for e in of(events[before:], "decision", "good") if e["final"]]
    assert starts == [float(k) for k in range(int(starts[0]), int(starts[0]) + len(starts))]
