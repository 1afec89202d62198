"""Playings with a real catalogue: copies of a recording, a common jingle, an ended song."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.signal import lfilter

from fingerprint.catalogue import Catalogue
from fingerprint.matching.matcher import LandmarkMatcher
from stream.audio import AudioChunk, EndOfStream
from stream.events import Decision, Match
from stream.stages.identify import Identify
from stream.stages.matchers import for_all
from stream.stages.smooth import Smooth
from stream.testing import write_wav
from tests.fingerprint.command import airsift
from tests.fingerprint.music import compose
from tests.stream.doubles import SMOOTH
from tests.stream.sample_matcher import TIMES, S


@pytest.fixture(scope="module")
def shelf(tmp_path_factory):
    """Return a catalogue of a song in four versions, and of three songs that open with a jingle."""
    folder = tmp_path_factory.mktemp("tracks")
    song, jingle = compose(40, 60.0), compose(41, 7.0)
    remaster = np.tanh(2 * lfilter([1, -0.6], [1], song)).astype(np.float32)
    versions = {
        "1 album": song,
        "2 best of": np.concatenate([np.zeros(S // 2, np.float32), 0.5 * song]),
        "3 remaster": remaster / np.abs(remaster).max() / 2,
        "4 edit": np.concatenate([song[: 20 * S], song[35 * S :]]),
    }
    for number in range(3):
        versions[f"jingle {number}"] = np.concatenate([jingle, compose(50 + number, 18.0)])
    for name, samples in versions.items():
        write_wav(folder / f"{name}.wav", samples, S)
    done = airsift("add", folder, "--jobs", "1", "--catalogue", folder / "shelf")
    assert done.stdout.startswith("7 added, 0 already there, 0 failed")
    return Catalogue.open(folder / "shelf")


def published(shelf, samples):
    """Return the matches of audio that is labelled as music."""
    identify = Identify(for_all(LandmarkMatcher(shelf, warp_search=False)), TIMES)
    smooth = Smooth(SMOOTH)
    samples = np.concatenate([samples, np.zeros(4 * S, np.float32)])
    out, at = [], 0
    for second in range(len(samples) // S - 4):
        decision = Decision("r", second * S, (second + 5) * S, S, None, 0.05, 0.95)
        chunk = AudioChunk("r", at, samples[at : decision.end], S)
        at = decision.end
        out += identify.push([chunk, *smooth.push([decision])])
    out += identify.push(smooth.push([EndOfStream("r", len(samples), S)]))
    return [item for item in out if isinstance(item, Match)]


@pytest.mark.slow
def test_copies_are_listed(shelf):
    tracks = shelf.tracks()
    versions = [track for track in tracks if track.title[0].isdigit()]
    assert {track.recording for track in versions} == {versions[0].key}
    assert all(t.recording == t.key for t in tracks if t.title.startswith("jingle"))
    listed = airsift("list", "--catalogue", shelf.folder).stdout.splitlines()
    (edit,) = (line for line in listed if "4 edit" in line)
    assert edit.endswith(f"  (same recording as {versions[0].key})")


@pytest.mark.slow
@pytest.mark.parametrize("version", ["album", "remaster"])
def test_a_recording_in_the_catalogue_four_times_has_one_playing(shelf, version):
    song = compose(40, 60.0)
    if version == "remaster":
        song = np.tanh(2 * lfilter([1, -0.6], [1], song)).astype(np.float32) / 4
    first, *_, last = matches = published(shelf, song)
    assert len(matches) == 2
    assert (first.id, first.final, last.final) == (last.id, False, True)
    names = {first.title, *(each.title for each in first.alternatives)}
    assert names == {"1 album", "2 best of", "3 remaster", "4 edit"}
    assert first.start < S
    assert last.end > 58 * S


@pytest.mark.slow
def test_a_common_jingle_names_no_other_track(shelf):
    for number in range(3):
        song = np.concatenate([compose(41, 7.0), compose(50 + number, 18.0)])
        matches = published(shelf, song)
        assert [(m.title, m.final) for m in matches] == [
            (f"jingle {number}", False),
            (f"jingle {number}", True),
        ]
        assert matches[0].start < S


@pytest.mark.slow
def test_an_ended_song_is_not_final_again(shelf):
    short = np.concatenate([compose(41, 7.0), compose(50, 18.0)])[8 * S : 18 * S]
    programme = np.concatenate([compose(40, 25.0), short, compose(90, 40.0)])
    matches = published(shelf, programme)
    song, other = (match for match in matches if match.final)
    assert len(matches) == 4
    assert len(song.alternatives) == 3
    assert other.title == "jingle 0"
