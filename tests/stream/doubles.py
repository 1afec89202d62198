"""A classifier, its settings and snapshots that stand in for the real ones."""

from __future__ import annotations

from typing import Any

import torch

from model.spec import ModelSpec
from stream.stages.smooth import SmoothSettings

RATE = 16_000
SMOOTH = SmoothSettings(
    change_cost=2.0, max_delay=96_000, min_length=32_000, update=80_000, grid=3200
)


class LoudnessClassifier:
    """Judges by loudness: the low half of the bins is speech, the high half music.

    As with the real one, a frame depends on its own columns only, and a decision on its own
    window only.
    """

    spec = ModelSpec(context_columns=20, stride_columns=10, frame_size=2, moments=5)

    def embed(self, columns: torch.Tensor) -> torch.Tensor:
        halves = columns.unflatten(2, (2, 72)).mean(3)
        return halves.unfold(1, 20, 10).mean(3)

    def decide(self, frames: torch.Tensor) -> torch.Tensor:
        return torch.sigmoid(frames.mean(1) - 1.0)

    def predict(self, frames: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        first = (self.spec.window_frames - self.spec.moments) // 2
        near = torch.sigmoid(frames[:, first : first + self.spec.moments] - 1.0)
        return self.decide(frames), near


class Treble:
    """Calls a window female by how much of it lies in the upper half of the bins."""

    def __init__(self, **facts: Any) -> None:
        self.spec = ModelSpec(**facts)
        self.windows = 0

    def embed(self, windows: torch.Tensor) -> torch.Tensor:
        assert windows.shape[1:] == (250, 144)
        self.windows += len(windows)
        return windows

    def decide(self, windows: torch.Tensor) -> torch.Tensor:
        treble = (windows[:, :, 72:] - windows[:, :, :72]).mean(dim=(1, 2))
        return torch.sigmoid(torch.stack([treble, -treble], dim=1))


def snapshot(oldest: int, **more: Any) -> dict[str, Any]:
    """Return the snapshot of a station that has no open segment."""
    return {
        "version": 1, "rate": 16_000, "hop": 320, "oldest": oldest, "align": oldest,
        "columns": None, "clock": None, "classify": None, "voice": None, "smooth": None,
        "identify": None, "repeats": None, **more,
    }  # fmt: skip
