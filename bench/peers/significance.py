"""Whether the difference of two programs on the same windows is more than chance.

Two tests, because they answer two questions. McNemar's exact test asks about these windows: of
those on which the programs differ, is one right more often than a fair coin? Windows of one voice
are alike, so it finds differences too easily. The bootstrap asks about the next source: it draws
the sources of each class again, and in each drawn source its groups.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.stats import binom

from bench.peers.score import counted_units

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from bench.peers.score import Unit

    Flags = NDArray[np.bool_]
    Numbers = NDArray[np.float64]

DRAWS = 2000


@dataclass(frozen=True)
class Difference:
    """The first program less the second, on windows that both scored.

    Parameters
    ----------
    windows : int
        Number of windows.
    only_first, only_second : int
        Windows on which only that program is right.
    p : float
        McNemar's exact test, two-sided.
    points, low, high : float
        Difference of the means over sources in per cent, with its 95 % interval over sources and
        groups.
    """

    windows: int
    only_first: int
    only_second: int
    p: float
    points: float
    low: float
    high: float


def difference(
    first: Flags, second: Flags, units: Sequence[Unit], groups: Sequence[str]
) -> Difference:
    """Compare two programs by whether each window is right [shape=(n,), bool]."""
    only_first = int((first & ~second).sum())
    only_second = int((second & ~first).sum())
    draws = bootstrap(first.astype(float) - second, units, groups)
    low, high = np.quantile(draws[1:], [0.025, 0.975])
    p = mcnemar(only_first, only_second)
    return Difference(
        len(first), only_first, only_second, p, 100 * draws[0], 100 * float(low), 100 * float(high)
    )


def mcnemar(only_first: int, only_second: int) -> float:
    """Return the two-sided p of McNemar's exact test."""
    both = only_first + only_second
    return min(1.0, 2.0 * float(binom.cdf(min(only_first, only_second), both, 0.5)))


def bootstrap(values: Numbers, units: Sequence[Unit], groups: Sequence[str]) -> Numbers:
    """Return the mean over counted units of the mean of values, and its draws.

    Parameters
    ----------
    values : np.ndarray [shape=(n,)]
        One a window.
    units, groups : sequence [n]
        Of each window.

    Returns
    -------
    np.ndarray [shape=(1 + DRAWS,)]
        First the sample itself. A draw has as many units of each class as the sample.
    """
    tables: dict[str, list[Numbers]] = {}
    for unit in sorted(counted_units(units)):
        here = np.flatnonzero([each == unit for each in units])
        names, place = np.unique([groups[at] for at in here], return_inverse=True)
        # One row a group: its windows, and the sum of their values.
        table = np.zeros((len(names), 2))
        np.add.at(table, place, np.column_stack([np.ones(len(here)), values[here]]))
        tables.setdefault(unit[1], []).append(table)
    random = np.random.default_rng(0)
    total, count, sample = np.zeros(DRAWS), 0, 0.0
    for of_kind in tables.values():
        sample += sum(table[:, 1].sum() / table[:, 0].sum() for table in of_kind)
        count += len(of_kind)
        for _ in of_kind:
            drawn = random.integers(0, len(of_kind), DRAWS)
            for number, table in enumerate(of_kind):
                rows = np.flatnonzero(drawn == number)
                even = np.full(len(table), 1 / len(table))
                sums = random.multinomial(len(table), even, len(rows)) @ table
                total[rows] += sums[:, 1] / sums[:, 0]
    return np.concatenate([[sample / count], total / count])
