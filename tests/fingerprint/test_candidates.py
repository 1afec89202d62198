"""The fullest places are found without counting every one, whatever segments hold the tracks."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fingerprint.analysis import hashes
from fingerprint.analysis.landmarks import Landmarks
from fingerprint.index.builder import MemSegment
from fingerprint.index.segment_file import open_segment, write_merged
from fingerprint.matching.candidates import _densest, find_candidates
from fingerprint.matching.verification import QueryMap, verify
from fingerprint.matching.warp import NO_WARP, Warp
from fingerprint.settings import HOP

FRAMES = 240
TRACKS = 9


def votes_at(lags, value):
    return sum(abs(lag - value) <= 1 for lag in lags)


@given(
    st.lists(st.integers(-200, 200), max_size=200),
    st.lists(st.tuples(st.integers(-200, 200), st.integers(3, 40)), max_size=5),
)
def test_the_fullest_places_come_with_their_votes(strewn, heaps):
    lags = sorted(strewn + [value for value, count in heaps for _ in range(count)])
    values, votes = _densest(np.array(lags, np.int32), 3, 3)
    for value, count in zip(values, votes, strict=True):
        assert count == votes_at(lags, value) >= 3
    fullest = max(votes_at(lags, value) for value in range(-201, 202))
    assert max(votes, default=0) == (fullest if fullest >= 3 else 0)


def test_many_votes_everywhere_do_not_hide_a_heap():
    lags = np.repeat(np.arange(0, 40_000, 4), 5)
    lags = np.sort(np.concatenate([lags, np.full(60, 12_345)])).astype(np.int32)
    values, votes = _densest(lags, 12, 3)
    assert abs(values[votes.argmax()] - 12_345) <= 1
    assert votes.max() >= 60


def tune(seed):
    """Peaks of a track; few bins, so that tracks share keys, some of them far more than others."""
    rng = np.random.default_rng(seed)
    frame = np.sort(rng.integers(0, FRAMES, 80))
    return frame, 40 + (rng.integers(0, 12, 80) * rng.integers(0, 2, 80))


def excerpt(seed, other):
    """Landmarks of a part of one track over a part of another."""
    (frame, bin_), (over, above) = tune(seed), tune(other)
    heard, also = frame >= 60, over < 120
    time = np.concatenate([frame[heard] - 60, over[also]]) * HOP
    order = np.argsort(time, kind="stable")
    bins = np.concatenate([bin_[heard], above[also]]).astype(np.float32)[order]
    return Landmarks(time[order], bins, np.zeros(len(order), np.int16), 0, FRAMES * HOP)


def indexed(groups):
    segments = []
    for numbers in groups:
        segment = MemSegment()
        for number in numbers:
            segment.add(number, FRAMES, *tune(number))
        segments.append(segment.segment())
    return segments


def answer(segments, query, warps, max_candidates, max_postings):
    pairs = hashes.query_pairs(query, 6, 6)
    maps = {warp: QueryMap(query, warp) for warp in warps}
    return [
        (
            each.votes,
            int(each.segment.tracks[each.track]),
            each.lag,
            each.warp,
            verify(maps[each.warp], each).z,
        )
        for each in find_candidates(segments, pairs, warps, max_candidates, max_postings)
    ]


@pytest.mark.slow
@given(
    st.lists(st.integers(0, 3), min_size=TRACKS, max_size=TRACKS),
    st.permutations(range(1, TRACKS + 1)),
    st.sampled_from([0, 100, 1000, 5000, 10**6]),
    st.integers(1, 6),
    st.booleans(),
    st.data(),
)
def test_the_answer_does_not_depend_on_the_segments(
    tmp_path_factory, places, order, max_postings, max_candidates, warped, data
):
    groups = [[n for n, at in zip(order, places, strict=True) if at == s] for s in range(4)]
    query = excerpt(data.draw(st.integers(1, TRACKS)), data.draw(st.integers(1, TRACKS)))
    warps = [NO_WARP, Warp(1.02, 0.0), Warp(1.0, 1.0)] if warped else [NO_WARP]
    together = indexed([range(1, TRACKS + 1)])
    expected = answer(together, query, warps, max_candidates, max_postings)
    assert len(expected) == max_candidates or max_postings < 10**6
    split = indexed(group for group in groups if group)
    assert answer(split, query, warps, max_candidates, max_postings) == expected
    path = tmp_path_factory.mktemp("merged") / "some.seg"
    write_merged(path, split[-2:], range(1, TRACKS + 1))
    merged = [open_segment(path), *split[:-2]]
    assert answer(merged, query, warps, max_candidates, max_postings) == expected


def test_a_new_track_is_looked_up_by_the_keys_of_the_whole_index():
    """A budget that leaves out the common keys leaves out the same ones in every segment."""
    large, small = indexed([range(1, TRACKS), [TRACKS]])
    (both,) = indexed([range(1, TRACKS + 1)])
    query = excerpt(TRACKS, TRACKS)
    for max_postings in (500, 2000):
        votes = [
            [v for v, track, lag, *_ in answer(segments, query, [NO_WARP], 9, max_postings)
             if (track, lag) == (TRACKS, 60)]
            for segments in ([large, small], [both])
        ]  # fmt: skip
        assert votes[0] == votes[1] != []


def test_only_a_place_of_its_own_leads():
    """A track that is there twice has the votes twice: neither of the two leads."""
    (once,) = indexed([range(1, TRACKS + 1)])
    twice = MemSegment()
    for number in (1, 2):
        twice.add(number, FRAMES, *tune(1))
    pairs = hashes.query_pairs(excerpt(1, 1), 6, 6)
    first, second, *others = find_candidates([once], pairs, [NO_WARP], 4)
    assert first.lead == pytest.approx((first.votes + 5) / (second.votes + 5))
    assert {each.lead for each in (second, *others)} == {1}
    copies = find_candidates([twice.segment()], pairs, [NO_WARP], 4)[:2]
    assert [each.lead for each in copies] == [1, 1]


def test_a_query_longer_than_the_space_between_tracks_is_refused():
    short = excerpt(1, 2)
    time = short.time + 2048 * HOP * (short.time > 100 * HOP)
    far = Landmarks(time, short.bin, short.rank, 0, 2400 * HOP)
    with pytest.raises(ValueError, match=r"at most 2048 are searched"):
        find_candidates([], hashes.query_pairs(far, 6, 6), [NO_WARP], 4)
