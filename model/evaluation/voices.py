"""Accuracy of female or male, on voices that were not in the training."""

from __future__ import annotations

from importlib.resources import files
from typing import TYPE_CHECKING

import numpy as np
import torch

from airsift.errors import ConfigError
from model.corpus import takes
from model.evaluation import metrics
from model.training import dataset

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from torch import Tensor

    from model.classifier import Classifier
    from model.corpus.recordings import Recording
    from model.corpus.sources import Split
    from model.evaluation.metrics import Estimate, Flags, Numbers

LABELS = ("female", "male")


def known_voices() -> dict[str, str]:
    """Return the groups of a single known voice, each 'female' or 'male'."""
    lines = (files("model") / "voices.tsv").read_text(encoding="utf-8").splitlines()
    rows = [line.partition("\t") for line in lines if line and not line.startswith("#")]
    return {group: kind for group, _, kind in rows}


def known_recordings(recordings: Iterable[Recording]) -> list[Recording]:
    """Select speech of known voices; a user's group of the same name is another voice."""
    voices = known_voices()
    return [
        each
        for each in recordings
        if each.kind == "speech" and each.origin == "recipe" and each.group in voices
    ]


def voice_windows(folder: Path, split: Split) -> list[tuple[Tensor, str]]:
    """Return columns [shape=(250, 144)] and group of windows, at most eight of each known voice.

    Raises
    ------
    ConfigError
        The split has no known voice.
    """
    chosen = known_recordings(takes.split_recordings(folder, split))
    found = [
        (columns, group) for columns, group, _ in dataset.windows(folder, chosen, augmented=False)
    ]
    if not found:
        raise ConfigError(
            f"the {split} split of {folder} has no voice of model/voices.tsv: build the corpus "
            "with --librispeech"
        )
    return found


def voice_accuracy(classifier: Classifier, windows: Sequence[tuple[Tensor, str]]) -> Estimate:
    """Measure the share of windows whose likelier label is right.

    Parameters
    ----------
    classifier : Classifier
        With the labels 'female' and 'male'.
    windows : sequence of (torch.Tensor [shape=(250, 144)], str)
        Columns and group, from `voice_windows`.

    Returns
    -------
    Estimate
        The share, with a bootstrap over voices.
    """
    voices = known_voices()
    groups = [group for _, group in windows]
    names = sorted(set(groups))
    columns = torch.stack([each for each, _ in windows])
    p = [classifier.decide(classifier.embed(block)) for block in torch.split(columns, 16)]
    pool = metrics.Pool(
        torch.cat(p).double().numpy(),
        np.array([[voices[group] == label for label in LABELS] for group in groups]),
        np.array([names.index(group) for group in groups], np.intp),
        np.array([LABELS.index(voices[name]) for name in names], np.intp),
    )
    return metrics.estimate(_right, pool)


def _right(p: Numbers, truth: Flags, weights: Numbers) -> float:
    return float(np.average((p[:, 0] > p[:, 1]) == truth[:, 0], weights=weights))
