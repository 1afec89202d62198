"""Stand-ins that obey the same contracts as the real parts, and shapes of audio."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from model.spec import ModelSpec
from stream.audio import AudioChunk

RATE = 16000


class LoudnessClassifier:
    """Judges by loudness: the low half of the bins is speech, the high half music.

    Exact enough to test every stage around it, and real in that a frame depends on its own
    columns and a decision on its own window.
    """

    spec = ModelSpec(context_columns=20, stride_columns=10, frame_size=2, moments=5)

    def embed(self, columns: torch.Tensor) -> torch.Tensor:
        halves = columns.unflatten(2, (2, 72)).mean(3)
        return halves.unfold(1, 20, 10).mean(3)

    def decide(self, frames: torch.Tensor) -> torch.Tensor:
        return torch.sigmoid(frames.mean(1) - 1.0)

    def locate(self, frames: torch.Tensor) -> torch.Tensor:
        first = (self.spec.window_frames - self.spec.moments) // 2
        return torch.sigmoid(frames[:, first : first + self.spec.moments] - 1.0)


@pytest.fixture(scope="session")
def classifier() -> LoudnessClassifier:
    return LoudnessClassifier()


def programme(seconds: float, *, seed: int = 0) -> np.ndarray:
    """Return noise and tones that come and go, at 16 kHz."""
    rng = np.random.default_rng(seed)
    t = np.arange(round(seconds * RATE)) / RATE
    low = np.sin(2 * np.pi * 300 * t) * (np.sin(2 * np.pi * t / 23) > 0)
    high = np.sin(2 * np.pi * 3000 * t) * (np.sin(2 * np.pi * t / 17) > 0.3)
    return (0.3 * low + 0.3 * high + 0.001 * rng.standard_normal(len(t))).astype(np.float32)


def cut(samples: np.ndarray, points: list[int], station: str = "a", rate: int = RATE):
    """Return consecutive chunks of `samples`, cut at `points`."""
    edges = [0, *sorted({p for p in points if 0 < p < len(samples)}), len(samples)]
    return [AudioChunk(station, a, samples[a:b], rate) for a, b in itertools.pairwise(edges)]


@pytest.fixture(scope="session", name="programme")
def programme_fixture():
    return programme


@pytest.fixture(scope="session", name="cut")
def cut_fixture():
    return cut
