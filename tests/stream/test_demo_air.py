from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from airsift.errors import BrokerError
from stream.audio import AudioChunk
from stream.demo import sources as air
from stream.demo.sources import EndingSource, ProgrammeSource
from stream.demo.subscriber import MS, event_of
from stream.events import Alarm, Decision, Gap, Level, Match, Repeat, Segment, Share

PROBABILITY = st.floats(0, 1).map(lambda p: round(p, 3))
TIMES = st.tuples(
    st.just("a station"),
    st.integers(0, 10**9),
    st.integers(0, 10**9),
    st.just(MS),
    st.none() | st.integers(0, 2**31).map(float),
)
EVENTS = st.one_of(
    st.builds(
        lambda t, s, m, level: Decision(*t, s, m, level_dbfs=level),
        TIMES,
        PROBABILITY,
        PROBABILITY,
        st.none() | st.floats(-120, 20),
    ),
    st.builds(
        lambda t, label, score, final: Segment(*t, label, score, final),
        TIMES,
        st.sampled_from(["speech", "music", "speech_over_music", "other"]),
        PROBABILITY,
        st.booleans(),
    ),
    st.builds(
        lambda t, words, at, score: Match(*t, words, words, words, at * 10, score, True),
        TIMES,
        st.text(),
        st.integers(0, 10**6),
        PROBABILITY,
    ),
    st.builds(
        lambda t, words, at, score: Share(*t, words, words, words, at * 10, score),
        TIMES,
        st.text(),
        st.integers(0, 10**6),
        PROBABILITY,
    ),
    st.builds(
        lambda t, words, count, at: Repeat(*t, words, count, at, "music", "song", words),
        TIMES,
        st.text(),
        st.integers(2, 99),
        st.integers(0, 10**9),
    ),
    st.builds(
        lambda t, level, lufs, title, frozen: Level(
            *t, level, (level, -120.0), level, lufs, None, lufs, 0.5, 3, 0.2, (2,), frozen, title
        ),
        TIMES,
        st.floats(-120, 20),
        st.none() | st.floats(-120, 20),
        st.none() | st.text(),
        st.booleans(),
    ),
    st.builds(lambda t, reason: Gap(*t, reason), TIMES, st.text()),
    st.builds(
        lambda t, final, value, text: Alarm(
            *t, "dead_air", final, "critical", not final, value, value, text, text, text
        ),
        TIMES,
        st.booleans(),
        st.none() | st.floats(-120, 20),
        st.text(),
    ),
)


@given(EVENTS)
def test_a_subscriber_gets_the_event_back_from_its_json(event):
    assert event_of(event.to_dict()) == event


def test_an_event_of_another_kind_is_refused_by_name():
    known = Gap("a", 0, 1, MS, None, "r").to_dict()
    with pytest.raises(ValueError, match=r"airsift\.dream/1"):
        event_of(known | {"schema": "airsift.dream/1"})


@given(st.integers(0, 3 * air.RATE), st.integers(0, 10**6))
def test_a_programme_is_sent_whole(length, after_ms):
    samples = np.arange(length, dtype=np.float32)
    chunks = [chunk for batch in ProgrammeSource("a", samples, after_ms) for chunk in batch]
    first = after_ms * air.RATE // 1000
    assert [chunk.start - first for chunk in chunks] == list(range(0, length, air.RATE))
    assert sum(len(chunk.samples) for chunk in chunks) == length
    for chunk in chunks:
        assert np.array_equal(chunk.samples, samples[chunk.start - first : chunk.end - first])


class EndlessSource:
    """Gives its batches, then nothing for ever, as Kafka does."""

    def __init__(self, *batches):
        self._batches = batches
        self.polled = 0

    def __iter__(self):
        for chunks in self._batches:
            self.polled += 1
            yield list(chunks)
        while True:
            self.polled += 1
            yield []


def chunk(station, end_s, rate=16000):
    return AudioChunk(station, end_s * rate - 160, np.zeros(160, np.float32), rate)


def test_it_ends_when_every_programme_was_processed():
    batches = [[chunk("a", 1)], [chunk("a", 2), chunk("b", 1)], [], [chunk("b", 3, 48000)], []]
    source = EndlessSource(*batches)
    assert len(list(EndingSource(source, {"a": 2000, "b": 3000}))) == 4


def test_a_station_nobody_expects_is_passed_on():
    source = EndlessSource([chunk("other", 9)], [chunk("a", 2)])
    received = [c.station for batch in EndingSource(source, {"a": 2000}) for c in batch]
    assert received == ["other", "a"]


def test_audio_that_never_comes_is_an_error_that_names_the_station(monkeypatch):
    clock = iter(range(1000))
    monkeypatch.setattr(air.time, "monotonic", lambda: float(next(clock)))
    source = EndlessSource([chunk("a", 1)])
    with pytest.raises(BrokerError, match="no audio of a, b for 30 s"):
        list(EndingSource(source, {"a": 2000, "b": 3000}))
    assert 30 <= source.polled <= 34
