from __future__ import annotations

import numpy as np
import pytest

from airsift.errors import ConfigError
from model.corpus.takes import HOP, RATE, Take
from model.evaluation import programmes

LEVEL = 0.1


def takes(*kinds: str) -> list[Take]:
    """Return 40 s of each of three groups of a class; the class has its own frequency."""
    tones = {"speech": 500.0, "music": 2000.0, "singing": 2000.0, "noise": 5000.0}
    time = np.arange(40 * RATE) / RATE
    made = []
    for kind in kinds:
        samples = (LEVEL * np.sqrt(2) * np.sin(2 * np.pi * tones[kind] * time)).astype(np.float32)
        active = np.ones(len(samples) // HOP, np.bool_)
        active[900:1100] = False  # 4 s in which the class is not active
        samples[900 * HOP : 1100 * HOP] = 0.0
        made += [Take(f"{kind}:{number}", kind, samples, active) for number in range(3)]
    return made


def power(samples: np.ndarray, hz: float) -> np.ndarray:
    """Power at a frequency in every frame of 20 ms."""
    frames = samples[: len(samples) // HOP * HOP].reshape(-1, HOP)
    wave = np.exp(-2j * np.pi * hz * np.arange(HOP) / RATE)
    return np.abs(frames @ wave) ** 2 / HOP**2


def test_active_spans_have_the_sound_of_their_class() -> None:
    for made in programmes.programmes(takes("speech", "music", "noise"), count=3, seconds=60):
        assert len(made.samples) == 60 * RATE
        for hz, spans in ((500.0, made.speech), (2000.0, made.music)):
            truth = np.zeros(len(made.samples), np.bool_)
            for start, end in spans:
                truth[start:end] = True
            # What fades does not count below -20 dB; ducked music and short pauses do.
            frames = truth.reshape(-1, HOP)
            level = power(made.samples, hz)
            loudest = LEVEL**2 / 2 * 10 ** ((6.0 + 2.0) / 10)
            assert level[~frames.any(axis=1)].max() < 1.1 * loudest / 100
            assert np.mean(level[frames.all(axis=1)] > 1e-5) > 0.8


def test_the_same_seed_gives_the_same_programmes_and_groups_take_turns() -> None:
    given = takes("speech", "music", "singing", "noise")
    first, second = (list(programmes.programmes(given, count=2, seed=4)) for _ in range(2))
    for one, other in zip(first, second, strict=True):
        np.testing.assert_array_equal(one.samples, other.samples)
        assert (one.speech, one.music) == (other.speech, other.music)
    assert {"speech:0", "speech:1", "speech:2"} <= set(first[0].groups) | set(first[1].groups)
    other = next(programmes.programmes(given, count=1, seed=5))
    assert other.speech != first[0].speech


def test_spans_are_in_order_and_apart() -> None:
    for made in programmes.programmes(takes("speech", "music", "noise"), count=4):
        for spans in (made.speech, made.music):
            edges = np.array(spans).ravel()
            assert (np.diff(edges) > 0).all()
            assert edges[0] >= 0
            assert edges[-1] <= len(made.samples)


def test_recordings_that_are_too_short_are_refused() -> None:
    with pytest.raises(ConfigError, match="no music of 3 s or more"):
        next(programmes.programmes(takes("speech", "noise")))


def test_every_end_of_a_span_has_the_kind_of_its_transition() -> None:
    kinds = {*programmes.JOINS, *programmes.ABRUPT, "talk over a bed", "pause"}
    for made in programmes.programmes(takes("speech", "music", "noise"), count=6, seconds=120):
        found = {(edge.label, edge.side, edge.at) for edge in made.edges}
        expected = {
            (label, side, span[side])
            for label, spans in (("speech", made.speech), ("music", made.music))
            for span in spans
            for side in (0, 1)
            if 0 < span[side] < len(made.samples)
        }
        assert found == expected
        assert {edge.kind for edge in made.edges} <= kinds
        assert made.items[0][0] == 0
        assert [at for at, _ in made.items] == sorted(at for at, _ in made.items)
