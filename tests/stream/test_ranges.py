"""Times and counts out of range: a dead letter or sound audio, for any field values."""

from __future__ import annotations

import json
import math
import re
from datetime import datetime
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from stream.audio import AudioChunk, Discontinuity
from stream.events import Gap
from stream.kafka.checkpoint.record import as_record, read_record
from stream.kafka.codec.sample_count import TimelineRules
from stream.kafka.codec.timeline import Timeline, TimelineState, read_timeline
from stream.kafka.faust.consumer import as_received
from stream.kafka.records.consumer_record import Received
from stream.pipeline import Pipeline
from stream.ranges import MAX_INDEX_S, MAX_TIME_S, is_time
from stream.stages.clock import Clock
from tests.examples import examples
from tests.stream.doubles import SMOOTH
from tests.stream.networks import FRONT_END
from tests.stream.partition import new_reader
from tests.stream.restarts import through_json

RATE = 16_000
NOW_S = 1_790_000_000
EDGES = [0, 1, -1, 2**31, 2**43, 2**53, 2**56, 2**60, 2**63 - 1, -(2**63), NOW_S * RATE]
EDGES += [NOW_S * 1000, NOW_S * 10**6, MAX_TIME_S * 1000 - 1, MAX_TIME_S * 1000, MAX_TIME_S * RATE]
INT64 = st.sampled_from(EDGES) | st.integers(-(2**63), 2**63 - 1) | st.integers(0, 2**45)
FIELDS = st.fixed_dictionaries(
    {},
    optional={
        "start_sample": INT64,
        "time_ms": INT64,
        "rate": INT64 | st.sampled_from([1000, 8000, RATE, RATE, 192_000]),
        "channels": st.sampled_from([1, 1, 2, 2**40]),
    },
)
MESSAGES = st.lists(st.tuples(FIELDS, INT64, st.integers(1, 3)), min_size=1, max_size=8)


def of_kafka_python(offset: int, timestamp: int, value: bytes, headers: list[Any]) -> Received:
    return Received("audio", 0, offset, timestamp, b"a", value, headers)


def of_faust(offset: int, timestamp: int, value: bytes, headers: list[Any]) -> Received:
    seconds: Any = None if timestamp == -1 else timestamp / 1000
    message: Any = SimpleNamespace(
        topic="audio",
        partition=0,
        offset=offset,
        timestamp=seconds,
        key=b"a",
        value=value,
        headers=headers,
    )
    return as_received(message)


class Receiver:
    def __init__(self) -> None:
        self.refused: list[str] = []
        self.reader = new_reader(refuse=lambda _, reason: self.refused.append(reason))
        self.offset = 0

    def read(self, driver: Any, fields: dict[str, int], timestamp: int, n: int) -> list[AudioChunk]:
        named = {"rate": RATE, **fields}
        headers = [("content-type", b"audio/x-s16le")]
        headers += [(name, str(value).encode()) for name, value in named.items()]
        message = driver(self.offset, timestamp, bytes(1600 * n), headers)
        self.offset += 1
        return self.reader.read(message)


@pytest.mark.slow
@pytest.mark.parametrize("driver", [of_kafka_python, of_faust])
@examples(400)
@given(messages=MESSAGES)
@example(messages=[({}, NOW_S * 10**6, 1)] * 3)  # a CreateTime in microseconds
@example(messages=[({"time_ms": NOW_S * 1000}, -1, 1), ({"start_sample": 2**56}, -1, 1)] * 2)
@example(messages=[({"start_sample": 2**56}, -1, 1)] * 3)
def test_no_field_is_the_end_of_a_worker(driver: Any, messages: list[Any]) -> None:
    receiver = Receiver()
    for fields, timestamp, n in messages:
        before = len(receiver.refused)
        chunks = receiver.read(driver, fields, timestamp, n)
        for chunk in chunks:
            assert 0 <= chunk.start <= chunk.end <= MAX_INDEX_S * chunk.rate
            assert chunk.time is None or is_time(chunk.time)
        assert len(receiver.refused) <= before + 2
    assert all(len(reason.splitlines()) == 1 for reason in receiver.refused)
    assert all(len(reason) < 600 for reason in receiver.refused)
    if (state := receiver.reader._decoder._stations.get("a")) is not None:
        assert read_timeline(json.loads(json.dumps(state.timeline.state))) == state.timeline.state


