"""A candidate over the pieces of a query: where it is followed, and where its track ends.

Pieces behind it that fit by chance do not count.
"""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fingerprint.analysis import hashes
from fingerprint.analysis.peaks import extract
from fingerprint.index.builder import MemSegment
from fingerprint.matching.candidates import Candidate
from fingerprint.matching.hypothesis import Scorer, without_chance
from fingerprint.matching.matcher import cut
from fingerprint.matching.verification import Verification
from fingerprint.matching.warp import NO_WARP
from fingerprint.settings import HOP
from tests.fingerprint.music import compose

STEP = 625  # frames, 10 s


def piece(number, z, away=0):
    return Verification(100 + number * STEP + away, z, np.zeros(48, np.float32), 0, STEP, 0.0)


def left(run):
    return without_chance(run, [number * float(STEP) for number in range(len(run))])


@pytest.mark.parametrize(
    ("z", "away", "counts"),
    [(9.0, 0, True), (9.0, 3, True), (3.8, 1, True), (3.8, -3, False), (2.9, 0, False)],
)
def test_a_piece_at_an_end_counts_if_it_is_certain_or_goes_on_at_its_lag(z, away, counts):
    body = [piece(number, 8.0) for number in (1, 2)]
    assert left([piece(0, 8.0), *body, piece(3, z, away)]) == (0, 4 if counts else 3)
    assert left([piece(0, z, away), *body, piece(3, 8.0)]) == (0 if counts else 1, 4)


def test_a_faint_piece_inside_a_track_stays():
    run = [piece(0, 8.0), piece(1, 1.0, 3), piece(2, 8.0)]
    assert left(run) == (0, 3)


pieces = st.lists(st.tuples(st.floats(-2, 20), st.integers(-3, 3)), min_size=1, max_size=8)


@given(pieces)
def test_one_piece_or_more_is_left_and_certain_ones_always_are(made):
    run = [piece(number, z, away) for number, (z, away) in enumerate(made)]
    first, end = left(run)
    assert 0 <= first < end <= len(run)
    certain = [number for number, (z, _) in enumerate(made) if z >= 6]
    assert all(first <= number < end for number in certain)


def test_a_query_that_is_warped_goes_on_at_the_lag_of_its_tempo():
    run = [piece(0, 8.0), piece(1, 3.8, 13)]  # 2 % faster: 13 frames more in 10 s
    assert without_chance(run, [0.0, STEP * 1.02]) == (0, 2)
    assert without_chance(run, [0.0, STEP]) == (0, 1)


@pytest.mark.parametrize(("lag", "verified"), [(0, [0, 1, 2]), (777, [1])])
def test_only_a_place_that_its_own_piece_supports_is_followed(monkeypatch, lag, verified):
    samples = compose(1, 40.0)
    stored = MemSegment()
    stored.add(1, 1 + len(samples) // HOP, *hashes.quantised(extract(samples)))
    pieces = cut(extract(samples[: 30 * 16_000]))
    scorer, asked = Scorer(pieces), []
    verify = scorer._verify
    monkeypatch.setattr(scorer, "_verify", lambda c, at: asked.append(at) or verify(c, at))
    here = round(pieces[1].start / HOP) + lag
    found = scorer.score(Candidate(stored.segment(), 0, here, 50, NO_WARP), 1)
    assert sorted(asked) == verified
    assert found is not None
    assert (found.first, found.last) == (verified[0], verified[-1])
