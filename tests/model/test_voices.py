from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from airsift.errors import ConfigError
from model import classifier
from model.corpus import sources as recipe
from model.corpus.feature_store import Stream
from model.corpus.recordings import Recording
from model.evaluation import voices

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
    table = recipe.load_splits()
    assert set(known.values()) == {"female", "male"}
    counted = {split: [0, 0] for split in recipe.SPLITS}
    for group, kind in known.items():
        counted[recipe.split_of(group, table)][kind == "male"] += 1
    for split, least in (("train", 80), ("validation", 15), ("test", 15)):
        assert min(counted[split]) >= least


def test_voices_are_counted_by_voice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two voices at their pitch and one at the other's: two thirds of the windows are right."""
    known = voices.known_voices()
    female = [group for group, kind in known.items() if kind == "female"][:2]
    male = [group for group, kind in known.items() if kind == "male"][:1]
    pitch = {female[0]: 200, female[1]: 100, male[0]: 100}
    recordings = [Recording("s", g, "speech", g, 0, 1, g, "recipe") for g in [*pitch, "unknown:1"]]
    # A user's own group that is called like a known voice is not that voice.
    recordings.append(Recording("mine", female[0], "speech", female[0], 0, 1, "x"))
    monkeypatch.setattr(voices.feature_store, "checked_recordings", lambda *_: recordings)

    def streams(folder, chosen, seed, *, treated):
        for each in chosen:
            t = np.arange(12 * RATE) / RATE
            tone = 0.1 * np.sin(2 * np.pi * pitch[each.group] * t).astype(np.float32)
            yield Stream(each.group, "speech", tone, np.ones(600, np.bool_))

    monkeypatch.setattr(voices.dataset.feature_store, "streams", streams)
    found = voices.measure(ByPitch(), tmp_path, "test")
    assert (found.windows, found.groups) == (9, 3)
    assert found.value == pytest.approx(2 / 3)
    assert found.low < found.value < found.high


def test_a_corpus_without_known_voices_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(voices.feature_store, "checked_recordings", lambda *_: [])
    with pytest.raises(ConfigError, match="has no voice of model/voices"):
        voices.measure(ByPitch(), tmp_path, "test")


def test_the_shipped_voice_model_is_small_and_fits_the_other() -> None:
    voice, other = classifier.load(classifier.VOICE_WEIGHTS), classifier.load()
    assert voice.spec.labels == voices.LABELS
    assert voice.spec.window_columns == other.spec.window_columns
    assert classifier.VOICE_WEIGHTS.stat().st_size < 300_000
