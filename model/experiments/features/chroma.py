"""Chroma: the energy of the twelve pitch classes, by nnAudio's transform and librosa's filters."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from model.experiments.features.base import Feature
from model.experiments.features.cqt import constant_q
from model.experiments.features.mfcc import FRAMES, MFCC_HOP
from model.experiments.optional import needed

if TYPE_CHECKING:
    from torch import Tensor

PITCH_CLASSES = 12
OCTAVES, BINS_PER_OCTAVE = 6, 36
LOWEST_HZ = 73.42  # D2


class Chroma(Feature):
    """12 pitch classes from 6 octaves, 36 bins an octave, from 73.42 Hz (Table 4.2).

    Each frame is divided by its largest value; a silent frame is 0. As they are shares of a frame,
    they are not compressed.
    """

    folding: Tensor

    def __init__(self) -> None:
        super().__init__("chroma", (1, FRAMES, PITCH_CLASSES))
        bins = OCTAVES * BINS_PER_OCTAVE
        self.transform = constant_q(MFCC_HOP, LOWEST_HZ, bins, BINS_PER_OCTAVE)
        filters = needed("librosa", "chroma").filters.cq_to_chroma(
            bins, bins_per_octave=BINS_PER_OCTAVE, n_chroma=PITCH_CLASSES, fmin=LOWEST_HZ
        )
        self.register_buffer("folding", torch.from_numpy(filters).float())

    def compute(self, windows: Tensor) -> Tensor:
        # With 'librosa' a bin is divided by the root of its length, as in librosa's chroma.
        magnitudes: Tensor = self.transform(windows, normalization_type="librosa")
        classes = (self.folding @ magnitudes).transpose(1, 2)
        largest = classes.amax(dim=2, keepdim=True)
        # librosa's threshold: below it a frame is silent and stays as it is.
        silent = largest < torch.finfo(torch.float32).tiny
        return torch.where(silent, 0.0, classes / largest).unsqueeze(1)
