"""Matches, and queries without a match."""

import numpy as np
import pytest

from fingerprint.analysis.landmarks import Landmarks
from fingerprint.catalogue import Catalogue
from fingerprint.matching.matcher import LandmarkMatcher
from fingerprint.track import Track
from tests.fingerprint.music import compose

RATE = 16_000


def match(catalogue, samples):
    matcher = LandmarkMatcher(catalogue)
    return matcher.match(matcher.extract(samples))


def noise(seconds, level, seed=0):
    rng = np.random.default_rng(seed)
    return (level * rng.standard_normal(int(seconds * RATE))).astype(np.float32)


def cut(music, start_s, seconds):
    return music[int(start_s * RATE) : int((start_s + seconds) * RATE)]


@pytest.mark.parametrize(("track", "start_s"), [(0, 0.0), (5, 7.3), (11, 29.9)])
def test_an_excerpt_under_noise_is_found_at_its_place(shelf, track, start_s):
    music = cut(compose(track, 40.0), start_s, 10)
    level = float(np.sqrt(np.mean(music**2)))
    (found,) = match(shelf, music + noise(10, level))
    assert (found.track, found.title) == (f"track-{track}", f"Song {track}")
    place = found.track_start - found.query_start
    assert place == pytest.approx(start_s * RATE, abs=0.1 * RATE)
    assert found.query_end - found.query_start > 7 * RATE


@pytest.mark.slow
def test_unknown_music_is_not_named(shelf):
    for seed in range(100, 106):
        assert match(shelf, compose(seed, 20.0)) == []


@pytest.mark.slow
def test_a_moment_of_a_track_is_no_match(shelf):
    """Two pieces may share a run of notes: a match rests on more than two seconds of them."""
    for track in range(4):
        unknown = compose(100 + track, 20.0).copy()
        known = cut(compose(track, 40.0), 12, 2)
        unknown[5 * RATE : 5 * RATE + len(known)] = known
        assert match(shelf, cut(unknown, 0, 10)) == []


def test_other_music_on_the_same_beat_and_scale_is_not_named(tmp_path):
    """Weak agreement in every piece, due to the common beat, does not add up to a match."""
    catalogue = Catalogue.create(tmp_path)
    song = compose(50, 100.0)
    catalogue.add(cut(song, 0, 40), Track("first half"))
    matcher = LandmarkMatcher(catalogue)
    matcher.warp_search = False
    assert matcher.match(matcher.extract(cut(song, 40, 60))) == []


def tones(*hz):
    time = np.arange(20 * RATE) / RATE
    return sum(np.sin(2 * np.pi * f * time) for f in hz).astype(np.float32) / len(hz)


@pytest.mark.slow
@pytest.mark.parametrize(
    "samples",
    [
        pytest.param(noise(20, 0.3), id="white noise"),
        pytest.param(np.cumsum(noise(20, 0.003)), id="brown noise"),
        pytest.param(tones(220), id="one tone"),
        pytest.param(tones(110, 165, 220, 277.2, 330, 440), id="a chord for ever"),
        pytest.param(tones(220, 220.7, 441, 330.3) * tones(0.3), id="a slow drone"),
        pytest.param(np.zeros(20 * RATE, np.float32), id="silence"),
        pytest.param(np.zeros(0, np.float32), id="nothing"),
        pytest.param(np.tile(noise(0.5, 0.3), 40), id="a loop of noise"),
    ],
)
def test_what_is_no_music_is_not_named(shelf, samples):
    assert match(shelf, samples) == []


@pytest.mark.slow
def test_drones_do_not_match_drones(tmp_path):
    catalogue = Catalogue.create(tmp_path)
    for index, hz in enumerate((220, 233, 247)):
        drone = tones(hz, hz * 1.5, hz * 2, hz * 2.002) + noise(20, 0.01, seed=index)
        catalogue.add(drone, Track(f"drone-{index}"))
    for index, hz in enumerate((220, 233, 247)):
        drone = tones(hz, hz * 1.5, hz * 2, hz * 2.002) + noise(20, 0.01, seed=50 + index)
        assert match(catalogue, drone) == []


def test_several_tracks_in_one_query_are_reported_in_order(shelf):
    programme = np.concatenate(
        [
            noise(5, 0.05),
            cut(compose(3, 40.0), 5, 12),
            noise(4, 0.05),
            cut(compose(7, 40.0), 20, 15),
        ]
    )
    first, second = match(shelf, programme)
    assert (first.track, second.track) == ("track-3", "track-7")
    assert first.query_start / RATE == pytest.approx(5, abs=1.5)
    assert first.query_end / RATE == pytest.approx(17, abs=1.5)
    assert second.query_start / RATE == pytest.approx(21, abs=1.5)
    assert (second.track_start - second.query_start) / RATE == pytest.approx(-1, abs=0.1)


def crossfade(ending, beginning, fade_s=3):
    """Six and a half seconds of either, `fade_s` of them together."""
    alone, fade = int((10 - fade_s) / 2 * RATE), fade_s * RATE
    gain = np.sqrt(np.linspace(0, 1, fade, dtype=np.float32))
    out = np.zeros(10 * RATE, np.float32)
    out[: alone + fade] += ending[-(alone + fade) :] * np.append(np.ones(alone), gain[::-1])
    out[alone:] += beginning[: alone + fade] * np.append(gain, np.ones(alone))
    return out


