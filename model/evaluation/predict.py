"""Predictions of a model for the windows of conditions, and the cost of a window."""

from __future__ import annotations

import time
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING

import numpy as np
import torch

from model.backend import columns_of
from model.frontend.rolling_cqt import RollingCQT
from model.short import window_frames
from model.torch_backend import TorchClassifier, TorchFrontEnd

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from numpy.typing import NDArray

    from model.classifier import Classifier
    from model.evaluation.conditions import Condition

    Predictions = Mapping[str, "ConditionPredictions"]  # by the name of the condition


@dataclass(frozen=True, slots=True)
class ConditionPredictions:
    """A condition and the predictions for its windows.

    Parameters
    ----------
    name : str
        The condition.
    truth : (int, int)
        Speech and music, 0 or 1.
    probabilities : np.ndarray [shape=(n, 2)]
        Predicted probabilities of speech and music.
    groups : np.ndarray [shape=(n,), str]
        Voice, track or game of each window.
    sources : np.ndarray [shape=(n,), str]
        Source of each window; empty if unknown.
    categories : np.ndarray [shape=(n,), str]
        Fine kind of each window; empty if unknown.
    """

    name: str
    truth: tuple[int, int]
    probabilities: NDArray[np.float64]
    groups: NDArray[np.str_]
    sources: NDArray[np.str_]
    categories: NDArray[np.str_]

    def part(self, chosen: NDArray[np.bool_] | slice) -> ConditionPredictions:
        """Select windows by a mask or a slice."""
        return ConditionPredictions(
            self.name,
            self.truth,
            self.probabilities[chosen],
            self.groups[chosen],
            self.sources[chosen],
            self.categories[chosen],
        )


def predict(
    classifier: Classifier, conditions: Iterable[Condition]
) -> Iterator[ConditionPredictions]:
    """Predict each window without its surroundings, as ``airsift classify`` does."""
    network, front_end = TorchClassifier(classifier), TorchFrontEnd(RollingCQT())
    classifier.spec.check_front_end(front_end)
    width = classifier.spec.window_columns
    for each in conditions:
        parts = []
        for first in range(0, len(each.samples), 16):
            columns = columns_of(each.samples[first : first + 16], front_end)[:, :width]
            parts.append(network.decide(window_frames(network, columns)))
        probabilities = np.concatenate(parts).astype(np.float64)
        unknown = [""] * len(each.groups)
        yield ConditionPredictions(
            each.name,
            each.truth,
            probabilities,
            np.array(each.groups),
            np.array(each.sources or unknown),
            np.array(each.categories or unknown),
        )


def window_cpu_s(classifier: Classifier, repeats: int = 40) -> float:
    """Return the median CPU seconds of one window, from its columns, on one thread.

    CPU time and not wall time: other load on the machine does not count.
    """
    spec = classifier.spec
    columns = torch.rand(1, spec.window_columns, spec.n_bins) * 8.0
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    taken = []
    for _ in range(repeats):
        before = time.thread_time()
        frames = classifier.embed(columns)
        classifier.predict(frames)
        taken.append(time.thread_time() - before)
    torch.set_num_threads(threads)
    return median(taken)
