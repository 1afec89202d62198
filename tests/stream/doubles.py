"""A classifier, its settings, snapshots and a pipeline that stand in for the real ones."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np

from model.spec import ModelSpec
from model.units import Array
from stream.audio import AudioChunk
from stream.events import Event
from stream.lines import to_json_bytes
from stream.load import Load
from stream.snapshot import StoredSnapshot
from stream.stages.clock import Clock
from stream.stages.smooth import SmoothSettings

RATE = 16_000
SMOOTH = SmoothSettings(
    change_cost=2.0, max_delay=96_000, min_length=32_000, update=80_000, grid=3200
)


def sigmoid(scores: Array) -> Array:
    """Return probabilities of log odds."""
    return 1 / (1 + np.exp(-scores))


class LoudnessClassifier:
    """Judges by loudness: the low half of the bins is speech, the high half music.

    As with the real one, a frame depends on its own columns only, and a decision on its own
    window only.
    """

    spec = ModelSpec(context_columns=20, stride_columns=10, frame_size=2, moments=5)

    def embed(self, columns: Array) -> Array:
        halves = columns.reshape(*columns.shape[:2], 2, 72).mean(3)
        return np.lib.stride_tricks.sliding_window_view(halves, 20, axis=1)[:, ::10].mean(3)

    def decide(self, frames: Array) -> Array:
        return sigmoid(frames.mean(1) - 1.0)

    def predict(self, frames: Array) -> tuple[Array, Array]:
        first = (self.spec.window_frames - self.spec.moments) // 2
        near = sigmoid(frames[:, first : first + self.spec.moments] - 1.0)
        return self.decide(frames), near

    def unbatched(self) -> list[str]:
        return []


class Treble:
    """Calls a window female by how much of it lies in the upper half of the bins."""

    def __init__(self, **facts: Any) -> None:
        self.spec = ModelSpec(**facts)
        self.windows = 0

    def embed(self, windows: Array) -> Array:
        assert windows.shape[1:] == (250, 144)
        self.windows += len(windows)
        return windows

    def decide(self, windows: Array) -> Array:
        treble = (windows[:, :, 72:] - windows[:, :, :72]).mean(axis=(1, 2))
        return sigmoid(np.stack([treble, -treble], axis=1))

    def predict(self, windows: Array) -> tuple[Array, Array]:
        return self.decide(windows), np.zeros((len(windows), 0, 2), np.float32)

    def unbatched(self) -> list[str]:
        return []


def snapshot(oldest: int, **more: Any) -> StoredSnapshot:
    """Return the snapshot of a station that has no open segment."""
    fields = {
        "version": 1, "rate": 16_000, "hop": 320, "oldest": oldest, "align": oldest,
        "columns": None, "clock": None, "levels": None, "classify": None, "voice": None,
        "smooth": None, "labels": None, "identify": None, "work": None, "repeats": None,
        "alarms": None, **more,
    }  # fmt: skip
    return StoredSnapshot(to_json_bytes(fields), oldest)


class PipelineDouble:
    """In place of a pipeline: it knows where its stations end, and publishes nothing.

    It has what drivers and telemetry ask of one. A test says in `push` what else becomes of audio.

    Attributes
    ----------
    sessions : dict of str to int
        The sample behind the last of each station.
    """

    rate = RATE
    levels = alarms = None

    def __init__(self) -> None:
        self.clock, self.load, self.align = Clock(), Load(), SimpleNamespace()
        self.sessions: dict[str, int] = {}
        self.counts: dict[str, int] = {}
        self.queries_skipped: dict[str, int] = {}

    def push(self, chunks: Sequence[AudioChunk], *, last: bool = False) -> list[Event]:
        """Take audio; return the events that follow."""
        del last
        self.sessions |= {chunk.station: chunk.end for chunk in chunks}
        return []

    def snapshot(self, station: str) -> StoredSnapshot:
        return snapshot(self.sessions.get(station, 0))

    def restore(self, station: str, stored: StoredSnapshot) -> None:
        self.sessions[station] = stored.oldest

    def end_alarms(self, stations: Sequence[str]) -> list[Event]:
        """Return that there were no alarms."""
        del stations
        return []

    def forget(self, station: str) -> None:
        self.sessions.pop(station, None)
