"""Feature stores for tests: columns with targets by class."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from model.corpus.feature_store import FeatureStore, TakeRow
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
