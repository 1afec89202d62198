import numpy as np
import pytest

from stream.audio import AudioChunk, Cut
from stream.clock import Clock


def chunk(start, time, station="a"):
    return AudioChunk(station, start, np.zeros(16000, np.float32), 16000, time)


def test_time_runs_with_the_samples_of_the_session():
    clock = Clock()
    clock.push([chunk(0, 1000.0), chunk(16000, 1001.3)])
    assert clock.time("a", 32000, 16000) == 1002.0


def test_a_gap_sets_the_clock_anew_and_events_before_it_keep_theirs():
    clock = Clock()
    clock.push([chunk(0, 1000.0), Cut("a", 16000, 160000, 16000, "missing"), chunk(160000, 1020.0)])
    assert clock.time("a", 8000, 16000) == 1000.5
    assert clock.time("a", 160000, 16000) == 1020.0


def test_without_a_time_there_is_none():
    clock = Clock()
    clock.push([chunk(0, None)])
    assert clock.time("a", 0, 16000) is None
    assert clock.time("never heard", 0, 16000) is None


def test_zero_is_what_set_needs():
    clock, other = Clock(), Clock()
    clock.push([chunk(16000, 1001.0)])
    other.set("a", *clock.zero("a"))
    assert other.time("a", 48000, 16000) == pytest.approx(clock.time("a", 48000, 16000))
