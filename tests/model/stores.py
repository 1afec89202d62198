"""Feature stores for tests: columns with targets by class, and a teacher without training."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from torch import nn

from model.corpus.feature_store import FeatureStore, TakeRow
from model.corpus.teacher import Teacher
from model.training.mixer import CLASSES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray


def store_of(
    columns: NDArray[np.float16],
    takes: list[TakeRow],
    classes: Mapping[str, tuple[int, ...]] = CLASSES,
) -> FeatureStore:
    """Return a store in which the class of a take is active throughout."""
    outputs = 1 + max(each for on in classes.values() for each in on)
    targets = np.zeros((len(columns), outputs), np.float16)
    for take in takes:
        for output in classes[take.kind]:
            targets[take.start : take.end, output] = 1.0
    return FeatureStore(columns, targets, takes)


TEACHER_NAMES = ["Rain", "Music", "Singing", "Speech", "Rapping"]


def untrained_teacher() -> Teacher:
    """Return a teacher of five classes with random weights, whose features differ by sound.

    Normalisations as they are initialised would make all sounds alike. Its log odds are a linear
    function of averaged features.
    """
    with pytest.MonkeyPatch.context() as patched, torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        patched.setattr(Teacher, "load_state_dict", _randomise)
        tagger = Teacher({}, TEACHER_NAMES)
        with torch.inference_mode():
            features = tagger.features(tagger.bands(0.1 * torch.randn(1, 32_000))).mean((2, 3))
            scale = float(features.square().mean().sqrt())
        with torch.no_grad():
            tagger.hidden.weight.normal_(0.0, 384**-0.5 / scale)
            tagger.hidden.bias.fill_(8.0)  # where hardswish is linear
            tagger.out.weight.normal_(0.0, 0.2 * 512**-0.5)
            tagger.out.bias.copy_(1.0 - 8.0 * tagger.out.weight.sum(dim=1))
        return tagger


def _randomise(module: nn.Module, _: object) -> None:
    for layer in module.modules():
        if isinstance(layer, nn.BatchNorm2d):
            nn.init.uniform_(layer.get_buffer("running_mean"), -0.5, 0.5)
            nn.init.uniform_(layer.get_buffer("running_var"), 0.02, 0.2)
            nn.init.uniform_(layer.weight, 0.5, 1.5)
            nn.init.uniform_(layer.bias, -0.5, 0.5)
