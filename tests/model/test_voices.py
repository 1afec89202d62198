from __future__ import annotations

from collections import Counter
from importlib.resources import files
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch

from airsift.errors import ConfigError
from model import classifier, weights
from model.corpus import groups, recordings
from model.corpus.recordings import Recording
from model.corpus.sources import KINDS, manifest_items
from model.evaluation import voices
from model.evaluation.voices import VoiceWindow
from model.frontend.rolling_cqt import RollingCQT, cqt
from stream.testing import tone, write_wav

RATE = 16_000
# Bins of 200 Hz and 1 kHz: 24 an octave from 80 Hz.
VOICE, MUSIC = 32, 87


class ByPitch:
    """Calls what is loud near 200 Hz female, and what is loud near 100 Hz male; wrong of one."""

    def embed(self, columns: torch.Tensor) -> torch.Tensor:
        return columns

    def decide(self, frames: torch.Tensor) -> torch.Tensor:
        low, high = frames[:, :, 8].mean(1), frames[:, :, 32].mean(1)
        return torch.sigmoid(torch.stack([high - low, low - high], dim=1))


def test_every_known_voice_is_female_or_male_and_every_split_has_many_of_both() -> None:
    table = groups.read_groups(files("model") / "voices.tsv")
    assert set(table.kinds.values()) == {"female", "male"}
    assert table.kinds.keys() == table.splits.keys()
    counted = Counter((split, table.kinds[group]) for group, split in table.splits.items())
    for split, minimum in (("train", 100), ("validation", 20), ("test", 50)):
        assert min(counted[split, kind] for kind in voices.LABELS) >= minimum


def test_every_clip_is_of_a_known_voice_and_clips_of_a_file_do_not_overlap() -> None:
    known = voices.known_voices()
    for clips in groups.read_clips(files("model") / "voice_clips.tsv").values():
        assert {clip.group for clip in clips} <= known.keys()
        ordered = sorted(clips)
        assert all(first.end <= second.start for first, second in pairwise(ordered))


def test_sources_that_are_held_out_have_voices_for_test_only() -> None:
    splits = groups.read_groups(files("model") / "voices.tsv").splits
    for source in ("ravdess", "speechocean762", "medley-solos-db"):
        found = {split for group, split in splits.items() if voices.source_of(group) == source}
        assert found == {"test"}


def windows(pitch: float) -> torch.Tensor:
    """Return the columns of 5 s of a tone."""
    t = np.arange(5 * RATE) / RATE
    tone = 0.1 * np.sin(2 * np.pi * pitch * t).astype(np.float32)
    return cqt(torch.from_numpy(tone)[None], RollingCQT())[0, :250]


@pytest.mark.slow
def test_windows_are_pooled_by_voice() -> None:
    """Two voices have their own pitch and one the other's: two thirds are right."""
    known = voices.known_voices()
    female = [group for group, kind in known.items() if kind == "female"][:2]
    male = next(group for group, kind in known.items() if kind == "male")
    pitch = {female[0]: 200.0, female[1]: 100.0, male: 100.0}
    found = voices.voice_accuracy(
        ByPitch(),
        [
            VoiceWindow(windows(hz), group, "speech")
            for group, hz in pitch.items()
            for _ in range(3)
        ],
    )
    assert (found.windows, found.groups) == (9, 3)
    assert found.value == pytest.approx(2 / 3)
    assert found.low < found.value < found.high


@pytest.mark.slow
def test_sources_are_measured_apart_and_so_are_speech_and_singing() -> None:
    """One woman of a source with trained voices speaks high; of another she sings low."""
    found = voices.accuracy_by_source(
        ByPitch(),
        [
            VoiceWindow(windows(200.0), "librispeech:32", "speech"),
            VoiceWindow(windows(200.0), "ravdess:actor02", "speech"),
            VoiceWindow(windows(100.0), "ravdess:actor02", "singing"),
        ],
    )
    assert [(each.source, each.kind, each.trained, each.right.value) for each in found] == [
        ("ravdess", "singing", False, 0.0),
        ("librispeech", "speech", True, 1.0),
        ("ravdess", "speech", False, 1.0),
    ]
    assert all(each.answered.windows == 1 for each in found)


