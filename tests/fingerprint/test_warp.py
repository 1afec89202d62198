"""Songs played faster, slower, higher or lower are matched, with their time ratio and pitch."""

import av
import numpy as np
import pytest
import soxr

from fingerprint.analysis.hashes import query_pairs
from fingerprint.matching.candidates import find_candidates
from fingerprint.matching.matcher import LandmarkMatcher
from fingerprint.matching.warp import (
    NO_WARP,
    Warp,
    finer_ratios,
    finer_shifts,
    resampled,
    warp_grid,
)
from tests.fingerprint.music import compose

RATE = 16_000


def stretched(samples, speed):
    """Change the tempo and leave the pitch."""
    graph = av.filter.Graph()
    source = graph.add_abuffer(
        sample_rate=RATE, format="fltp", layout="mono", time_base=f"1/{RATE}"
    )
    tempo, sink = graph.add("atempo", str(speed)), graph.add("abuffersink")
    source.link_to(tempo)
    tempo.link_to(sink)
    graph.configure()
    frame = av.AudioFrame.from_ndarray(samples[None].copy(), format="fltp", layout="mono")
    frame.sample_rate, frame.pts = RATE, 0
    source.push(frame)
    source.push(None)
    parts = []
    while True:
        try:
            parts.append(sink.pull().to_ndarray()[0])
        except (av.error.BlockingIOError, av.error.EOFError):
            return np.concatenate(parts)


def match(shelf, samples):
    matcher = LandmarkMatcher(shelf)
    return matcher.match(matcher.extract(samples[: 10 * RATE]))


@pytest.mark.slow
@pytest.mark.parametrize("speed", [0.96, 0.98, 1.033, 1.05])
def test_another_speed_is_found_and_reported(shelf, speed):
    music = compose(4, 40.0)[8 * RATE : 19 * RATE]
    (found,) = match(shelf, soxr.resample(music, RATE * speed, RATE).astype(np.float32))
    assert found.track == "track-4"
    assert found.speed == pytest.approx(speed, abs=0.006)
    assert found.pitch == pytest.approx(12 * np.log2(speed), abs=0.2)
    place = found.track_start - found.query_start * found.speed
    assert place == pytest.approx(8 * RATE, abs=0.1 * RATE)


@pytest.mark.parametrize("speed", [0.96, 1.04])
def test_another_tempo_is_found_and_reported(shelf, speed):
    music = compose(6, 40.0)[8 * RATE : 19 * RATE]
    (found,) = match(shelf, stretched(music, speed))
    assert found.track == "track-6"
    assert found.speed == pytest.approx(speed, abs=0.006)
    assert found.pitch == pytest.approx(0, abs=0.2)


@pytest.mark.parametrize("semitones", [-2, 1, 2])
def test_another_pitch_is_found_and_reported(shelf, semitones):
    factor = 2 ** (semitones / 12)
    music = compose(8, 40.0)[8 * RATE : 20 * RATE]
    higher = soxr.resample(music, RATE * factor, RATE).astype(np.float32)
    (found,) = match(shelf, stretched(higher, 1 / factor))
    assert found.track == "track-8"
    assert found.pitch == pytest.approx(semitones, abs=0.25)
    assert found.speed == pytest.approx(1, abs=0.006)


@pytest.mark.parametrize(
    ("tempo", "semitones"), [(0.88, 0), (1.12, 0), (1.08, 12 * np.log2(1.08) + 1), (0.93, 2)]
)
def test_a_tempo_and_a_pitch_of_its_own_are_found_together(shelf, tempo, semitones):
    factor = 2 ** (semitones / 12)
    music = compose(9, 40.0)[8 * RATE : 21 * RATE]
    shifted = soxr.resample(music, RATE * factor, RATE).astype(np.float32)
    # A strict beat resembles itself at every bar, so the scores of this music are low.
    matcher = LandmarkMatcher(shelf, threshold=0.0)
    query = matcher.extract(stretched(shifted, tempo / factor)[: 10 * RATE])
    (found,) = matcher.match(query)
    assert found.track == "track-9"
    assert found.speed == pytest.approx(tempo, abs=0.006)
    assert found.pitch == pytest.approx(semitones, abs=0.25)


def test_the_grid_reaches_as_far_as_is_promised():
    warps = warp_grid()
    assert NO_WARP not in warps
    assert len(set(warps)) == len(warps)
    assert {min(w.time_ratio for w in warps), max(w.time_ratio for w in warps)} == {0.88, 1.12}
    for percent in (-8, -6, *range(-5, 6), 6, 8):
        for bins in range(-6, 7):
            record = resampled(1 + percent / 100)
            nearest = min(
                abs(w.pitch_bins - record.pitch_bins - bins)
                for w in [*warps, NO_WARP]
                if w.time_ratio == record.time_ratio
            )
            assert nearest <= 0.5


def test_warps_of_one_tempo_are_looked_up_as_each_alone(shelf):
    """The shifted keys of all warps together are the keys of each: the votes are equal."""
    landmarks = LandmarkMatcher(shelf).extract(compose(3, 40.0)[8 * RATE : 18 * RATE])
    query = query_pairs(landmarks, 6, 6)
    warps = [Warp(1.01, float(bins)) for bins in (-3, -2, 0, 1, 5)]
    together = find_candidates(shelf.segments, query, warps, 40)
    alone = [each for warp in warps for each in find_candidates(shelf.segments, query, [warp], 40)]
    best = sorted(((c.votes, c.warp.pitch_bins, c.track, c.lag) for c in alone), reverse=True)
    found = {(c.votes, c.warp.pitch_bins, c.track, c.lag) for c in together}
    assert {each for each in best if each[0] > together[-1].votes} <= found <= set(best)


@pytest.mark.parametrize("warp", [resampled(1.02), Warp(time_ratio=0.97), Warp(pitch_bins=3.0)])
def test_finer_steps_lie_between_those_of_the_grid(warp):
    assert warp in finer_ratios(warp)
    assert warp in finer_shifts(warp)
    for finer in finer_ratios(warp):
        assert finer.pitch_bins == warp.pitch_bins
        assert abs(finer.time_ratio - warp.time_ratio) <= 0.0075 + 1e-9
    for finer in finer_shifts(warp):
        assert finer.time_ratio == warp.time_ratio
        assert abs(finer.pitch_bins - warp.pitch_bins) <= 0.5
