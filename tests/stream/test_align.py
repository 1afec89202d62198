from __future__ import annotations

import itertools
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.audio import AudioChunk, Discontinuity, EndOfStream, end_of, rescale
from stream.stages.align import Align
from tests.examples import examples

END = end_of("a", 16000)


def chunk(start: int, end: int, rate: int = 16000, station: str = "a") -> AudioChunk:
    return AudioChunk(station, start, np.arange(start, end, dtype=np.float32), rate)


@given(st.lists(st.tuples(st.integers(0, 300), st.integers(1, 60)), min_size=1, max_size=30))
def test_time_runs_forward_and_no_sample_comes_twice(pieces):
    out = Align(16000).push([*(chunk(start, start + n) for start, n in pieces), END])
    position = out[0].start
    for item in out:
        assert item.start == position
        if isinstance(item, EndOfStream):
            continue
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
        ("Discontinuity", 150, 200),
        ("AudioChunk", 200, 210),
    ]
    assert out[2].reason == "missing"
    assert align.counts == {"chunks": 4, "dropped": 1, "trimmed": 1, "gaps": 1}


def test_the_time_of_a_trimmed_chunk_is_that_of_its_first_sample():
    align = Align(16000)
    align.push([chunk(0, 1600)])
    late = AudioChunk("a", 800, np.zeros(1600, np.float32), 16000, time=10.0)
    assert align.push([late])[0].time == pytest.approx(10.05)


def test_discontinuities_count_in_the_requested_rate():
    out = Align(16000).push([chunk(0, 48000, 48000), chunk(96000, 96001, 48000)])
    assert (out[1].start, out[1].end, out[1].rate) == (16000, 32000, 16000)


def test_a_change_of_rate_is_no_gap():
    out = Align(16000).push([chunk(0, 48000, 48000), chunk(44100, 44200, 44100)])
    assert [type(item) for item in out] == [AudioChunk, AudioChunk]


def test_an_end_ends_its_station_where_its_audio_ends():
    align = Align(16000)
    out = align.push([chunk(0, 10), chunk(5, 9, station="b"), END, end_of("b", 16000)])
    assert out[2:] == [EndOfStream("a", 10, 16000), EndOfStream("b", 9, 16000)]
    assert [item.start for item in align.push([chunk(3, 14)])] == [10]


def test_audio_from_before_an_expected_place_is_dropped():
    align = Align(16000)
    restore(align, 100, 0)
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


# Out of order. A station plays samples 0, 1, 2...; the output shows which were processed.

PIECE = 160  # 10 ms
WINDOW_S = 0.1  # ten of them


def restore(align: Align, oldest: int, position: int) -> None:
    session = align.sessions["a"]
    session.restored = SimpleNamespace(oldest=oldest)
    align.restore(session, position)


def position_of(align: Align) -> int:
    return align.snapshot(align.sessions["a"])


def spans(out: list) -> list[tuple[str, int, int]]:
    """Return cuts and stretches of audio, joined: what is independent of how audio is cut."""
    joined: list[tuple[str, int, int]] = []
    for item in out:
        kind = type(item).__name__
        if isinstance(item, AudioChunk):
            assert np.array_equal(item.samples, np.arange(item.start, item.end))
            if joined and joined[-1][0] == kind and joined[-1][2] == item.start:
                joined[-1] = (kind, joined[-1][1], item.end)
                continue
        joined.append((kind, item.start, getattr(item, "end", item.start)))
    return joined


@st.composite
def arrivals(draw, lost: bool = True) -> list[AudioChunk]:
    """Draw pieces of one station: some lost, some twice, each at most eight places late."""
    n = draw(st.integers(1, 40))
    late = draw(st.lists(st.integers(0, 8), min_size=n, max_size=n))
    order = sorted(range(1, n), key=lambda i: i + late[i])
    if lost:
        order = [i for i in order if draw(st.integers(0, 5))]
        order += draw(st.lists(st.sampled_from(order or [0]), max_size=4))
    return [chunk(i * PIECE, (i + 1) * PIECE) for i in [0, *order]]


@examples(40)
@given(arrivals(lost=False))
def test_chunks_late_within_the_window_are_put_in_order(pieces):
    align = Align(16000, WINDOW_S)
    end = len(pieces) * PIECE
    assert spans(align.push([*pieces, END])) == [("AudioChunk", 0, end), ("EndOfStream", end, end)]
    assert (align.counts["gaps"], align.counts["late"], align.counts["dropped"]) == (0, 0, 0)


@examples(40)
@given(arrivals())
def test_a_chunk_in_order_waits_for_nothing(pieces):
    align, expected = Align(16000, WINDOW_S), 0
    for piece in pieces:
        out = align.push([piece])
        if piece.start == expected:
            assert piece in out
        expected = position_of(align)


@examples(40)
@given(arrivals(), st.lists(st.integers(1, PIECE - 1), max_size=5), st.integers(1, 7))
def test_cutting_late_chunks_changes_nothing(pieces, points, size):
    edges = [0, *sorted(set(points)), PIECE]
    parts = [
        chunk(piece.start + a, piece.start + b)
        for piece in pieces
        for a, b in itertools.pairwise(edges)
    ]
    one, out = Align(16000, WINDOW_S), []
    for first in range(0, len(parts), size):
        out += one.push(parts[first : first + size])
    assert spans(out + one.push([END])) == spans(Align(16000, WINDOW_S).push([*pieces, END]))


