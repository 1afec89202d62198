"""The whole road over a real broker, for both drivers: publish, hear, tail; and kill -9."""

from __future__ import annotations

import json
import subprocess

import pytest

from stream.kafka.embedded import EmbeddedBroker
from tests.integration.road import (
    AIRSIFT,
    DRIVERS,
    Subscriber,
    by_id,
    end,
    last_decision,
    make_environment,
    of,
    publish,
    recording,
    start,
)


@pytest.fixture
def broker():
    with EmbeddedBroker() as running:
        yield running


@pytest.fixture
def environment(broker):
    return make_environment(broker, partitions=2)


@pytest.mark.parametrize("driver", DRIVERS)
def test_publish_hear_tail(driver, broker, environment, tmp_path):
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
        starts = [event["start_s"] for event in of(events, "decision", station)]
        assert starts == [float(k) for k in range(len(starts))]
        assert of(events, "gap", station) == []
        assert of(events, "segment", station)
    file = subprocess.run(
        [*AIRSIFT, "segment", str(path)], env=environment, capture_output=True, check=True
    )
    closed = [json.loads(line) for line in file.stdout.splitlines()][:-1]
    heard = [event for event in of(events, "segment", "one") if event["final"]]
    assert [(e["start_s"], e["end_s"], e["label"]) for e in heard] == [
        (e["start_s"], e["end_s"], e["label"]) for e in closed[: len(heard)]
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


@pytest.mark.slow
@pytest.mark.parametrize("driver", DRIVERS)
def test_kill_9_and_restart_leave_no_hole_and_no_other_id(driver, broker, environment, tmp_path):
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
    process = start("run", calm)  # both drivers must say the same
    other = Subscriber(broker, "calm")
    try:
        other.read_until(lambda e: all(last_decision(e, s) >= 158 for s in stations))
    finally:
        end(process)
    heard, calm_events = by_id(events), by_id(other.drain())
    assert heard.keys() == calm_events.keys()
    assert heard == calm_events
    for station in stations:
        starts = sorted({event["start_s"] for event in of(events, "decision", station)})
        assert starts == [float(k) for k in range(len(starts))]
