"""Stations that are silent for too long: what was open is ended, and they begin anew."""

from __future__ import annotations

import json

import numpy as np
import pytest

from model.frontend import RollingCQT
from stream.audio import AudioChunk, rescale
from stream.drive import Stop, drive
from stream.events import Gap
from stream.identify import Identify, IdentifySettings
from stream.pipeline import Pipeline
from stream.smooth import SmoothSettings
from stream.sources import Batch
from tests.stream.test_drive import ListSink, ListSource
from tests.stream.test_identify import SampleMatcher

RATE = 16000
SMOOTH = SmoothSettings(enter=0.6, leave=0.4, min_length=32000, update=80000, grid=1600)
ASK = IdentifySettings(
    first=6 * RATE, interval=5 * RATE, query=10 * RATE, shortest=3 * RATE, tolerance=8000
)
FRONT_END = RollingCQT()


@pytest.fixture
def make(classifier):
    return lambda: Pipeline(FRONT_END, classifier, SMOOTH, Identify(SampleMatcher(), ASK))


def chunks(samples, first=0, rate=RATE, station="a"):
    """Return a second of audio at a time; sample 0 was at Unix time 5."""
    start, n = rescale(first, RATE, rate), rate
    return [
        AudioChunk(station, start + at, samples[at : at + n], rate, 5.0 + (start + at) / rate)
        for at in range(0, len(samples), n)
    ]


def has_music(seconds):
    """Return a tune that the stand-in of a matcher knows, and that is heard as music."""
    t = np.arange(seconds * RATE) / RATE
    return (0.5 + 0.4 * np.sin(2 * np.pi * 3000 * t)).astype(np.float32)


def ends(pipeline, audio):
    """Return what is said until an end of the station, and its last snapshot."""
    events = pipeline.push(audio)
    return events, json.loads(json.dumps(pipeline.snapshot("a")))


def is_open(events):
    """Return the ids of what was told and never closed."""
    told = {event.id: event for event in events if hasattr(event, "final")}
    return {name for name, event in told.items() if not event.final}


@pytest.mark.parametrize("seconds", [1, 7, 30, 41])
@pytest.mark.parametrize("rate", [RATE, 44100])
def test_what_was_open_is_ended_where_the_last_decision_ends(make, programme, seconds, rate):
    samples = np.interp(
        np.arange(seconds * rate) / rate * RATE, np.arange(50 * RATE), programme(50)
    )
    pipeline = make()
    events, snapshot = ends(pipeline, chunks(samples.astype(np.float32), rate=rate))
    ending = pipeline.end("a", snapshot)
    assert is_open(events) <= {event.id for event in ending}
    assert is_open(events + ending) == set()
    last = max((event.end for event in events if event.kind == "decision"), default=0)
    assert all(event.end <= last and event.end > event.start for event in ending)
    assert any(event.end == last for event in ending) is (last > 0)


def test_it_is_the_same_whoever_ends_it(make):
    """The one who heard the station, one who begins with its snapshot, one who heard a part."""
    first, second, third = make(), make(), make()
    audio = chunks(has_music(33))
    _, snapshot = ends(first, audio)
    third.restore("a", snapshot)
    third.push([chunk for chunk in audio if chunk.end > snapshot["oldest"]][:2])
    endings = [[e.to_json() for e in one.end("a", snapshot)] for one in (first, second, third)]
    assert endings[0] == endings[1] == endings[2] != []


def test_matches_that_were_open_are_ended_too(make):
    pipeline = make()
    events, snapshot = ends(pipeline, chunks(has_music(40)))
    assert any(event.kind == "match" for event in events)
    assert is_open(events + make().end("a", snapshot)) == set()


@pytest.mark.parametrize("away_s", [0, 3, 1000])
def test_a_station_that_returns_begins_anew_and_says_no_id_twice(make, programme, away_s):
    pipeline, samples = make(), programme(30)
    events, snapshot = ends(pipeline, chunks(samples))
    events += pipeline.end("a", snapshot)
    first = (30 + away_s) * RATE
    again = pipeline.push(chunks(samples, first), last=True)
    assert again
    assert not {e.id for e in again} & {e.id for e in events}
    assert min(e.start for e in again) >= first >= max(e.end for e in events)
    assert not any(isinstance(event, Gap) for event in again)
    fresh = make().push(chunks(samples, first), last=True)
    assert [e.to_json() for e in again] == [e.to_json() for e in fresh]


def test_a_snapshot_of_another_version_ends_nothing(make):
    assert make().end("a", {"version": 99, "window": "x"}) == []


def test_the_driver_publishes_the_end_before_it_settles(make, programme):
    pipeline, sink = make(), ListSink()
    snapshots = {}

    class Source(ListSource):
        def __iter__(self):
            yield from super().__iter__()
            snapshots["a"] = self.settled[-1]["a"]
            yield Batch(ended={"a": snapshots["a"]})
            yield Batch(chunks(programme(1), station="b"))

    source = Source([Batch([chunk]) for chunk in chunks(programme(20))], resumable=True)
    drive(source, pipeline, [sink], checkpoint_s=1e-9, stop=Stop())
    assert is_open(sink.events) == set()
    assert "a" not in source.settled[-3]
    assert pipeline.align.position("a") == 0
