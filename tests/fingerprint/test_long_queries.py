"""A long query gives the same matches in pieces as in one piece."""

import tracemalloc

import numpy as np
import pytest

from fingerprint.analysis.track_landmarks import LandmarkExtractor
from fingerprint.matching import long_queries
from fingerprint.matching.long_queries import match_long
from fingerprint.matching.matcher import LandmarkMatcher
from tests.fingerprint.music import RATE, compose


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
def test_stretches_give_the_matches_of_the_whole(shelf, seed, monkeypatch):
    rng = np.random.default_rng(seed)
    parts = []
    for _ in range(6):
        song = compose(int(rng.integers(12)), 40.0)
        start, length = rng.integers(0, 20), rng.integers(10, 20)
        parts += [song[start * RATE :][: length * RATE], compose(int(rng.integers(90, 99)), 8.0)]
    matcher = LandmarkMatcher(shelf)
    landmarks = matcher.extract(np.concatenate(parts)).shift(256 * 1000)
    whole = matcher.match(landmarks)
    monkeypatch.setattr(long_queries, "_STRETCH", 45 * RATE)
    monkeypatch.setattr(long_queries, "_OVERLAP", 15 * RATE)
    found = match_long(matcher, landmarks)
    assert [match.track for match in found] == [match.track for match in whole]
    assert len(found) >= 5
    for ours, other in zip(found, whole, strict=True):
        assert abs(ours.query_start - other.query_start) < 2 * RATE
        assert abs(ours.query_end - other.query_end) < 2 * RATE
        places = [match.track_start - match.query_start for match in (ours, other)]
        assert abs(places[0] - places[1]) < RATE // 2


@pytest.mark.slow
def test_a_track_that_is_played_again_is_not_joined(shelf, monkeypatch):
    song = compose(3, 40.0)[: 20 * RATE]
    matcher = LandmarkMatcher(shelf)
    landmarks = matcher.extract(np.concatenate([song] * 4))
    monkeypatch.setattr(long_queries, "_STRETCH", 35 * RATE)
    monkeypatch.setattr(long_queries, "_OVERLAP", 15 * RATE)
    starts = [match.query_start / RATE for match in match_long(matcher, landmarks)]
    assert starts == pytest.approx([0, 20, 40, 60], abs=1.0)


@pytest.mark.long
@pytest.mark.slow
def test_memory_does_not_grow_with_the_length_of_a_question(shelf):
    matcher = LandmarkMatcher(shelf)

    def peak(minutes):
        extraction = LandmarkExtractor()
        for k in range(minutes * 3 // 2):
            extraction.push(compose(k % 12, 40.0))
        landmarks = extraction.finish()
        tracemalloc.start()
        found = match_long(matcher, landmarks)
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert len(found) == minutes * 3 // 2
        return most

    assert peak(30) < 1.5 * peak(10)
