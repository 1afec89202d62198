"""Published audio is the same for channels in phase and in opposite phase."""

from __future__ import annotations

import itertools
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from airsift import config
from airsift.build import build_pipeline
from fingerprint.catalogue import Catalogue
from fingerprint.track import Track
from stream.sources.file import FileSource, read_file
from stream.testing import chunks_of
from tests.stream.media import encode

RATE = 48_000
DEMO = Path("stream/demo/audio")
SECONDS = 20


@pytest.fixture(scope="module")
def sounds() -> dict[str, np.ndarray]:
    """Return a voice and a track of equal loudness."""
    out = {}
    for name, file in (("voice", "reader-3983"), ("music", "starfall")):
        samples = read_file(DEMO / f"{file}.opus", RATE)
        samples = np.tile(samples, 3)[: SECONDS * RATE]
        out[name] = samples * np.float32(0.07 / np.sqrt(np.mean(samples**2)))
    return out


def programme(sounds: dict[str, np.ndarray], sign: float) -> np.ndarray:
    """Return 20 s each of a voice, of music, and of both; with -1 the music is in opposite phase.

    Shape [2, n].
    """
    voice, music = sounds["voice"], sounds["music"]
    left = np.concatenate([voice, music, voice + 0.4 * music])
    right = np.concatenate([voice, sign * music, voice + sign * 0.4 * music])
    return np.stack([left, right])


LAYOUTS = {
    "stereo": lambda two: two,
    "one channel inverted": lambda two: two * np.array([[1], [-1]]),
    "5.1": lambda two: np.concatenate([two, 0 * two, 0 * two]),
    "7.1, surround": lambda two: np.concatenate([0 * two, 0 * two, two, 0 * two]),
    "dual mono": lambda two: np.stack([two[0], two[0]]),
    "a channel is dead": lambda two: np.stack([two[0], 0 * two[0]]),
    "one channel 0.3 ms late": lambda two: np.stack([two[0], np.roll(two[1], 14)]),
}


def published(path: Path, catalogue: Path) -> list:
    """Return label and times in seconds of the final segments and matches of a file."""
    sets = [f"identify.catalogue='{catalogue}'", "model.threads=1"]
    pipeline = build_pipeline(config.load(sets=sets, environ={}).config)
    with closing(FileSource(path, station="a")) as source:
        events = [event for batch in source for event in pipeline.push(batch)]
    events += pipeline.push([], last=True)
    return [e for e in events if e.kind in ("segment", "match") and e.final]


@pytest.fixture(scope="module")
def catalogue(sounds, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("catalogue")
    samples = read_file(DEMO / "starfall.opus")
    Catalogue.create(folder).add(samples, Track("starfall", title="Starfall"))
    return folder


def labels(events: list) -> list[tuple[str, float]]:
    return [(e.label, e.start / e.rate) for e in events if e.kind == "segment"]


@pytest.fixture(scope="module")
def in_phase(sounds, catalogue, tmp_path_factory) -> list:
    path = tmp_path_factory.mktemp("files") / "in-phase.wav"
    encode(path, programme(sounds, 1), RATE, "pcm_s16le")
    events = published(path, catalogue)
    assert [label for label, _ in labels(events)] == ["speech", "music", "speech_over_music"]
    assert "starfall" in {e.track for e in events if e.kind == "match"}
    return events


@pytest.mark.slow
@pytest.mark.parametrize("layout", LAYOUTS)
def test_music_in_opposite_phase_is_labelled_and_named(
    layout, sounds, catalogue, in_phase, tmp_path
) -> None:
    samples = LAYOUTS[layout](programme(sounds, -1)).astype(np.float32)
    path = tmp_path / "opposite.wav"
    encode(path, samples, RATE, "pcm_s16le")
    events = published(path, catalogue)
    pairs = itertools.zip_longest(labels(events), labels(in_phase), fillvalue=("", 0.0))
    for (label, start), (expected, at) in pairs:
        assert label == expected
        assert start == pytest.approx(at, abs=0.5)
    assert {e.track for e in events if e.kind == "match"} == {"starfall"}


@pytest.mark.slow
def test_a_stage_that_is_restored_anywhere_publishes_the_same(sounds, catalogue) -> None:
    samples = programme(sounds, -1).T.astype(np.float32)
    sets = [f"identify.catalogue='{catalogue}'", "model.threads=1"]
    settings = config.load(sets=sets, environ={}).config
    chunks = chunks_of(samples, 24_000, rate=RATE)
    whole = build_pipeline(settings)
    expected = finals(whole.push(chunks) + whole.push([], last=True))
    first = build_pipeline(settings)
    seen: dict = {}
    for number, chunk in enumerate(chunks, 1):
        seen |= finals(first.push([chunk]))
        if number % 13 == 0:
            snapshot = first.snapshot("a")
            second = build_pipeline(settings)
            assert second.restore("a", snapshot)
            oldest_s = snapshot.oldest / second.rate
            again = [c for c in chunks if c.end / c.rate > oldest_s]
            found = finals(second.push(again) + second.push([], last=True))
            assert seen | found == expected, number


def finals(events: list) -> dict[str, str]:
    return {e.id: e.to_json() for e in events if getattr(e, "final", True)}
