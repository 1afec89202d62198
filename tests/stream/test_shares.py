"""A loop of a track in another piece is a share, once, and no match."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fingerprint.catalogue import Catalogue
from fingerprint.matching.matcher import LandmarkMatcher, TrackMatch
from fingerprint.track import Track
from stream.audio import AudioChunk, EndOfStream
from stream.events import Decision, Match, Share
from stream.stages.identify import Identify
from stream.stages.matchers import for_all
from stream.stages.shares import Shares
from stream.stages.smooth import Smooth
from tests.fingerprint.music import compose
from tests.stream.doubles import SMOOTH
from tests.stream.sample_matcher import TIMES, S

LENGTH = 40


def over_a_loop(seed):
    """Return a piece of its own over a loop that all these pieces share."""
    return np.tile(compose(200, 4.0), LENGTH // 4) + compose(seed, float(LENGTH))


@pytest.fixture(scope="module")
def matcher(tmp_path_factory):
    catalogue = Catalogue.create(tmp_path_factory.mktemp("loops"))
    catalogue.add(over_a_loop(300), Track("ours", "Ours", "We"))
    catalogue.add(compose(301, float(LENGTH)), Track("other"))
    return LandmarkMatcher(catalogue, warp_search=False)


def published(matcher, pieces, *, restart_at=None):
    """Return the matches and shares of pieces one after another, which are labelled as music."""
    samples = np.concatenate([*pieces, np.zeros(4 * S, np.float32)])
    identify, smooth = Identify(for_all(matcher), TIMES), Smooth(SMOOTH)
    out, at = [], 0
    for second in range(len(samples) // S - 4):
        decision = Decision("r", second * S, (second + 5) * S, S, None, 0.05, 0.95)
        chunk = AudioChunk("r", at, samples[at : decision.end], S)
        at = decision.end
        out += identify.push([chunk, *smooth.push([decision])])
        if second == restart_at:
            session = identify.sessions["r"]
            part, oldest = identify.snapshot(session), identify.oldest(session, at)
            identify = Identify(for_all(matcher), TIMES)
            identify.restore(identify.sessions["r"], part)
            identify.push([AudioChunk("r", oldest, samples[oldest:at], S)])
    out += identify.push(smooth.push([EndOfStream("r", len(samples), S)]))
    return [item for item in out if isinstance(item, Match | Share)]


def quiet(seconds):
    return np.zeros(seconds * S, np.float32)


def spans_of(events, kind, **fields):
    """Return the spans, in seconds, of the events of a kind with these fields."""
    return [
        (event.start / S, event.end / S)
        for event in events
        if event.kind == kind and all(getattr(event, k) == v for k, v in fields.items())
    ]


@pytest.mark.slow
@pytest.mark.parametrize("seed", [310, 313])
def test_a_loop_in_another_piece_is_published_once_as_a_share(matcher, seed):
    events = published(matcher, [quiet(10), over_a_loop(seed), quiet(40)])
    (share,) = (event for event in events if isinstance(event, Share))
    assert (share.track, share.title, share.artist) == ("ours", "Ours", "We")
    assert share.id == f"r/share/{share.start}/ours"
    assert "final" not in share.to_dict()
    assert abs(share.end - 50 * S) < 4 * S
    # In its first seconds nothing tells the piece from the track. They are named at most once.
    (start, end), *more = spans_of(events, "match", final=True) or [(10, share.start / S)]
    assert more == []
    assert start == pytest.approx(10, abs=1)
    assert end == pytest.approx(share.start / S)
    assert end < 18


@pytest.mark.slow
def test_a_restart_publishes_the_same_shares(matcher):
    pieces = [over_a_loop(311), quiet(35)]
    whole = published(matcher, pieces)
    assert spans_of(whole, "share")
    for restart_at in (25, 42):
        assert published(matcher, pieces, restart_at=restart_at) == whole


@pytest.mark.slow
def test_the_track_itself_is_a_match_without_a_share(matcher):
    events = published(matcher, [quiet(5), over_a_loop(300), quiet(40)])
    assert [type(each) for each in events] == [Match, Match]


@pytest.mark.slow
def test_a_break_of_the_track_that_is_its_loop_alone_does_not_end_its_match(tmp_path):
    song = over_a_loop(300)
    song[14 * S : 30 * S] = np.tile(compose(200, 4.0), 4)
    catalogue = Catalogue.create(tmp_path)
    catalogue.add(song, Track("song"))
    events = published(LandmarkMatcher(catalogue, warp_search=False), [quiet(5), song, quiet(40)])
    ((start, end),) = spans_of(events, "match", final=True)
    assert start == pytest.approx(5, abs=1)
    assert end == pytest.approx(45, abs=1)
    assert spans_of(events, "share") == []


def answer(track, start, end, score=5.0):
    return TrackMatch(track, track, "", start, end, 1000, score)


def test_of_tracks_over_one_loop_the_strongest_has_the_share():
    shares = Shares()
    shares.add("a", answer("weak", 0, 100, 3.0))
    shares.add("a", answer("strong", 50, 200, 7.0))
    shares.add("a", answer("weak", 150, 260, 4.0))
    (share,) = shares.finish([], 10)
    assert (share.track, share.start, share.end, share.score) == ("strong", 0, 260, 7.0)
    assert share.track_start == 950


def test_a_named_track_is_cut_out_of_a_share():
    shares = Shares()
    shares.add("a", answer("t", 0, 1000))
    left = shares.finish([(300, 600), (995, 1200)], 10)
    assert [(each.start, each.end, each.track_start) for each in left] == [
        (0, 300, 1000),
        (600, 995, 1600),
    ]


spans = st.tuples(st.integers(0, 500), st.integers(1, 120)).map(lambda s: (s[0], s[0] + s[1]))


@given(st.lists(spans, max_size=12), st.lists(spans, max_size=4), st.integers(0, 500))
def test_shares_are_apart_outside_playings_and_cover_what_was_found(found, playings, before):
    shares = Shares()
    for number, (start, end) in enumerate(found):
        shares.add("a", answer(f"t{number % 3}", start, end, float(number % 5)))
    shares.cut(playings[:2])
    early = shares.finish(playings, 0, before)
    late = shares.finish(playings, 0)
    assert all(each.end <= before for each in early)
    both = sorted([*early, *late], key=lambda each: each.start)
    covered = [at for each in both for at in range(each.start, each.end)]
    assert len(set(covered)) == len(covered)
    wanted = {at for start, end in found for at in range(start, end)}
    assert set(covered) == wanted - {at for start, end in playings for at in range(start, end)}
    assert shares.open == []
