"""Figures of merit with 95 % intervals: the groups are drawn again, not the windows.

Windows of one voice or track resemble each other, so a hundred of them say less than a hundred
voices do. An interval is the middle 95 % of the figure over draws of groups with repetition,
speech, music and noise each among themselves; a group that is drawn brings all its windows, in
every condition that is looked at.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from model.evaluation.predict import Judged

Numbers = NDArray[np.float64]
Flags = NDArray[np.bool_]
Measure = Callable[[Numbers, Flags, Numbers], float]
DRAWS = 500
SPEECH, MUSIC = 0, 1


@dataclass(frozen=True, slots=True)
class Figure:
    """A figure and its 95 % interval, and how much is behind it."""

    value: float
    low: float
    high: float
    windows: int
    groups: int


@dataclass(frozen=True, slots=True)
class Pool:
    """Windows of several conditions.

    Parameters
    ----------
    p : np.ndarray [shape=(n, 2)]
        Probabilities of speech and of music; [shape=(n, 4)] for a pair: clean, then treated.
    truth : np.ndarray [shape=(n, 2), bool]
        Speech and music.
    groups : np.ndarray [shape=(n,), int]
        Number of each window's group.
    strata : np.ndarray [shape=(groups,), int]
        For each group, what it is drawn among.
    """

    p: Numbers
    truth: Flags
    groups: NDArray[np.intp]
    strata: NDArray[np.intp]

    def weights(self, random: np.random.Generator) -> Numbers:
        """Draw groups with repetition; return how often each window is in the draw."""
        times = np.zeros(len(self.strata))
        for stratum in np.unique(self.strata):
            members = np.flatnonzero(self.strata == stratum)
            times[members] = np.bincount(
                random.integers(0, len(members), len(members)), minlength=len(members)
            )
        return times[self.groups]


def pool(judged: Sequence[Judged]) -> Pool:
    """Put conditions together; a group is drawn among those of the condition it first is in."""
    place: dict[str, int] = {}
    strata: list[int] = []
    for number, each in enumerate(judged):
        for group in dict.fromkeys(each.groups.tolist()):
            if group not in place:
                place[group] = len(place)
                strata.append(number)
    truth = [np.tile(np.array(each.truth) > 0, (len(each.groups), 1)) for each in judged]
    return Pool(
        np.concatenate([each.probabilities for each in judged]),
        np.concatenate(truth),
        np.array([place[group] for each in judged for group in each.groups.tolist()], np.intp),
        np.array(strata, np.intp),
    )


def paired(clean: Sequence[Judged], treated: Sequence[Judged]) -> Pool:
    """Put conditions together with the treated ones that are made of the same windows."""
    first, second = pool(clean), pool(treated)
    if not np.array_equal(first.groups, second.groups):
        raise ValueError("the treated windows are not those of the clean conditions, in order")
    return Pool(np.hstack([first.p, second.p]), first.truth, first.groups, first.strata)


def estimate(figure: Measure, of: Pool) -> Figure:
    """Return a figure of a pool with its interval.

    Parameters
    ----------
    figure : callable
        Of probabilities, truth and weights [shape=(n,)].
    of : Pool
        The windows.
    """
    random = np.random.default_rng(0)
    drawn = [figure(of.p, of.truth, of.weights(random)) for _ in range(DRAWS)]
    low, high = np.quantile(drawn, [0.025, 0.975])
    value = figure(of.p, of.truth, np.ones(len(of.p)))
    return Figure(value, float(low), float(high), len(of.p), len(of.strata))


def forced_choice(p: Numbers, truth: Flags, weights: Numbers) -> float:
    """Share of windows whose likelier label is the true one; each has exactly one."""
    right = (p[:, SPEECH] > p[:, MUSIC]) == (truth[:, SPEECH] > truth[:, MUSIC])
    return _share(right, weights)


def macro_f(p: Numbers, truth: Flags, weights: Numbers) -> float:
    """Mean of the F measures of speech and of music, each said from 0.5 on."""
    return float(np.mean([f_measure(i)(p, truth, weights) for i in (SPEECH, MUSIC)]))


def f_measure(label: int) -> Measure:
    """Return the F measure of one label."""

    def figure(p: Numbers, truth: Flags, weights: Numbers) -> float:
        said, true = p[:, label] > 0.5, truth[:, label]
        return _ratio(2 * weights[said & true].sum(), weights[said].sum() + weights[true].sum())

    return figure


def precision(label: int) -> Measure:
    """Return the share of what is said to have a label that has it."""

    def figure(p: Numbers, truth: Flags, weights: Numbers) -> float:
        said = p[:, label] > 0.5
        return _ratio(weights[said & truth[:, label]].sum(), weights[said].sum())

    return figure


def recall(label: int) -> Measure:
    """Return the share of what has a label that is said to have it."""

    def figure(p: Numbers, truth: Flags, weights: Numbers) -> float:
        true = truth[:, label]
        return _ratio(weights[(p[:, label] > 0.5) & true].sum(), weights[true].sum())

    return figure


def loss(p: Numbers, truth: Flags, weights: Numbers) -> float:
    """Macro F of the clean windows less that of the treated ones."""
    return macro_f(p[:, :2], truth, weights) - macro_f(p[:, 2:], truth, weights)


def calibration_error(p: Numbers, truth: Flags, weights: Numbers) -> float:
    """Mean distance of probability and frequency over ten bins, by their windows."""
    return float(
        sum(
            abs(mean - frequency) * share
            for mean, frequency, share in reliability(p.ravel(), truth.ravel(), weights.repeat(2))
        )
    )


def reliability(p: Numbers, truth: Flags, weights: Numbers) -> Iterator[tuple[float, float, float]]:
    """Yield mean probability, true share and share of all windows of each bin with any."""
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


def said(label: int) -> Measure:
    """Return the share of windows that are said to have a label."""
    return lambda p, truth, weights: _share(p[:, label] > 0.5, weights)


def not_said(label: int) -> Measure:
    """Return the share of windows that are not said to have a label."""
    return lambda p, truth, weights: _share(p[:, label] <= 0.5, weights)


def labelled(p: Numbers, truth: Flags, weights: Numbers) -> float:
    """Share of windows that are said to have any label."""
    del truth
    return _share(p.max(axis=1) > 0.5, weights)


def _share(right: Flags, weights: Numbers) -> float:
    return _ratio(weights[right].sum(), weights.sum())


def _ratio(part: float, whole: float) -> float:
    return float(part / whole) if whole > 0 else 0.0
