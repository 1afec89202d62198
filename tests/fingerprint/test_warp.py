"""Songs played faster, slower, higher or lower are matched, with their time ratio and pitch."""

import av
import numpy as np
import pytest
import soxr

from fingerprint.matching.matcher import LandmarkMatcher
from fingerprint.matching.warp import NO_WARP, Warp, finer_steps, resampled, warp_grid
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


def test_the_grid_reaches_as_far_as_is_promised():
    warps = warp_grid()
    assert NO_WARP not in warps
    assert {min(w.time_ratio for w in warps), max(w.time_ratio for w in warps)} == {0.95, 1.05}
    assert {min(w.semitones for w in warps), max(w.semitones for w in warps)} == {-2, 2}
    assert len(set(warps)) == len(warps)


@pytest.mark.parametrize("warp", [resampled(1.02), Warp(time_ratio=0.97), Warp(pitch_bins=3.0)])
def test_finer_steps_are_of_the_same_kind(warp):
    assert warp in finer_steps(warp)
    for finer in finer_steps(warp):
        assert (finer.time_ratio == 1) == (warp.time_ratio == 1) or abs(finer.time_ratio - 1) < 0.03
        assert (finer.pitch_bins == 0) == (warp.pitch_bins == 0)
