"""Metrics with 95 % intervals from a bootstrap over groups.

Windows of one voice or track are alike, so an interval over windows would be too narrow. Groups are
resampled with replacement, separately for speech, music and noise; a drawn group brings all its
windows in all conditions. For means over sources, see `model.evaluation.by_source`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from model.evaluation.predict import ConditionPredictions

Numbers = NDArray[np.float64]
Flags = NDArray[np.bool_]
Metric = Callable[[Numbers, Flags, Numbers], float]
Thresholds = tuple[float, float]  # of speech and music, for one label a window
DRAWS = 500
SPEECH, MUSIC, NONE = 0, 1, -1
THRESHOLDS: Thresholds = (0.5, 0.5)


@dataclass(frozen=True, slots=True)
class Estimate:
    """A metric with its 95 % interval, and the number of windows, groups and sources."""

    value: float
    low: float
    high: float
    windows: int
    groups: int
    sources: int = 0


@dataclass(frozen=True, slots=True)
class Pool:
    """Windows of several conditions.

    Parameters
    ----------
    p : np.ndarray [shape=(n, 2)]
        Probabilities of speech and music; [shape=(n, 4)] for pairs: clean, then degraded.
    truth : np.ndarray [shape=(n, 2), bool]
        Speech and music.
    groups : np.ndarray [shape=(n,), int]
        Index of each window's group.
    strata : np.ndarray [shape=(groups,), int]
        Stratum of each group.
    share : np.ndarray [shape=(n,)], optional
        Weight of each window; default: 1.
    sources : int >= 0
        Number of sources, if known.
    """

    p: Numbers
    truth: Flags
    groups: NDArray[np.intp]
    strata: NDArray[np.intp]
    share: Numbers | None = None
    sources: int = 0

    @property
    def shares(self) -> Numbers:
        """Weight of each window [shape=(n,)]."""
        return np.ones(len(self.p)) if self.share is None else self.share

    def weights(self, random: np.random.Generator) -> Numbers:
        """Resample groups; return how often each window is in the sample."""
        times = np.zeros(len(self.strata))
        for stratum in np.unique(self.strata):
            members = np.flatnonzero(self.strata == stratum)
            times[members] = np.bincount(
                random.integers(0, len(members), len(members)), minlength=len(members)
            )
        return times[self.groups] * self.shares


def pool(predictions: Sequence[ConditionPredictions], *, equal_sources: bool = False) -> Pool:
    """Pool conditions; the stratum of a group is the first condition that it appears in.

    Parameters
    ----------
    predictions : sequence of ConditionPredictions
        The conditions.
    equal_sources : bool
        Whether each source of each condition has the same weight, however many windows it has.
    """
    place: dict[str, int] = {}
    strata: list[int] = []
    for number, each in enumerate(predictions):
        for group in dict.fromkeys(each.groups.tolist()):
            if group not in place:
                place[group] = len(place)
                strata.append(number)
    truth = [np.tile(np.array(each.truth) > 0, (len(each.groups), 1)) for each in predictions]
    share = np.concatenate([_equal(each.sources) for each in predictions])
    names = {name for each in predictions for name in each.sources.tolist() if name}
    return Pool(
        np.concatenate([each.probabilities for each in predictions]),
        np.concatenate(truth),
        np.array([place[group] for each in predictions for group in each.groups.tolist()], np.intp),
        np.array(strata, np.intp),
        share * (len(share) / share.sum()) if equal_sources else None,
        len(names),
    )


def _equal(sources: NDArray[np.str_]) -> Numbers:
    """Return weights of windows that give each source the weight 1 [shape=(n,)]."""
    _, place, count = np.unique(sources, return_inverse=True, return_counts=True)
    weights: Numbers = 1.0 / count[place]
    return weights


def paired(clean: Sequence[ConditionPredictions], degraded: Sequence[ConditionPredictions]) -> Pool:
    """Pool conditions with the degraded versions of their first windows."""
    first = [
        each.part(slice(len(other.groups))) for each, other in zip(clean, degraded, strict=True)
    ]
    for each, other in zip(first, degraded, strict=True):
        if not np.array_equal(each.groups, other.groups):
            raise ValueError(
                f"the windows of {other.name!r} are not those of {each.name!r}, in order"
            )
    of, second = pool(first), pool(degraded)
    return Pool(np.hstack([of.p, second.p]), of.truth, of.groups, of.strata, None, of.sources)


def estimate(metric: Metric, of: Pool) -> Estimate:
    """Return a metric of a pool with its interval.

    Parameters
    ----------
    metric : callable
        Function of probabilities, truth and weights [shape=(n,)].
    of : Pool
        The windows.
    """
    random = np.random.default_rng(0)
    drawn = [metric(of.p, of.truth, of.weights(random)) for _ in range(DRAWS)]
    low, high = np.quantile(drawn, [0.025, 0.975])
    point = metric(of.p, of.truth, of.shares)
    return Estimate(point, float(low), float(high), len(of.p), len(of.strata), of.sources)


def one_label(p: Numbers, thresholds: Thresholds = THRESHOLDS) -> NDArray[np.intp]:
    """Return one label a window: `SPEECH`, `MUSIC` or `NONE` [shape=(n,), int].

    It is the likelier of the labels whose probability is at or above its threshold; speech, if
    they are equal; none, if neither is.
    """
    reached = p >= np.array(thresholds)
    likelier = np.where(reached, p, -1.0).argmax(axis=1)
    return np.where(reached.any(axis=1), likelier, NONE)


def one_label_right(thresholds: Thresholds = THRESHOLDS) -> Metric:
    """Return the share of windows whose one label is right; the truth is one label or none."""

    def value(p: Numbers, truth: Flags, weights: Numbers) -> float:
        wanted = np.where(truth.any(axis=1), truth.argmax(axis=1), NONE)
        return _share(one_label(p, thresholds) == wanted, weights)

    return value


def macro_f(p: Numbers, truth: Flags, weights: Numbers) -> float:
    """Mean of the F measures of speech and music at a threshold of 0.5."""
    return float(np.mean([f_measure(i)(p, truth, weights) for i in (SPEECH, MUSIC)]))


def f_measure(label: int) -> Metric:
    """Return the F measure of one label."""

    def value(p: Numbers, truth: Flags, weights: Numbers) -> float:
        positive, true = p[:, label] > 0.5, truth[:, label]
        return _ratio(
            2 * weights[positive & true].sum(), weights[positive].sum() + weights[true].sum()
        )

    return value


def precision(label: int) -> Metric:
    """Return the precision of one label."""

    def value(p: Numbers, truth: Flags, weights: Numbers) -> float:
        positive = p[:, label] > 0.5
        return _ratio(weights[positive & truth[:, label]].sum(), weights[positive].sum())

    return value


def recall(label: int) -> Metric:
    """Return the recall of one label."""

    def value(p: Numbers, truth: Flags, weights: Numbers) -> float:
        true = truth[:, label]
        return _ratio(weights[(p[:, label] > 0.5) & true].sum(), weights[true].sum())

    return value


def loss(p: Numbers, truth: Flags, weights: Numbers) -> float:
    """Macro F of the clean windows minus that of the degraded ones."""
    return macro_f(p[:, :2], truth, weights) - macro_f(p[:, 2:], truth, weights)


def calibration_error(p: Numbers, truth: Flags, weights: Numbers) -> float:
    """Mean of |probability - frequency| over ten bins: the expected calibration error."""
    return float(
        sum(
            abs(mean - frequency) * share
            for mean, frequency, share in reliability(p.ravel(), truth.ravel(), weights.repeat(2))
        )
    )


def reliability(p: Numbers, truth: Flags, weights: Numbers) -> Iterator[tuple[float, float, float]]:
    """Yield mean probability, true share and share of the windows for each non-empty bin."""
    bins = np.minimum((p * 10).astype(int), 9)
    for number in range(10):
        here = bins == number
        inside = weights[here].sum()
        if inside > 0:
            yield (
                float((weights * p)[here].sum() / inside),
                float((weights * truth)[here].sum() / inside),
                float(inside / weights.sum()),
            )


def both_right(p: Numbers, truth: Flags, weights: Numbers) -> float:
    """Share of windows with both outputs on the right side of 0.5."""
    right: Flags = ((p > 0.5) == truth).all(axis=1)
    return _share(right, weights)


def predicted(label: int) -> Metric:
    """Return the share of windows with a predicted label."""
    return lambda p, truth, weights: _share(p[:, label] > 0.5, weights)


def _share(right: Flags, weights: Numbers) -> float:
    return _ratio(weights[right].sum(), weights.sum())


def _ratio(part: float, whole: float) -> float:
    return float(part / whole) if whole > 0 else 0.0