def test_only_speech_of_sources_with_trained_voices_counts_as_held_out_speakers() -> None:
    columns = torch.zeros(250, 144)
    drawn = [
        VoiceWindow(columns, group, kind)
        for group in ("librispeech:32", "ravdess:actor02")
        for kind in voices.KINDS
    ]
    assert voices.known_sources(drawn) == drawn[:1]


def test_a_users_group_that_is_called_like_a_known_voice_is_another_voice() -> None:
    table = groups.read_groups(files("model") / "voices.tsv")
    known = next(group for group, split in table.splits.items() if split == "test")
    listed = [
        Recording("s", group, "speech", group, 0, 1, digest, origin)
        for digest, group, origin in (
            ("a", known, "recipe"),
            ("b", "unknown:1", "recipe"),
            ("c", known, "own"),
        )
    ]
    assert voices.known_recordings(listed, "test") == listed[:1]
    assert voices.known_recordings(listed, "train") == []


def test_the_shipped_voice_model_is_small_and_fits_the_other() -> None:
    voice, other = classifier.load(weights.VOICE_WEIGHTS), classifier.load()
    assert voice.spec.labels == voices.LABELS
    assert voice.spec.window_columns == other.spec.window_columns
    assert weights.VOICE_WEIGHTS.stat().st_size < 200_000


@pytest.fixture(scope="module")
def one_voice(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a corpus of one known voice, 200 Hz, and music of 1 kHz in another split and this."""
    folder = tmp_path_factory.mktemp("voices")
    known = next(
        group
        for group, split in groups.read_groups(files("model") / "voices.tsv").splits.items()
        if split == "test" and group.startswith("ravdess:")
    )
    rows = ["path,class,group,split"]
    for name, kind, group, hertz in (
        ("voice", "speech", known, 200.0),
        ("song", "music", "a song", 1000.0),
    ):
        write_wav(folder / f"{name}.wav", tone(16, hz=hertz, level=0.2))
        rows.append(f"{name}.wav,{kind},{group},test")
    (folder / "mine.csv").write_text("\n".join(rows) + "\n")
    items = manifest_items(folder / "mine.csv", KINDS)
    job = recordings.manifest_job(folder / "mine.csv", items)
    recordings.build([job], folder / "corpus", lambda line: None, workers=1)
    return folder / "corpus"


def test_music_under_a_voice_has_the_level_that_was_asked(one_voice, monkeypatch) -> None:
    """The energy at 1 kHz, beside that at 200 Hz, follows the level decibel by decibel."""
    # A voice of one's own counts here as one of the recipe.
    monkeypatch.setattr(
        voices, "known_recordings",
        lambda listed, split: [each for each in listed if each.kind == "speech"],
    )  # fmt: skip

    def spectrum(music_db: float | None) -> list[float]:
        found = voices.voice_windows(one_voice, "test", music_db=music_db)
        columns = torch.stack([each.columns for each in found])
        magnitude = (2**columns - 1).square().mean((0, 1))  # log2(1 + C s)
        return [10 * float(magnitude[at - 1 : at + 2].sum().log10()) for at in (VOICE, MUSIC)]

    alone = spectrum(None)
    assert alone[0] > alone[1] + 40
    gaps = {level: np.subtract(*spectrum(level)[::-1]) for level in (-10.0, 0.0, 6.0)}
    assert gaps[0.0] - gaps[-10.0] == pytest.approx(10, abs=0.5)
    assert gaps[6.0] - gaps[0.0] == pytest.approx(6, abs=0.5)


def test_a_split_without_music_is_refused(one_voice) -> None:
    with pytest.raises(ConfigError, match="the validation split has no music: add recordings"):
        voices.voice_windows(one_voice, "validation", music_db=0.0)
