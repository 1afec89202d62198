"""An external matcher in the pipeline: two methods, without our catalogue."""

from dataclasses import replace

import numpy as np
import pytest

from fingerprint.analysis.landmarks import Landmarks
from fingerprint.matching.matcher import TrackMatch
from stream.audio import AudioChunk
from stream.events import Match
from stream.pipeline import Pipeline
from stream.stages.identify import Identify
from stream.stages.matchers import for_all
from tests.stream.doubles import SMOOTH
from tests.stream.networks import FRONT_END
from tests.stream.sample_matcher import TIMES

RATE = 16_000
IDENTIFY = replace(TIMES, first=5 * RATE, query=20 * RATE, tolerance=RATE)


class Service:
    """Compares waveforms with the one it knows, as a service might that wants the audio.

    The audio travels as landmarks, one for each sample: the pipeline moves, cuts and joins
    landmarks by their times and leaves the rest alone.
    """

    def __init__(self, track):
        self.track = track
        self.queries = 0

    def extract(self, samples):
        time = np.arange(len(samples))
        rank = np.zeros(len(samples), np.int16)
        return Landmarks(time, samples.astype(np.float32), rank, 0, len(samples))

    def match(self, landmarks):
        self.queries += 1
        query = landmarks.bin
        assert np.array_equal(landmarks.time, landmarks.time[0] + np.arange(len(query)))
        n = len(self.track) + len(query)
        product = np.fft.rfft(self.track, n) * np.fft.rfft(query, n).conj()
        agreement = np.fft.irfft(product, n)
        place = int(agreement.argmax())
        if agreement[place] < 0.5 * np.square(query).sum():
            return []
        place -= n if place > len(self.track) else 0
        start, end = max(-place, 0), min(len(self.track) - place, len(query))
        at = int(landmarks.time[0])  # earlier landmarks are gone
        return [TrackMatch("42", "Theirs", "Them", at + start, at + end, max(place, 0), 9.0)]


def high(seconds, seed):
    """Music to the classifier of these tests: noise without its low half."""
    noise = np.random.default_rng(seed).standard_normal(seconds * RATE + 2)
    return (0.1 * np.diff(noise, 2)).astype(np.float32)


def low(seconds):
    """Speech to the classifier of these tests."""
    tone = 0.3 * np.sin(2 * np.pi * 300 * np.arange(seconds * RATE) / RATE)
    return tone.astype(np.float32)


@pytest.mark.slow
def test_an_outside_matcher_names_music_in_the_pipeline(classifier):
    service = Service(high(20, seed=1))
    programme = np.concatenate([low(10), service.track, low(10), high(10, seed=2), low(5)])
    pipeline = Pipeline(FRONT_END, classifier, SMOOTH, Identify(for_all(service), IDENTIFY))
    events = []
    for start in range(0, len(programme), 3 * RATE):
        chunk = AudioChunk("a", start, programme[start : start + 3 * RATE], RATE)
        events += pipeline.push([chunk])
    events += pipeline.push([], last=True)
    (match,) = [event for event in events if isinstance(event, Match) and event.final]
    assert (match.track, match.title, match.artist, match.score) == ("42", "Theirs", "Them", 9.0)
    assert match.start - match.track_start == pytest.approx(10 * RATE, abs=RATE // 100)
    assert 25 * RATE < match.end <= 30 * RATE
    assert service.queries >= 3
