from __future__ import annotations

import itertools
import json
import logging
import re
from dataclasses import asdict

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.audio import AudioChunk, Discontinuity
from stream.events import Segment
from stream.stages.clock import SPAN_S, Clock
from tests.examples import examples

RATE = 100  # a clock looks at times only
UNIX = 1_700_000_000.0


def chunk(start_s, time, station="a", length_s=1.0):
    samples = np.zeros(round(length_s * RATE), np.float32)
    return AudioChunk(station, round(start_s * RATE), samples, RATE, time)


def segment(*, final):
    return Segment("a", 0, 10 * RATE, RATE, None, "music", 0.5, final)


def gap(start_s, end_s):
    return Discontinuity("a", round(start_s * RATE), round(end_s * RATE), RATE, "missing")


def playing(seconds, *, ppm=0.0, jitter_s=0.02, length_s=2.0, begin_s=0.0, seed=0):
    """Return chunks of a station whose samples are fast by `ppm` against its times."""
    rng = np.random.default_rng(seed)
    starts = begin_s + np.arange(0, seconds, length_s)
    times = UNIX + starts / (1 + ppm / 1e6) + rng.uniform(-jitter_s, jitter_s, len(starts))
    return [
        chunk(start, round(time, 3), length_s=length_s)
        for start, time in zip(starts, times, strict=True)
    ]


def test_time_runs_with_the_samples():
    clock = Clock()
    clock.push([chunk(0, 1000.0), chunk(1, 1001.3)])
    assert clock.time("a", 2 * RATE, RATE) == 1002.0


def test_a_gap_sets_the_clock_anew_and_events_before_it_keep_theirs():
    clock = Clock()
    clock.push([chunk(0, 1000.0), gap(1, 10), chunk(10, 1020.0)])
    assert clock.time("a", RATE // 2, RATE) == 1000.5
    assert clock.time("a", 1 * RATE, RATE) == 1001.0
    assert clock.time("a", 10 * RATE, RATE) == 1020.0


def test_a_gap_after_which_the_time_fits_moves_nothing():
    clock = Clock()
    clock.push([chunk(0, 1000.0), gap(1, 10), chunk(10, 1010.2)])
    assert clock.time("a", 10 * RATE, RATE) == 1010.0


def test_without_a_time_there_is_none():
    clock = Clock()
    clock.push([chunk(0, None)])
    assert clock.time("a", 0, RATE) is None
    assert clock.time("unknown", 0, RATE) is None


def test_times_that_jitter_move_no_event_by_more_than_the_first_did():
    clock = Clock()
    clock.push(playing(1800, jitter_s=0.04))
    ends = [clock.time("a", s * RATE, RATE) - s - UNIX for s in range(0, 1800, 10)]
    assert max(map(abs, ends)) < 0.05
    assert abs(dict(clock.drifts_ppm())["a"]) < 5


@pytest.mark.parametrize("ppm", [-300, 15, 100])
def test_a_station_that_drifts_keeps_the_right_time(ppm):
    clock, hours = Clock(), 8
    clock.push([chunk(0, UNIX)])
    opened = clock.date(segment(final=False))
    for start, end in itertools.pairwise(range(0, hours * 3600 + 1, 3600)):
        clock.push(playing(end - start, ppm=ppm, length_s=30.0, begin_s=start, seed=start))
        for at in (end - 1, end - 600):
            assert clock.time("a", at * RATE, RATE) == pytest.approx(
                UNIX + at / (1 + ppm / 1e6), abs=0.1
            )
        assert dict(clock.drifts_ppm())["a"] == pytest.approx(ppm, abs=15)
    assert clock.date(segment(final=True)).time == opened.time
    assert len(json.dumps(asdict(clock.snapshot(clock.sessions["a"])))) < 2000


def test_a_loud_drift_is_logged_once(caplog):
    clock = Clock()
    with caplog.at_level(logging.WARNING):
        clock.push(playing(3600, ppm=300, length_s=10.0))
    [line] = [record.getMessage() for record in caplog.records]
    assert re.fullmatch(r"its samples drift by \+(29|30)\d ppm", line)


def test_one_wrong_time_moves_nothing():
    chunks, clock = playing(400, jitter_s=0.0), Clock()
    chunks[30] = chunk(60, UNIX + 9000.0, length_s=2.0)
    clock.push(chunks)
    assert clock.time("a", 300 * RATE, RATE) == UNIX + 300


def test_a_clock_that_was_set_is_followed_from_the_next_look_on():
    clock = Clock()
    clock.push(playing(600, jitter_s=0.0))
    for start in range(600, 1200, 2):
        clock.push([chunk(start, UNIX - 30 + start, length_s=2.0)])
    assert clock.time("a", 599 * RATE, RATE) == UNIX + 599
    assert clock.time("a", (600 + SPAN_S) * RATE, RATE) == UNIX + 570 + SPAN_S


@examples(10)
@given(
    st.lists(st.tuples(st.floats(-0.3, 0.3), st.integers(0, 40)), min_size=20, max_size=40),
    st.data(),
)
def test_neither_cutting_nor_a_restart_changes_a_time(chunks, data):
    items, at = [], 0.0
    for off, silence in chunks:
        if silence > 37:
            items.append(gap(at, at + silence))
            at += silence
        items.append(chunk(at, UNIX + at * 1.0003 + off, length_s=15.0))
        at += 15
    whole = Clock()
    whole.push(items)
    parts = [part for item in items for part in halves(item)]
    # A gap comes out together with the chunk after it, and nothing before it is processed again.
    stop = data.draw(
        st.sampled_from([i for i, p in enumerate(parts, 1) if not isinstance(p, Discontinuity)])
    )
    gaps = [i for i, part in enumerate(parts[:stop], 1) if isinstance(part, Discontinuity)]
    again = data.draw(st.integers(max([0, stop - 6, *gaps]), stop))
    first, second = Clock(), Clock()
    for part in parts[:stop]:
        first.push([part])
    snapshot = first.snapshot(first.sessions["a"])
    second.restore(second.sessions["a"], snapshot)
    second.push(parts[again:stop])
    assert second.snapshot(second.sessions["a"]) == snapshot
    second.push(parts[stop:])
    for s in range(0, int(at), 7):
        expected = whole.time("a", s * RATE, RATE)
        assert second.time("a", s * RATE, RATE) == pytest.approx(expected, abs=1e-5)


def halves(item):
    if isinstance(item, Discontinuity):
        return [item]
    n = len(item.samples) // 2
    later = AudioChunk("a", item.start + n, item.samples[n:], RATE, item.time + n / RATE)
    return [AudioChunk("a", item.start, item.samples[:n], RATE, item.time), later]
