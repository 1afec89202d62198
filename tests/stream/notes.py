"""Made music of which nothing repeats, for tests of repeats."""

from __future__ import annotations

import numpy as np

RATE = 16_000


def notes(seconds: float, seed: int) -> np.ndarray:
    """Return chords of random notes, eight a second: nothing of them repeats."""
    random = np.random.default_rng(seed)
    step = RATE // 8
    time = np.arange(step) / RATE
    parts = []
    for _ in range(round(seconds * 8)):
        hz = 150 * 2 ** random.uniform(0, 5, 4)
        parts.append((np.sin(2 * np.pi * hz[:, None] * time).sum(axis=0) * np.hanning(step)) / 8)
    return np.concatenate(parts).astype(np.float32)
