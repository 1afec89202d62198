from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.align import Align
from stream.audio import AudioChunk, Cut, rescale


def chunk(start: int, end: int, rate: int = 16000, station: str = "a") -> AudioChunk:
    return AudioChunk(station, start, np.arange(start, end, dtype=np.float32), rate)


@given(st.lists(st.tuples(st.integers(0, 300), st.integers(1, 60)), min_size=1, max_size=30))
def test_whatever_comes_time_runs_forward_and_no_sample_is_heard_twice(pieces):
    out = Align(16000).push([chunk(start, start + n) for start, n in pieces], last=True)
    position = out[0].start
    for item in out:
        assert item.start == position
        position = item.end
        if isinstance(item, AudioChunk):
            assert np.array_equal(item.samples, np.arange(item.start, item.end))
    assert position == max(start + n for start, n in pieces if start + n > out[0].start)


def test_a_hole_is_named_and_an_overlap_trimmed():
    align = Align(16000)
    out = align.push([chunk(0, 100), chunk(50, 150), chunk(0, 150), chunk(200, 210)])
    assert [(type(item).__name__, item.start, item.end) for item in out] == [
        ("AudioChunk", 0, 100),
        ("AudioChunk", 100, 150),
        ("Cut", 150, 200),
        ("AudioChunk", 200, 210),
    ]
    assert out[2].reason == "missing"
    assert align.counts == {"chunks": 4, "dropped": 1, "trimmed": 1, "gaps": 1}


def test_the_time_of_a_trimmed_chunk_is_that_of_its_first_sample():
    align = Align(16000)
    align.push([chunk(0, 1600)])
    late = AudioChunk("a", 800, np.zeros(1600, np.float32), 16000, time=10.0)
    assert align.push([late])[0].time == pytest.approx(10.05)


def test_cuts_count_in_the_rate_asked_for():
    out = Align(16000).push([chunk(0, 48000, 48000), chunk(96000, 96001, 48000)])
    assert (out[1].start, out[1].end, out[1].rate) == (16000, 32000, 16000)


def test_a_change_of_rate_is_no_gap():
    out = Align(16000).push([chunk(0, 48000, 48000), chunk(44100, 44200, 44100)])
    assert [type(item) for item in out] == [AudioChunk, AudioChunk]


def test_last_ends_every_station_and_leaves_the_stage_as_new():
    align = Align(16000)
    out = align.push([chunk(0, 10), chunk(5, 9, station="b")], last=True)
    assert out[2:] == [Cut("a", 10, 10, 16000), Cut("b", 9, 9, 16000)]
    assert [item.start for item in align.push([chunk(3, 4)])] == [3]


def test_audio_from_before_an_expected_place_is_dropped():
    align = Align(16000)
    align.expect("a", 100)
    assert [(item.start, item.end) for item in align.push([chunk(0, 90), chunk(90, 120)])] == [
        (100, 120)
    ]


@given(st.integers(0, 10**12), st.sampled_from([8000, 11025, 22050, 44100, 48000]))
def test_rescale_is_the_nearest_sample(sample, rate):
    scaled = rescale(sample, rate, 16000)
    assert abs(scaled * rate - sample * 16000) * 2 <= rate


@pytest.mark.parametrize("rounded", [-1, 0, 1])
def test_rounding_where_the_rate_changes_is_no_gap(rounded):
    place = rescale(44101, 44100, 48000) + rounded
    out = Align(16000).push([chunk(0, 44101, 44100), chunk(place, place + 4800, 48000)])
    assert [type(item) for item in out] == [AudioChunk, AudioChunk]