@examples(60)
@given(arrivals(), st.data())
def test_a_restart_decides_again_what_was_decided(pieces, data):
    whole = spans(Align(16000, WINDOW_S).push([*pieces, END]))
    stop = data.draw(st.integers(1, len(pieces)))
    first = Align(16000, WINDOW_S)
    before = first.push(pieces[:stop])
    # What is passed on is needed again from any sample of the last stretch, and so is what waits.
    begin = [item for item in before if isinstance(item, Discontinuity)]
    oldest = data.draw(st.integers(begin[-1].end if begin else 0, position_of(first)))
    again = next((i for i, piece in enumerate(pieces[:stop]) if piece.end > oldest), stop)
    second = Align(16000, WINDOW_S)
    restore(second, oldest, 0)
    after = spans(second.push([*pieces[again:], END]))
    assert after == [
        (kind, max(start, oldest), end)
        for kind, start, end in whole
        if end > oldest or start == end
    ]


def test_what_comes_too_late_is_dropped_and_counted_as_late():
    align = Align(16000, WINDOW_S)
    order = [0, 1, *range(3, 14), 2, 1]
    out = align.push([chunk(i * PIECE, (i + 1) * PIECE) for i in order])
    assert spans(out) == [
        ("AudioChunk", 0, 2 * PIECE),
        ("Discontinuity", 2 * PIECE, 3 * PIECE),
        ("AudioChunk", 3 * PIECE, 14 * PIECE),
    ]
    assert align.counts == {"chunks": 15, "gaps": 1, "late": 1, "dropped": 1}


def test_a_swapped_chunk_is_counted():
    align = Align(16000, WINDOW_S)
    align.push([chunk(i * PIECE, (i + 1) * PIECE) for i in (0, 2, 1, 3)])
    assert align.counts == {"chunks": 4, "reordered": 1}


def test_a_hole_longer_than_the_window_waits_for_nothing():
    align = Align(16000, WINDOW_S)
    align.push([chunk(0, PIECE)])
    assert len(align.push([chunk(100 * PIECE, 101 * PIECE)])) == 2


def test_chunks_of_two_rates_are_put_in_order():
    align = Align(16000, WINDOW_S)
    out = align.push([chunk(0, 441, 44100), chunk(960, 1440, 48000), chunk(441, 882, 44100)])
    assert [(item.start, item.rate) for item in out] == [(0, 44100), (441, 44100), (960, 48000)]


def test_one_sample_at_a_time_backwards_takes_no_time():
    align = Align(16000, 2.0)
    align.push([chunk(0, 1)])
    assert len(align.push([chunk(i, i + 1) for i in range(8000, 0, -1)])) == 8000


def test_a_producer_that_counts_anew_is_reported_once(caplog):
    align = Align(100)
    silence = np.zeros(100, np.float32)

    def send(*seconds):
        align.push([AudioChunk("a", s * 100, silence, 100) for s in seconds])
        stations, _ = [record.station for record in caplog.records], caplog.clear()
        return stations

    assert send(100, 101, 100, 45, 102) == []
    assert send(0, 1, 2) == ["a"]
    assert send(103, 5, 104, 6) == []  # two producers, in turns
    assert send(3800, 7, 3801, 8) == ["a"]
    assert align.counts["dropped"] == 9


@pytest.mark.parametrize("rate", [8000, 11025, 22050, 44100])
@pytest.mark.parametrize("missing", [0, 1, 2, 50])
def test_a_station_that_returns_goes_on_the_same_after_a_restart(rate, missing):
    n = 220  # of 11 025 samples per second: no whole number of 16 000
    whole = Align(16000)
    whole.push([replace(chunk(0, n, rate), ends="sent")])
    again = Align(16000)
    restore(again, position_of(whole), position_of(whole))
    back = [chunk(n + missing, 2 * n + missing, rate)]
    one, other = whole.push(back), again.push(back)
    assert [(x.start, x.end) for x in one] == [(x.start, x.end) for x in other]
    if missing in (0, 50):
        assert any(isinstance(item, Discontinuity) for item in one) == bool(missing)


@given(
    st.sampled_from(RATES := [8000, 11025, 16000, 22050, 44100, 48000]),
    st.sampled_from(RATES),
    st.integers(0, 10**13),
    st.integers(1000, 10**6),
)
def test_a_gap_before_another_rate_begins_at_the_snapshots_position(rate, other, start, missing):
    whole = Align(16000)
    whole.push([chunk(start, start + 220, rate)])
    again = Align(16000)
    restore(again, position_of(whole), position_of(whole))
    after = rescale(start + 220, rate, other) + missing
    back = [chunk(after, after + 10, other)]
    (gap, _), (same, _) = whole.push(back), again.push(back)
    assert gap == same
    assert gap.start == rescale(start + 220, rate, 16000)


@pytest.mark.parametrize("start", [0, 4000])
def test_a_producer_that_does_not_count_is_reported_once(caplog, start):
    align = Align(16000)
    align.push([chunk(0, 8000)])
    for _ in range(300):
        align.push([chunk(start, start + 4000)])
    [line] = [record.getMessage() for record in caplog.records]
    assert f"what begins at sample {start} lies before sample 8000" in line
    align.push([chunk(8000, 16000), *[chunk(4000, 12000)] * 100])  # as after a restart
    assert len(caplog.records) == 1


@given(
    st.sampled_from(RATES),
    st.lists(st.sampled_from(RATES), min_size=1, max_size=4),
    st.integers(10**6, 10**13),
)
def test_dropped_chunks_of_any_rate_move_nothing(rate, others, start):
    align = Align(16000)
    align.push([chunk(start, start + 220, rate)])
    before = position_of(align)
    for other in others:
        at = rescale(start, rate, other)
        align.push([chunk(at - 100, at - 50, other)])
    assert position_of(align) == before
