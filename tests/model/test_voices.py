from __future__ import annotations

import numpy as np
import pytest
import torch

from model import classifier
from model.corpus import sources as recipe
from model.corpus import splits
from model.corpus.recordings import Recording
from model.evaluation import voices
from model.frontend.rolling_cqt import RollingCQT, cqt

RATE = 16_000


class ByPitch:
    """Calls what is loud near 200 Hz female, and what is loud near 100 Hz male; wrong of one."""

    def embed(self, columns: torch.Tensor) -> torch.Tensor:
        return columns

    def decide(self, frames: torch.Tensor) -> torch.Tensor:
        low, high = frames[:, :, 8].mean(1), frames[:, :, 32].mean(1)
        return torch.sigmoid(torch.stack([high - low, low - high], dim=1))


def test_every_known_voice_is_in_one_split_and_is_female_or_male() -> None:
    known = voices.known_voices()
    table = splits.load_splits()
    assert set(known.values()) == {"female", "male"}
    counted = {split: [0, 0] for split in recipe.SPLITS}
    for group, kind in known.items():
        counted[table[group.split(":")[0]]][kind == "male"] += 1
    for split, minimum in (("train", 80), ("validation", 2), ("test", 1)):
        assert min(counted[split]) >= minimum


def windows(pitch: float) -> torch.Tensor:
    """Return the columns of 5 s of a tone."""
    t = np.arange(5 * RATE) / RATE
    tone = 0.1 * np.sin(2 * np.pi * pitch * t).astype(np.float32)
    return cqt(torch.from_numpy(tone)[None], RollingCQT())[0, :250]


def test_windows_are_pooled_by_voice() -> None:
    """Two voices have their own pitch and one the other's: two thirds are right."""
    known = voices.known_voices()
    female = [group for group, kind in known.items() if kind == "female"][:2]
    male = next(group for group, kind in known.items() if kind == "male")
    pitch = {female[0]: 200.0, female[1]: 100.0, male: 100.0}
    found = voices.voice_accuracy(
        ByPitch(), [(windows(hz), group) for group, hz in pitch.items() for _ in range(3)]
    )
    assert (found.windows, found.groups) == (9, 3)
    assert found.value == pytest.approx(2 / 3)
    assert found.low < found.value < found.high


def test_a_users_group_that_is_called_like_a_known_voice_is_another_voice() -> None:
    known = next(iter(voices.known_voices()))
    recordings = [
        Recording("s", group, "speech", group, 0, 1, group, origin)
        for group, origin in ((known, "recipe"), ("unknown:1", "recipe"), (known, "own"))
    ]
    assert voices.known_recordings(recordings) == recordings[:1]


def test_the_shipped_voice_model_is_small_and_fits_the_other() -> None:
    voice, other = classifier.load(classifier.VOICE_WEIGHTS), classifier.load()
    assert voice.spec.labels == voices.LABELS
    assert voice.spec.window_columns == other.spec.window_columns
    assert classifier.VOICE_WEIGHTS.stat().st_size < 300_000
