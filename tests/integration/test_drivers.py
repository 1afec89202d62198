"""Both drivers over a real broker: one set of tests for `run` and `worker`.

`make chaos` is the long form: the same and more, with many more faults.
"""

from __future__ import annotations

import json
import os
import subprocess
import time

import pytest

from stream.kafka.client.connect import ensure_topics
from stream.kafka.client.producer import Producer
from stream.kafka.client.tail import follow
from stream.kafka.settings import KafkaSettings
from stream.runner import Stop
from tests.integration.road import (
    AIRSIFT,
    DRIVERS,
    Subscriber,
    as_line,
    by_id,
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
def broker(new_broker):
    return new_broker()


@pytest.fixture
def environment(broker):
    return make_environment(broker, partitions=2)


def test_publish_run_tail(driver, broker, environment, tmp_path):
    path = recording(tmp_path / "a station.wav", 60, seed=1)
    for station, codec in (("one", "pcm"), ("two", "flac"), ("three", "opus"), ("four", "mp3")):
        result = publish(environment, path, station, "--fast", "--codec", codec)
        assert result.returncode == 0, result.stderr
    process = start(driver, environment)
    subscriber = Subscriber(broker)
    try:
        stations = ("one", "two", "three", "four")
        events = subscriber.read_until(lambda e: all(last_decision(e, s) >= 58 for s in stations))
    finally:
        code = end(process)
    assert code == 0
    events = subscriber.drain()
    for station in stations:
        starts = [e["start_s"] for e in of(events, "decision", station) if e["final"]]
        assert starts == [float(k) for k in range(len(starts))]
        assert of(events, "gap", station) == []
        assert of(events, "segment", station)
    file = subprocess.run(
        [*AIRSIFT, "segment", str(path)], env=environment, capture_output=True, check=True
    )
    closed = [json.loads(line) for line in file.stdout.splitlines()]
    segments = [event for event in of(events, "segment", "one") if event["final"]]
    assert [(e["start_s"], e["end_s"], e["label"]) for e in segments] == [
        (e["start_s"], e["end_s"], e["label"]) for e in closed
    ]

    tail = subprocess.run(
        [*AIRSIFT, "tail", "--from-start", "--until-end", "--json", "--topic", "decisions"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    lines = [json.loads(line) for line in tail.stdout.splitlines()]
    assert len(lines) == len(of(events, "decision"))
    known = {json.dumps(event, sort_keys=True) for event in events}
    assert all(json.dumps(line, sort_keys=True) in known for line in lines)


@pytest.mark.long
def test_kill_9_and_restart_leave_no_hole_and_change_no_byte(driver, broker, environment, tmp_path):
    path = recording(tmp_path / "long.wav", 160, seed=2)
    stations = ("a", "b", "c")
    publishing = [
        subprocess.Popen(
            [*AIRSIFT, "publish", str(path), "--station", station, "--speed", "5"],
            env=environment,
            stderr=subprocess.DEVNULL,
        )
        for station in stations
    ]
    subscriber = Subscriber(broker)
    kills = 0
    process = start(driver, environment)
    try:
        for enough_s in (25, 60, 105):
            subscriber.read_until(lambda e, s=enough_s: last_decision(e, "a") >= s)
            process.kill()
            process.wait(10)
            process.stderr.close()
            kills += 1
            process = start(driver, environment)
        events = subscriber.read_until(
            lambda e: all(last_decision(e, station) >= 158 for station in stations)
        )
        assert all(p.wait(60) == 0 for p in publishing)
    finally:
        end(process)
        for publisher in publishing:
            publisher.kill()
            publisher.wait(10)
    assert kills == 3
    events = subscriber.drain()

    calm = {**environment, "AIRSIFT_KAFKA__GROUP": "calm"}
    for kind in ("decisions", "segments", "matches", "gaps"):
        calm[f"AIRSIFT_KAFKA__TOPICS__{kind.upper()}"] = f"calm.{kind}"
    process = start("run", calm)  # both drivers must emit the same
    other = Subscriber(broker, "calm")
    try:
        other.read_until(lambda e: all(last_decision(e, s) >= 158 for s in stations))
    finally:
        end(process)
    segments, calm_events = by_id(events), by_id(other.drain())
    assert segments.keys() == calm_events.keys()
    assert segments == calm_events
    # Intermediate states are correct too, not only the final one.
    assert {as_line(event) for event in events} == {as_line(event) for event in other.events}
    for station in stations:
        starts = sorted({event["start_s"] for event in of(events, "decision", station)})
        assert starts == [float(k) for k in range(len(starts))]


@pytest.mark.long
def test_a_member_joins_and_another_leaves(driver, broker, environment, tmp_path):
    path = recording(tmp_path / "long.wav", 100, seed=3)
    stations = ("a", "b", "c", "d")
    publishing = [
        subprocess.Popen(
            [*AIRSIFT, "publish", str(path), "--station", station, "--speed", "4"],
            env=environment,
            stderr=subprocess.DEVNULL,
        )
        for station in stations
    ]
    subscriber = Subscriber(broker)
    members = [start(driver, environment)]
    try:
        subscriber.read_until(lambda e: last_decision(e, "a") >= 15)
        members.append(start(driver, environment))
        subscriber.read_until(lambda e: last_decision(e, "a") >= 50)
        assert end(members[0]) == 0
        events = subscriber.read_until(
            lambda e: all(last_decision(e, station) >= 98 for station in stations)
        )
        assert all(p.wait(60) == 0 for p in publishing)
    finally:
        for process in members:
            if process.poll() is None:
                end(process)
        for publisher in publishing:
            publisher.kill()
            publisher.wait(10)
    for station in stations:
        starts = sorted({event["start_s"] for event in of(events, "decision", station)})
        assert starts == [float(k) for k in range(len(starts))]
        assert of(events, "gap", station) == []


def test_what_is_no_audio_becomes_a_dead_letter(driver, broker, environment):
    settings = KafkaSettings.default(bootstrap_servers=broker.bootstrap_servers)
    topics = settings.topics
    ensure_topics(settings, [topics.audio, topics.dead_letters])
    sender = Producer(settings)
    sender.send(topics.audio, b"a", b"no headers", [])
    sender.send(topics.audio, None, b"no key", [])
    sender.flush()
    sender.close()
    process = start(driver, environment)
    try:
        deadline = time.monotonic() + 180
        letters = []
        while len(letters) < 2:
            assert time.monotonic() < deadline
            letters = list(
                follow(
                    settings, [topics.dead_letters], stop=Stop(), from_start=True, until_end=True
                )
            )
    finally:
        code = end(process)
    assert code == 0
    reasons = sorted(dict(letter.headers)["airsift-reason"].decode() for letter in letters)
    assert reasons[0].startswith("header content-type is missing")
    assert reasons[1].startswith("the message has no key")


def test_no_broker_is_one_line(driver):
    result = subprocess.run(
        [*AIRSIFT, *DRIVERS[driver], "--set", "kafka.bootstrap_servers=127.0.0.1:1"],
        env={**os.environ, "AIRSIFT_KAFKA__CONNECT_TIMEOUT_S": "1"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert result.returncode == 1
    [line] = result.stderr.splitlines()
    assert line.startswith("airsift: no Kafka broker answers at 127.0.0.1:1")
