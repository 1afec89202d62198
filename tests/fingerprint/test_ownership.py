"""A loop that two pieces share is told as such; a track is named by what is its own."""

import numpy as np
import pytest

from fingerprint.catalogue import Catalogue
from fingerprint.matching.matcher import LandmarkMatcher
from fingerprint.track import Track
from tests.fingerprint.music import compose

RATE = 16_000
SECONDS = 40


def over_a_loop(seed, loop_s=4.0):
    """Return a piece of its own over a loop that all these pieces share."""
    loop = np.tile(compose(200, loop_s), int(SECONDS / loop_s))
    return loop + compose(seed, float(SECONDS))


def noise(samples, db, seed=0):
    level = float(np.sqrt(np.mean(samples**2))) * 10 ** (db / 20)
    return (level * np.random.default_rng(seed).standard_normal(len(samples))).astype(np.float32)


@pytest.fixture(scope="module")
def matcher(tmp_path_factory):
    catalogue = Catalogue.create(tmp_path_factory.mktemp("loops"))
    catalogue.add(over_a_loop(300), Track("ours"))
    catalogue.add(compose(301, float(SECONDS)), Track("other"))
    return LandmarkMatcher(catalogue, warp_search=False)


@pytest.mark.parametrize("seed", [310, 311, 312])
@pytest.mark.parametrize("seconds", [10, 30])
def test_another_piece_over_the_loop_of_a_track_shares_it(matcher, seed, seconds):
    piece = over_a_loop(seed)[5 * RATE : (5 + seconds) * RATE]
    matches, shares = matcher.match_with_shares(matcher.extract(piece))
    assert matches == []
    assert {share.track for share in shares} == {"ours"}
    assert sum(share.query_end - share.query_start for share in shares) > 0.6 * seconds * RATE


@pytest.mark.parametrize("noise_db", [None, 0, 6])
def test_the_track_itself_is_named_whatever_covers_it(matcher, noise_db):
    piece = over_a_loop(300)[5 * RATE : 25 * RATE]
    if noise_db is not None:
        piece = piece + noise(piece, noise_db)
    matches, shares = matcher.match_with_shares(matcher.extract(piece))
    assert [match.track for match in matches] == ["ours"]
    assert shares == []


def melody(seed, seconds):
    """Return tones of a quarter of a second, drawn from one scale."""
    rng = np.random.default_rng(seed)
    time = np.arange(RATE // 4) / RATE
    hz = 220 * 2 ** (rng.choice([0, 2, 4, 7, 9, 12, 14, 16], seconds * 4) / 12)
    ends = np.minimum(np.minimum(time, time[::-1]) / 0.005, 1)
    return (ends * np.sin(2 * np.pi * hz[:, None] * time)).astype(np.float32).ravel()


@pytest.mark.slow
def test_melodies_of_one_tempo_and_scale_are_not_one_another(tmp_path):
    """On the beat, every note of the scale is where another one is."""
    catalogue = Catalogue.create(tmp_path)
    for seed in range(4):
        catalogue.add(melody(seed, 60), Track(f"melody {seed}"))
    matcher = LandmarkMatcher(catalogue, warp_search=False)
    for seed in range(100, 112):
        assert matcher.match(matcher.extract(melody(seed, 30))) == []
    (found,) = matcher.match(matcher.extract(melody(2, 60)[7 * RATE : 37 * RATE]))
    assert found.track == "melody 2"
