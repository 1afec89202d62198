"""Figures of each source, their mean and the worst, with intervals over sources and groups.

A source is a package, a repository or a manifest. Results differ between sources, so the interval
of a mean resamples the sources of each class, and then the groups of each drawn source. That of one
source resamples its groups.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from model.evaluation import metrics
from model.evaluation.conditions import PURE
from model.evaluation.metrics import DRAWS, MUSIC, SPEECH, THRESHOLDS, Estimate

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    from model.evaluation.metrics import Flags, Numbers, Thresholds
    from model.evaluation.predict import ConditionPredictions, Predictions

# A source with fewer windows of a class counts in the pooled figure only.
MIN_WINDOWS = 10
GRID = tuple(round(0.2 + 0.05 * place, 2) for place in range(13))
# The classes that have a label; the fourth, noise, is to be rejected.
LABELLED = ("speech", "music", "singing")
TRUTH = {"speech": SPEECH, "music": MUSIC, "singing": MUSIC, "noise": metrics.NONE}


@dataclass(frozen=True, slots=True)
class SourceFigure:
    """The figures of one class of one source.

    Parameters
    ----------
    kind, source : str
        Class and source.
    one_label, both_outputs : Estimate
        Share of windows whose one label is right (see `model.evaluation.metrics.one_label`), and
        with both outputs on the right side of 0.5.
    counted : bool
        Whether it counts in means over sources.
    """

    kind: str
    source: str
    one_label: Estimate
    both_outputs: Estimate
    counted: bool


def figures(predictions: Predictions, thresholds: Thresholds = THRESHOLDS) -> list[SourceFigure]:
    """Return the figures of every source of every class."""
    found = []
    for kind in PURE:
        if kind not in predictions:
            continue
        each = predictions[kind]
        counted = _counted(each)
        for source in np.unique(each.sources).tolist():
            of = metrics.pool([each.part(each.sources == source)])
            found.append(
                SourceFigure(
                    kind,
                    source,
                    metrics.estimate(metrics.one_label_right(thresholds), of),
                    metrics.estimate(metrics.both_right, of),
                    source in counted,
                )
            )
    return found


def worst(of: Iterable[SourceFigure], kinds: Sequence[str] = LABELLED) -> SourceFigure | None:
    """Return the counted source with the lowest share of right labels, of these classes."""
    counted = [each for each in of if each.counted and each.kind in kinds]
    return min(counted, key=lambda each: each.one_label.value, default=None)


def mean(each: ConditionPredictions, right: Flags) -> Estimate:
    """Return the mean over sources of a share.

    Parameters
    ----------
    each : ConditionPredictions
        Windows of one class.
    right : np.ndarray [shape=(n,), bool]
        What is counted.
    """
    means = _means(each, right[:, None], np.random.default_rng(0))
    return _estimate(means[:, 0], [each])


def mean_recall(each: ConditionPredictions, thresholds: Thresholds = THRESHOLDS) -> Estimate:
    """Return the mean over sources of the share of windows whose one label is right."""
    return mean(each, metrics.one_label(each.probabilities, thresholds) == TRUTH[each.name])


def macro_f(predictions: Predictions, thresholds: Thresholds = THRESHOLDS) -> Estimate:
    """Return the macro F of speech, music and singing by one label a window, over sources.

    F of a class is 2 h / (1 + h + f). h is the share of its windows with its label, and f the
    share of the other side's windows with it, both as means over sources; the label of singing is
    music. The other side of speech is music and singing, which count the same; that of music and
    of singing is speech.
    """
    present = [predictions[kind] for kind in LABELLED if kind in predictions]
    random = np.random.default_rng(0)
    called = {
        each.name: _means(
            each,
            metrics.one_label(each.probabilities, thresholds)[:, None] == np.array([SPEECH, MUSIC]),
            random,
        )
        for each in present
    }
    others = [called[kind][:, SPEECH] for kind in ("music", "singing") if kind in called]
    false = {SPEECH: np.mean(others, axis=0), MUSIC: called["speech"][:, MUSIC]}
    scores = []
    for kind, shares in called.items():
        label = TRUTH[kind]
        scores.append(2 * shares[:, label] / (1 + shares[:, label] + false[label]))
    return _estimate(np.mean(scores, axis=0), present)


def pick_thresholds(predictions: Predictions) -> tuple[Thresholds, float, float]:
    """Choose the thresholds of the one label, by the share of windows where it is right.

    The share is the mean over all pairs of a class, noise included, and a counted source.

    Returns
    -------
    thresholds : (float, float)
        Of speech and music, 0.2 to 0.8; of equal ones, the nearest to 0.5.
    chosen, default : float
        The mean with these, and with 0.5.
    """
    units = [
        (each.probabilities[each.sources == source], TRUTH[kind])
        for kind, each in predictions.items()
        if kind in TRUTH
        for source in sorted(_counted(each))
    ]

    def score(pair: Thresholds) -> float:
        return float(np.mean([(metrics.one_label(p, pair) == label).mean() for p, label in units]))

    def order(pair: Thresholds) -> tuple[float, float]:
        return round(score(pair), 9), -abs(pair[0] - 0.5) - abs(pair[1] - 0.5)

    best = max(((speech, music) for speech in GRID for music in GRID), key=order)
    return best, score(best), score(THRESHOLDS)


def _counted(each: ConditionPredictions) -> set[str]:
    """Return the sources that count in means: those with enough windows, or else all."""
    names, counts = np.unique(each.sources, return_counts=True)
    enough = set(names[counts >= MIN_WINDOWS].tolist())
    return enough or set(names.tolist())


def _means(each: ConditionPredictions, hits: Flags, random: np.random.Generator) -> Numbers:
    """Return means over sources of shares, for the sample and for each draw.

    Parameters
    ----------
    each : ConditionPredictions
        Windows of one class.
    hits : np.ndarray [shape=(n, k), bool]
        What is counted.
    random : np.random.Generator
        Draws the samples; one for all classes, whose samples are independent.

    Returns
    -------
    np.ndarray [shape=(1 + DRAWS, k)]
        First the sample itself.
    """
    tables = []
    for source in sorted(_counted(each)):
        here = each.sources == source
        names, place = np.unique(each.groups[here], return_inverse=True)
        # One row a group: its windows, and how many of them are hits.
        table = np.zeros((len(names), 1 + hits.shape[1]))
        np.add.at(table, place, np.column_stack([np.ones(here.sum()), hits[here]]))
        tables.append(table)
    sample = np.mean([_shares(table.sum(axis=0)) for table in tables], axis=0)
    total = np.zeros((DRAWS, hits.shape[1]))
    for _ in tables:
        drawn = random.integers(0, len(tables), DRAWS)
        for number, table in enumerate(tables):
            rows = np.flatnonzero(drawn == number)
            times = random.multinomial(len(table), np.full(len(table), 1 / len(table)), len(rows))
            total[rows] += _shares(times.astype(float) @ table)
    return np.vstack([sample, total / len(tables)])


def _shares(table: Numbers) -> Numbers:
    shares: Numbers = table[..., 1:] / table[..., :1]
    return shares


def _estimate(values: NDArray[np.float64], of: Sequence[ConditionPredictions]) -> Estimate:
    """Return the estimate of a sample and its draws, with the support of the counted sources."""
    low, high = np.quantile(values[1:], [0.025, 0.975])
    counted = [each.part(np.isin(each.sources, sorted(_counted(each)))) for each in of]
    return Estimate(
        float(values[0]),
        float(low),
        float(high),
        sum(len(each.groups) for each in counted),
        len({group for each in counted for group in each.groups.tolist()}),
        len({source for each in counted for source in each.sources.tolist()}),
    )
