"""Accuracy of female or male, on voices that were not in the training.

`model/voices.tsv` lists the voices and their splits. Some sources are held out whole: their voices
are all for test, so that the figures also say what happens with unknown microphones and rooms.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.resources import files
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch

from airsift.errors import ConfigError
from model.corpus import groups as tables
from model.corpus import recordings as corpus
from model.corpus import takes
from model.evaluation import metrics
from model.training import dataset

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray
    from torch import Tensor

    from model.classifier import Classifier
    from model.corpus.recordings import Recording
    from model.corpus.sources import Kind, Split
    from model.evaluation.metrics import Estimate, Flags, Numbers

    Samples = NDArray[np.float32]

LABELS = ("female", "male")
KINDS: tuple[Kind, ...] = ("speech", "singing")
# Below this probability of the likelier voice `airsift` gives no answer, see `stream.events`.
ANSWER = 0.7
_SEED = 5  # of the music under voices


class VoiceWindow(NamedTuple):
    """Columns [shape=(250, 144)] of a window, its voice, and whether it is speech or singing."""

    columns: Tensor
    group: str
    kind: Kind


@dataclass(frozen=True, slots=True)
class SourceAccuracy:
    """Accuracy on the voices of one source.

    Parameters
    ----------
    source : str
        The name of the source, as in the names of its groups.
    kind : Kind
        Speech or singing.
    trained : bool
        Whether other voices of the source are in the training.
    right : Estimate
        Share of windows whose likelier voice is right.
    answered : Estimate
        Share of windows in which the likelier voice has a probability of `ANSWER` or more.
    answered_right : Estimate or None
        Share of these that are right; None if there are none.
    """

    source: str
    kind: Kind
    trained: bool
    right: Estimate
    answered: Estimate
    answered_right: Estimate | None


def known_voices() -> Mapping[str, str]:
    """Return the groups of a single known voice, each 'female' or 'male'."""
    return _table().kinds


def known_recordings(recordings: Iterable[Recording], split: Split) -> list[Recording]:
    """Select speech and singing of a split's known voices.

    A user's group of the same name is another voice.
    """
    clips = tables.read_clips(files("model") / "voice_clips.tsv")
    parts = tables.cut_clips((each for each in recordings if each.origin == "recipe"), clips)
    table = _table()
    voices = [each for each in parts if each.kind in KINDS and each.group in table.kinds]
    return tables.split_of_table(voices, table.splits, split)


def voice_windows(
    folder: Path, split: Split, *, augmented: bool = False, music_db: float | None = None
) -> list[VoiceWindow]:
    """Return windows of a split's known voices, at most eight of each for speech and singing.

    Parameters
    ----------
    folder : Path
        The corpus.
    split : Split
        As in `model/voices.tsv`.
    augmented : bool
        Whether through rooms, telephones, codecs and similar.
    music_db : float, optional
        Level of music under each voice, relative to it; the music is of the same split of the
        corpus.

    Raises
    ------
    ConfigError
        The split has no music.
    """
    listed = corpus.read_index(folder)
    chosen = known_recordings(listed, split)
    change = None if music_db is None else _music_under(folder, listed, split, music_db)
    found = dataset.windows(folder, chosen, augmented=augmented, change=change)
    return [VoiceWindow(*each) for each in found]


def _music_under(
    folder: Path, listed: Sequence[Recording], split: Split, music_db: float
) -> Callable[[Samples], Samples]:
    """Return a function that adds music; the same voices get the same music at every level."""
    chosen = [each for each in takes.select_split(listed, split) if each.kind == "music"]
    music = [each.samples for each in takes.takes(folder, chosen, _SEED, augmented=False)]
    if not music:
        raise ConfigError(f"{folder}: the {split} split has no music: add recordings of it")
    random = np.random.default_rng(_SEED)

    def change(samples: Samples) -> Samples:
        other = np.resize(music[int(random.integers(len(music)))], len(samples))
        ratio = np.sqrt(np.square(samples).mean() / max(float(np.square(other).mean()), 1e-12))
        mixed: Samples = samples + other * np.float32(ratio * 10.0 ** (music_db / 20.0))
        return mixed

    return change


def voice_accuracy(classifier: Classifier, windows: Sequence[VoiceWindow]) -> Estimate:
    """Measure the share of windows whose likelier label is right.

    Parameters
    ----------
    classifier : Classifier
        With the labels 'female' and 'male'.
    windows : sequence of VoiceWindow
        At least one.

    Returns
    -------
    Estimate
        The share, with a bootstrap over voices.
    """
    return metrics.estimate(_right, _pool(_probabilities(classifier, windows), windows))


def known_sources(windows: Iterable[VoiceWindow]) -> list[VoiceWindow]:
    """Select speech of the sources from which other voices are trained: only the voice is new."""
    trained = _trained_sources()
    return [each for each in windows if each.kind == "speech" and source_of(each.group) in trained]


def accuracy_by_source(
    classifier: Classifier, windows: Sequence[VoiceWindow]
) -> list[SourceAccuracy]:
    """Measure the voices of each source, speech and singing apart.

    Parameters
    ----------
    classifier : Classifier
        With the labels 'female' and 'male'.
    windows : sequence of VoiceWindow
        From `voice_windows`.
    """
    trained = _trained_sources()
    p = _probabilities(classifier, windows)
    found = []
    for kind, source in sorted({(each.kind, source_of(each.group)) for each in windows}):
        places = [
            place
            for place, each in enumerate(windows)
            if each.kind == kind and source_of(each.group) == source
        ]
        some = _pool(p[places], [windows[place] for place in places])
        sure = [place for place in places if p[place].max() >= ANSWER]
        found.append(
            SourceAccuracy(
                source, kind, source in trained,
                metrics.estimate(_right, some),
                metrics.estimate(_answered, some),
                metrics.estimate(_right, _pool(p[sure], [windows[place] for place in sure]))
                if sure else None,
            )
        )  # fmt: skip
    return found


def source_of(group: str) -> str:
    """Return the source of a voice: the part of its name before the colon."""
    return group.partition(":")[0]


def _table() -> tables.Groups:
    return tables.read_groups(files("model") / "voices.tsv")


def _trained_sources() -> set[str]:
    return {source_of(group) for group, split in _table().splits.items() if split == "train"}


def _probabilities(classifier: Classifier, windows: Sequence[VoiceWindow]) -> Numbers:
    """Return the probabilities [shape=(n, 2)] of a female and of a male voice; they sum to 1."""
    columns = torch.stack([each.columns for each in windows])
    parts = [classifier.decide(classifier.embed(block)) for block in torch.split(columns, 16)]
    p: Numbers = torch.cat(parts).double().clamp(min=1e-6).numpy()
    # The ratio of the two outputs decides, as in `stream.stages.voice`.
    shares: Numbers = p / p.sum(axis=1, keepdims=True)
    return shares


def _pool(p: Numbers, windows: Sequence[VoiceWindow]) -> metrics.Pool:
    voices = known_voices()
    names = sorted({each.group for each in windows})
    return metrics.Pool(
        p,
        np.array([[voices[each.group] == label for label in LABELS] for each in windows]),
        np.array([names.index(each.group) for each in windows], np.intp),
        np.array([LABELS.index(voices[name]) for name in names], np.intp),
    )


def _right(p: Numbers, truth: Flags, weights: Numbers) -> float:
    return float(np.average((p[:, 0] > p[:, 1]) == truth[:, 0], weights=weights))


def _answered(p: Numbers, truth: Flags, weights: Numbers) -> float:
    del truth
    return float(np.average(p.max(axis=1) >= ANSWER, weights=weights))
