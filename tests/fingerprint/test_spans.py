"""What matches leave of a query, and which matches continue each other."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fingerprint.analysis.landmarks import Landmarks
from fingerprint.matching.matcher import TrackMatch
from fingerprint.matching.spans import continues, join, rests, without_overlap

RATE = 16_000
PIECE = (5 * RATE, 15 * RATE)


def found(track, start, end, place=0, recording="", speed=1.0):
    return TrackMatch(track, track, "", start, end, place, 3.0, speed, recording=recording)


def piece():
    time = np.arange(0, 20 * RATE, 4000)
    whole = Landmarks(
        time, np.zeros(len(time), np.float32), np.zeros(len(time), np.int16), 0, 20 * RATE
    )
    return whole.between(*PIECE)


@given(st.lists(st.tuples(st.integers(0, 20 * RATE), st.integers(1, 9 * RATE)), max_size=4))
def test_rests_are_what_no_match_explains(spans):
    matches = [found("a", start, start + length) for start, length in spans]
    inside = [m for m in matches if m.query_start < PIECE[1] and m.query_end > PIECE[0]]
    some = rests(piece(), matches)
    for rest in some:
        assert PIECE[0] <= rest.start <= rest.end - 3 * RATE <= PIECE[1] - 3 * RATE
        assert not any(m.query_start < rest.end and m.query_end > rest.start for m in matches)
        assert ((rest.time >= rest.start) & (rest.time < rest.end)).all()
    # Whatever else is free is shorter than 3 s.
    free = np.ones(PIECE[1] - PIECE[0], bool)
    for each in [
        *((m.query_start, m.query_end) for m in matches),
        *((r.start, r.end) for r in some),
    ]:
        free[max(each[0] - PIECE[0], 0) : max(each[1] - PIECE[0], 0)] = False
    edges = np.flatnonzero(np.diff(np.concatenate([[0], free.view(np.int8), [0]])))
    if inside:
        assert all(edges[1::2] - edges[::2] < 3 * RATE)
    else:
        assert some == []


def test_one_playback_continues_at_its_own_speed():
    first = found("a", 0, 5 * RATE, 100, speed=1.02)
    later = found("a", 6 * RATE, 9 * RATE, 100 + round(6 * RATE * 1.02), speed=1.02)
    assert continues(first, later)
    whole = join(first, later)
    assert (whole.query_start, whole.query_end, whole.track_start) == (0, 9 * RATE, 100)


@pytest.mark.parametrize(
    ("later", "expected"),
    [
        pytest.param(found("a", 6 * RATE, 9 * RATE, 20 * RATE), False, id="another place"),
        pytest.param(found("a", 7 * RATE, 9 * RATE, 7 * RATE), False, id="a gap"),
        pytest.param(found("b", 5 * RATE, 9 * RATE, 5 * RATE), False, id="another track"),
        pytest.param(found("b", 5 * RATE, 9 * RATE, 0, "r"), True, id="a copy"),
    ],
)
def test_what_else_continues_a_playback(later, expected):
    assert continues(found("a", 0, 5 * RATE, recording="r"), later) == expected


def test_of_matches_for_the_same_audio_the_best_is_kept():
    best, worse, beside = found("a", 0, 9), found("b", 5, 14), found("c", 8, 20)
    assert without_overlap([(1.0, worse), (2.0, best), (0.5, beside)]) == [best, beside]
