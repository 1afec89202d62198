"""Music under speech that is 10 dB louder is named as in the clear, whatever the label."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from airsift import config
from airsift.build import build_identify, build_pipeline, smoothing
from fingerprint.catalogue import Catalogue
from fingerprint.track import Track
from model.units import Array
from stream.events import Match, Segment
from stream.pipeline import Pipeline
from stream.sources.file import read_file
from stream.stages.matchers import for_all
from stream.testing import chunks_of
from tests.stream.doubles import LoudnessClassifier
from tests.stream.networks import FRONT_END

RATE = 16_000
DEMO = Path("stream/demo/audio")
TRACKS = ("starfall", "palace", "hunting")
READERS = ("reader-1098", "reader-3664", "reader-3983", "reader-6367")


class HearsSpeech(LoudnessClassifier):
    """Finds speech in all audio, and music in none."""

    def decide(self, frames: Array) -> Array:
        return np.tile(np.float32([0.95, 0.05]), (len(frames), 1))

    def predict(self, frames: Array) -> tuple[Array, Array]:
        near = np.tile(np.float32([0.95, 0.05]), (len(frames), self.spec.moments, 1))
        return self.decide(frames), near


class Counted:
    """A matcher that counts its queries."""

    def __init__(self, matcher):
        self.matcher, self.queries = matcher, 0

    def extract(self, samples):
        return self.matcher.extract(samples)

    def match(self, landmarks):
        self.queries += 1
        return self.matcher.match(landmarks)


@pytest.fixture(scope="module")
def speech() -> np.ndarray:
    """Return 58 s of four readers at one loudness."""
    parts = [read_file(DEMO / f"{name}.opus", RATE) for name in READERS]
    return np.concatenate([part * (0.1 / np.sqrt(np.mean(part**2))) for part in parts])


@pytest.fixture(scope="module")
def catalogue(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("catalogue")
    shelf = Catalogue.create(folder)
    for name in TRACKS:
        shelf.add(read_file(DEMO / f"{name}.opus", RATE), Track(name, title=name))
    return folder


@pytest.fixture(scope="module")
def programme(speech) -> np.ndarray:
    """Return 20 s of speech, 60 s of it 10 dB above a track, and 20 s of speech."""
    track = read_file(DEMO / "starfall.opus", RATE)[: 60 * RATE]
    out = np.resize(speech, 100 * RATE).astype(np.float32)
    out[20 * RATE : 80 * RATE] += track * np.float32(0.1 / 10**0.5 / np.sqrt(np.mean(track**2)))
    return out


def events_of(samples, catalogue, *, labels=None):
    """Return the events of audio, and its queries; with `labels`, those of another network."""
    chosen = config.load(sets=[f"identify.catalogue='{catalogue}'"], environ={}).config
    identify = build_identify(chosen, RATE)
    known = identify.matchers_of("a")
    matcher = Counted(known.plain)
    identify.matchers_of = for_all(matcher, known.warping)
    if labels:
        pipeline = Pipeline(FRONT_END, labels, smoothing(chosen, RATE), identify)
    else:
        pipeline = build_pipeline(chosen)
        pipeline.stages = (*pipeline.stages[:-1], identify)
        identify.sessions = pipeline.sessions
    events = pipeline.push(chunks_of(samples, RATE, station="a", rate=RATE), last=True)
    return events, matcher.queries


@pytest.mark.slow
@pytest.mark.parametrize("labels", [None, HearsSpeech()], ids=["its own label", "labelled speech"])
def test_a_track_under_loud_speech_is_one_playing_named_whole(programme, catalogue, labels):
    events, _ = events_of(programme, catalogue, labels=labels)
    (match,) = [event for event in events if isinstance(event, Match) and event.final]
    assert match.track == "starfall"
    assert match.start / RATE == pytest.approx(20, abs=1.5)
    assert match.end / RATE == pytest.approx(80, abs=1.5)
    if labels:
        found = {event.label for event in events if isinstance(event, Segment)}
        assert found == {"speech"}


@pytest.mark.slow
def test_speech_and_silence_have_no_match_and_few_queries(speech, catalogue):
    quiet = np.zeros(60 * RATE, np.float32)
    for samples in (speech.astype(np.float32), quiet):
        events, queries = events_of(samples, catalogue)
        assert not [event for event in events if isinstance(event, Match)]
        assert queries <= len(samples) * 2 // (3 * RATE) + 2