@pytest.mark.slow
@pytest.mark.parametrize(
    ("ending", "beginning", "gain_db"),
    [
        pytest.param(3, 7, 0, id="as loud"),
        pytest.param(5, 2, -6, id="the next one is quieter"),
        pytest.param(9, 1, 6, id="the next one is louder"),
    ],
)
def test_both_tracks_of_a_crossfade_are_named(shelf, ending, beginning, gain_db):
    query = crossfade(
        compose(ending, 40.0), compose(beginning, 40.0) * np.float32(10 ** (gain_db / 20))
    )
    first, second = match(shelf, query)
    assert (first.track, second.track) == (f"track-{ending}", f"track-{beginning}")
    assert first.query_start < RATE
    assert second.query_end > 9 * RATE
    assert second.track_start - second.query_start == pytest.approx(-3.5 * RATE, abs=0.1 * RATE)


@pytest.mark.slow
def test_the_repeats_of_a_loop_do_not_hide_the_track_it_fades_into(tmp_path):
    catalogue = Catalogue.create(tmp_path)
    loop = np.tile(compose(20, 4.0), 6)
    catalogue.add(loop, Track("loop"))
    catalogue.add(compose(21, 24.0), Track("next"))
    assert [m.track for m in match(catalogue, crossfade(loop, compose(21, 24.0)))] == [
        "loop",
        "next",
    ]


@pytest.mark.slow
def test_what_follows_a_track_is_not_named_after_it(shelf):
    song = compose(3, 40.0)
    for follows in (compose(100, 6.0), noise(6, 0.1), compose(101, 6.0)):
        (found,) = match(shelf, np.concatenate([cut(song, 36, 4), follows]))
        assert found.track == "track-3"
        assert found.query_end < 5.5 * RATE


@pytest.mark.slow
def test_a_song_cut_in_two_is_reported_in_both_parts(tmp_path):
    """A strict beat makes a song match itself weakly at every bar: no part hides the other."""
    catalogue = Catalogue.create(tmp_path)
    song = compose(50, 100.0)
    catalogue.add(song, Track("song"))
    for first_s in (14, 17, 33):
        edit = np.concatenate([cut(song, 5, first_s), cut(song, 70, 27)])
        parts = match(catalogue, edit)
        spans = [(m.query_start / RATE, m.query_end / RATE) for m in parts]
        assert spans == [
            (pytest.approx(0, abs=1.5), pytest.approx(first_s, abs=1.5)),
            (pytest.approx(first_s, abs=1.5), pytest.approx(first_s + 27, abs=1.5)),
        ]
        places = [(m.track_start - m.query_start) / RATE for m in parts]
        assert places == pytest.approx([5, 70 - first_s], abs=0.1)


def test_a_song_that_another_interrupts_goes_on(shelf):
    song, other = compose(3, 40.0), compose(7, 40.0)
    medley = np.concatenate([cut(song, 0, 15), cut(other, 5, 20), cut(song, 24, 15)])
    found = match(shelf, medley)
    assert [m.track for m in found] == ["track-3", "track-7", "track-3"]


def test_evidence_grows_with_the_length_of_a_query(shelf):
    music = cut(compose(2, 40.0), 0, 40)
    buried = music + noise(40, 3 * float(np.sqrt(np.mean(music**2))))
    matcher = LandmarkMatcher(shelf)
    parts = [
        matcher.extract(buried[start : start + 10 * RATE]).shift(start)
        for start in range(0, 40 * RATE, 10 * RATE)
    ]
    alone = [max((m.score for m in matcher.match(part)), default=0.0) for part in parts]
    (together,) = matcher.match(Landmarks.join(parts))
    assert together.track == "track-2"
    assert together.score > max(alone)


def test_times_count_as_the_landmarks_do(shelf):
    matcher = LandmarkMatcher(shelf)
    landmarks = matcher.extract(cut(compose(1, 40.0), 10, 10))
    (here,) = matcher.match(landmarks)
    (later,) = matcher.match(landmarks.shift(1_000_000))
    assert later.query_start == here.query_start + 1_000_000
    assert later.query_end == here.query_end + 1_000_000
    assert (later.track_start, later.score) == (here.track_start, here.score)


def test_a_track_that_loops_is_named_all_the_same(tmp_path):
    catalogue = Catalogue.create(tmp_path)
    loop = compose(20, 4.0)
    catalogue.add(np.tile(loop, 6), Track("loop"))
    catalogue.add(compose(21, 24.0), Track("other"))
    found = match(catalogue, np.tile(loop, 4)[RATE : 11 * RATE])
    assert [m.track for m in found] == ["loop"]
    place = found[0].track_start - found[0].query_start
    period = 4 * RATE
    away = (place - RATE + period // 2) % period - period // 2
    assert away == pytest.approx(0, abs=0.1 * RATE)


def test_an_empty_catalogue_names_nothing(tmp_path):
    assert match(Catalogue.create(tmp_path), compose(0, 40.0)) == []
