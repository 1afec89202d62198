"""Pipelines and programmes for tests of restarts: a catalogue, a voice, and audio for both."""

from __future__ import annotations

import json
import tempfile
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np

from fingerprint.catalogue import Catalogue
from fingerprint.matching.matcher import LandmarkMatcher
from fingerprint.track import Track
from stream.pipeline import Pipeline
from stream.snapshot import StoredSnapshot
from stream.stages.identify import Identify
from stream.stages.levels import Levels
from stream.stages.matchers import for_all
from stream.testing import chunks_of
from tests.fingerprint.music import compose
from tests.stream.doubles import SMOOTH, LoudnessClassifier, Treble
from tests.stream.networks import FRONT_END
from tests.stream.sample_matcher import TIMES

RATE = 16000
IDENTIFY = replace(TIMES, interval=3 * RATE, query=8 * RATE, warp_every_n_queries=4)
CLASSIFIER = LoudnessClassifier()


@cache
def catalogue() -> Catalogue:
    """Return a catalogue of three tracks, which lasts as long as the tests do."""
    shelf = Catalogue.create(Path(tempfile.mkdtemp(prefix="airsift-test-")))
    for seed in range(3):
        shelf.add(compose(seed, 30.0), Track(f"track-{seed}", title=f"Song {seed}"))
    return shelf


def make(names: bool = False, voice: bool = False, reorder_s: float = 0.0) -> Pipeline:
    """Return a pipeline that measures levels, with a catalogue and a voice on request."""
    identify = None
    if names:
        quick = LandmarkMatcher(catalogue(), warp_search=False)
        identify = Identify(for_all(quick, LandmarkMatcher(catalogue())), IDENTIFY)
    return Pipeline(
        FRONT_END, CLASSIFIER, SMOOTH, identify, voice=Treble() if voice else None,
        reorder_s=reorder_s, levels=Levels(RATE),
    )  # fmt: skip


@cache
def programme(rate: int, seconds: int, seed: int = 0) -> np.ndarray:
    """Return speech as the stand-in has it, tracks of the catalogue, and silence, in turns."""
    rng, parts, n = np.random.default_rng(seed), [], 0
    t = np.arange(9 * RATE) / RATE
    voice = sum(0.1 * np.sin(2 * np.pi * f * t) for f in (110, 150, 210, 300, 440))
    while n < seconds:
        track = compose((seed + n) % 3, 30.0)
        for part, s in ((voice, rng.integers(4, 9)), (track, rng.integers(9, 18))):
            parts += [part[: s * RATE].astype(np.float32), np.zeros(3 * RATE, np.float32)]
            n += s + 3
    samples = np.concatenate(parts)[: seconds * RATE]
    if rate == RATE:
        return samples
    at = np.arange(seconds * rate) / rate * RATE
    return np.interp(at, np.arange(len(samples)), samples).astype(np.float32)


def chunks(rate: int, seconds: int, chunk_s: float, station: str = "a", seed: int = 0):
    """Return a programme in chunks; sample 0 was at Unix time 5."""
    samples = programme(rate, seconds, seed)
    return chunks_of(samples, round(chunk_s * rate), station=station, rate=rate, time=5.0)


def through_json(snapshot):
    """Return a snapshot as another process has it."""
    return StoredSnapshot.of_json(json.loads(snapshot.data))


def finals(events):
    """Return what a subscriber holds in the end: of each id, what is final."""
    out = {}
    for event in events:
        if getattr(event, "final", True):
            line = event.to_json()
            assert out.setdefault(event.id, line) == line
    return out