@pytest.mark.parametrize(
    ("fields", "timestamp", "regex"),
    [
        ({}, NOW_S * 10**6, "no time from 1970 to 2199 in milliseconds"),
        ({}, -5, "the record's timestamp -5 is no time"),
        ({"start_sample": 2**60}, -1, "header start_sample"),
        ({"start_sample": MAX_TIME_S * RATE + 1}, -1, "below 7258118400 s.*the year 2200"),
        ({"time_ms": MAX_TIME_S * 1000}, -1, "header time_ms"),
        ({"time_ms": -1}, -1, "header time_ms"),
    ],
)
def test_what_is_out_of_range_is_named(fields: dict[str, int], timestamp: int, regex: str) -> None:
    receiver = Receiver()
    assert receiver.read(of_kafka_python, fields, timestamp, 1) == []
    [reason] = receiver.refused
    assert re.search(regex, reason)


def test_a_record_timestamp_that_cannot_be_does_not_matter_where_nothing_depends_on_it() -> None:
    receiver = Receiver()
    for i in range(3):
        fields = {"start_sample": NOW_S * RATE + i * 800}
        [chunk] = receiver.read(of_kafka_python, fields, NOW_S * 10**6, 1)
        assert chunk.start == fields["start_sample"]
        assert chunk.time == pytest.approx(NOW_S + i * 0.05)
    assert receiver.refused == []


@examples(25)
@given(messages=MESSAGES)
def test_the_pipeline_takes_what_the_intake_gives(messages: list[Any], classifier: Any) -> None:
    receiver = Receiver()
    pipeline = Pipeline(FRONT_END, classifier, SMOOTH, reorder_s=2.0)
    for fields, timestamp, n in messages:
        chunks = receiver.read(of_kafka_python, fields, timestamp, n)
        pipeline.push(chunks)
        for station in {chunk.station for chunk in chunks}:
            snapshot = through_json(pipeline.snapshot(station))
            for partition, saved in receiver.reader.checkpoint({station: snapshot}):
                key, value, _ = as_record("g", partition, saved)
                record = Received("state", 0, 0, -1, key, value, [])
                assert read_record("g", record) == saved
            pipeline.restore(station, snapshot)
    events = pipeline.push([], last=True)
    for event in events:
        document = json.loads(event.to_json())
        assert document["time"] is None or datetime.fromisoformat(document["time"])


@pytest.mark.slow
@examples(200)
@given(
    st.floats() | st.none(),
    st.integers(0, MAX_INDEX_S * RATE),
    st.lists(st.tuples(st.floats(), st.integers(0, MAX_INDEX_S * RATE)), max_size=4),
)
def test_the_clock_gives_times_that_can_be(first: Any, start: int, more: list[Any]) -> None:
    clock, at, samples = Clock(), start, np.zeros(800, np.float32)
    for time, further in [(first, 0), *more]:
        if further:
            clock.push([Discontinuity("a", at, at + further, RATE, "missing")])
        at += further
        clock.push([AudioChunk("a", at, samples, RATE, time)])
        at += 800
        found = clock.time("a", at, RATE)
        assert found is None or (math.isfinite(found) and is_time(found))
        event = clock.date(Gap("a", at, at, RATE, None, "missing"))
        assert event.to_json()


@pytest.mark.slow
@examples(300)
@given(
    st.lists(
        st.none() | st.integers() | st.floats() | st.booleans() | st.text(max_size=3) | st.just([]),
        min_size=len(TimelineState._fields),
        max_size=len(TimelineState._fields),
    )
)
def test_a_place_is_read_or_refused(values: list[Any]) -> None:
    try:
        state = read_timeline(values)
    except ValueError:
        return
    timeline = Timeline(TimelineRules(0.5, 5.0, 10.0))
    timeline.resume(state)
    assert timeline.state.top >= timeline.state.end
