"""Made-up tracks, the same for the same seed: melodies of harmonic notes over drums."""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

RATE = 16_000


@cache
def compose(seed: int, seconds: float) -> NDArray[np.float32]:
    rng = np.random.default_rng(seed)
    out = np.zeros(int(seconds * RATE) + 2 * RATE, np.float32)
    beat = int(RATE * rng.uniform(0.18, 0.3))
    root = rng.integers(36, 48)
    scale = np.array([0, 2, 3, 5, 7, 8, 10]) + root
    for start in range(0, int(seconds * RATE), beat):
        for octave in rng.choice([0, 12, 24, 36], rng.integers(1, 4), replace=False):
            note = _note(int(rng.choice(scale) + octave), int(rng.integers(4)))
            out[start : start + len(note)] += rng.uniform(0.5, 1.0) * note
        if rng.random() < 0.5:
            _drum(out, start, rng)
    out = out[: int(seconds * RATE)]
    out *= 0.5 / np.abs(out).max()
    out.setflags(write=False)
    return out


@cache
def _note(pitch: int, voice: int) -> NDArray[np.float32]:
    rng = np.random.default_rng([pitch, voice])
    t = np.arange(int(RATE * rng.uniform(0.3, 0.9))) / RATE
    hz = 440 * 2 ** ((pitch - 69) / 12)
    harmonics = np.arange(1, min(9, int(RATE / 2 / hz)))[:, None]
    levels = rng.uniform(0.3, 1, harmonics.shape) / harmonics
    tone = (levels * np.sin(2 * np.pi * harmonics * hz * t)).sum(axis=0)
    return (tone * np.exp(-t * rng.uniform(2, 8))).astype(np.float32)


def _drum(out: NDArray[np.float32], start: int, rng: np.random.Generator) -> None:
    length = RATE // 8
    fall = np.exp(-np.arange(length) / RATE * 40)
    out[start : start + length] += 0.5 * fall * rng.standard_normal(length)
