"""How often a voice is told right: windows of voices that were never trained on."""

from __future__ import annotations

from importlib.resources import files
from typing import TYPE_CHECKING

import numpy as np
import torch

from airsift.errors import ConfigError
from model.corpus import feature_store
from model.evaluation import metrics as figures
from model.training import dataset

if TYPE_CHECKING:
    from pathlib import Path

    from model.classifier import Classifier
    from model.corpus.sources import Split
    from model.evaluation.metrics import Figure, Flags, Numbers

LABELS = ("female", "male")


def known_voices() -> dict[str, str]:
    """Return the groups that are one voice, and whether it is 'female' or 'male'."""
    lines = (files("model") / "voices.tsv").read_text(encoding="utf-8").splitlines()
    rows = [line.partition("\t") for line in lines if line and not line.startswith("#")]
    return {group: kind for group, _, kind in rows}


def measure(classifier: Classifier, folder: Path, split: Split, *, treated: bool = False) -> Figure:
    """Measure how often the likelier voice is the right one, in 5 s windows of speech.

    Parameters
    ----------
    classifier : Classifier
        With the labels 'female' and 'male'.
    folder : Path
        The corpus.
    split : Split
        Whose voices.
    treated : bool
        Whether rooms, codecs and the like are added.

    Returns
    -------
    Figure
        Share of the windows, at most eight of a voice, with its interval by voices.

    Raises
    ------
    ConfigError
        The split has no voice that is known to be female or male.
    """
    voices = known_voices()
    chosen = [
        each
        for each in feature_store.checked_recordings(folder, split)
        if each.kind == "speech" and each.origin == "recipe" and each.group in voices
    ]
    found = list(dataset.windows(folder, chosen, treated=treated))
    if not found:
        raise ConfigError(
            f"the {split} split of {folder} has no voice of model/voices.tsv: build the corpus "
            "with --librispeech"
        )
    names = sorted({group for _, group, _ in found})
    windows = torch.stack([columns for columns, _, _ in found])
    p = [classifier.decide(classifier.embed(block)) for block in torch.split(windows, 16)]
    truth = np.array([[voices[group] == label for label in LABELS] for _, group, _ in found])
    pool = figures.Pool(
        torch.cat(p).double().numpy(),
        truth,
        np.array([names.index(group) for _, group, _ in found], np.intp),
        np.array([LABELS.index(voices[name]) for name in names], np.intp),
    )
    return figures.estimate(_right, pool)


def _right(p: Numbers, truth: Flags, weights: Numbers) -> float:
    return float(np.average((p[:, 0] > p[:, 1]) == truth[:, 0], weights=weights))
