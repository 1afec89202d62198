"""The classifiers that experiment 3 compares with networks, by scikit-learn."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from airsift.errors import ConfigError
from model.experiments.optional import needed

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

TREES = 10  # scikit-learn's default in 2015


class Baseline:
    """A classifier of flattened features, standardised with the training windows.

    Parameters
    ----------
    name : str
        One of `BASELINES`.
    seed : int >= 0
        Random seed of what is random.

    Raises
    ------
    ConfigError
        The name is unknown, or scikit-learn is missing.
    """

    def __init__(self, name: str, seed: int) -> None:
        if name not in BASELINES:
            raise ConfigError(f"baseline={name!r} is unknown: use one of {', '.join(BASELINES)}")
        preprocessing = needed("sklearn.preprocessing", f"the baseline {name}")
        pipeline = needed("sklearn.pipeline", f"the baseline {name}")
        self._model = pipeline.make_pipeline(preprocessing.StandardScaler(), BASELINES[name](seed))

    def fit(self, inputs: NDArray[np.float32], classes: NDArray[np.intp]) -> None:
        """Train on inputs [shape=(n, ...)] and their classes, 0 or 1 [shape=(n,)]."""
        self._model.fit(_flat(inputs), classes)

    def predict(self, inputs: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return the probability of class 1 [shape=(n,)].

        That of an SVM is 0 or 1: it decides without one.
        """
        flat = _flat(inputs)
        if hasattr(self._model, "predict_proba"):
            probabilities: NDArray[np.float64] = self._model.predict_proba(flat)[:, 1]
            return probabilities
        return np.asarray(self._model.predict(flat), np.float64)


def _svm(seed: int) -> Any:
    del seed  # nothing in it is random
    # 'auto' was the default in 2015: one divided by the number of inputs.
    return needed("sklearn.svm", "the baseline svm").SVC(kernel="rbf", gamma="auto")


def _forest(seed: int) -> Any:
    ensemble = needed("sklearn.ensemble", "the baseline random-forest")
    return ensemble.RandomForestClassifier(n_estimators=TREES, random_state=seed)


def _flat(inputs: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.asarray(inputs, np.float32).reshape(len(inputs), -1)


BASELINES: dict[str, Callable[[int], Any]] = {"svm": _svm, "random-forest": _forest}
