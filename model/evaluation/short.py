"""Windows of less than 5 s: the beginnings of the windows of pure conditions.

They measure the decisions about short files, and the first decision of a stream, after 2 s. A
window of speech may begin with a pause. A beginning that is far quieter than its window is left
out: its label would say nothing about it.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from model.evaluation import metrics
from model.spec import SAMPLE_RATE as RATE

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from numpy.typing import NDArray

    from model.evaluation.conditions import Condition
    from model.evaluation.predict import ConditionPredictions

LENGTHS_S = (0.5, 1, 2, 3)
QUIET_DB = 15.0  # a beginning this far under the level of its window is a pause


def beginnings(whole: Iterable[Condition]) -> Iterator[Condition]:
    """Generate the beginnings of the windows of conditions, and the windows themselves.

    Parameters
    ----------
    whole : iterable of Condition
        Conditions of 5 s windows.

    Yields
    ------
    Condition
        For each length its condition, such as "speech, first 0.5 s", then the whole one. All
        lengths have the same windows: those whose first 0.5 s are no pause.
    """
    for condition in whole:
        first = condition.samples[:, : round(LENGTHS_S[0] * RATE)]
        level, whole_level = (_level_db(each) for each in (first, condition.samples))
        kept = np.flatnonzero(level > whole_level - QUIET_DB)
        if not len(kept):
            continue
        part = replace(
            condition,
            samples=condition.samples[kept],
            groups=_chosen(condition.groups, kept),
            sources=_chosen(condition.sources, kept),
            categories=_chosen(condition.categories, kept),
        )
        for seconds in LENGTHS_S:
            cut = np.ascontiguousarray(part.samples[:, : round(seconds * RATE)])
            yield replace(part, name=f"{condition.name}, first {seconds:g} s", samples=cut)
        yield part


def table(predictions: Sequence[ConditionPredictions]) -> str:
    """Return a table in Markdown: what is right by length, and the mean stated confidence.

    Parameters
    ----------
    predictions : sequence of ConditionPredictions
        Those of `beginnings`.
    """
    by_length: dict[str, list[ConditionPredictions]] = defaultdict(list)
    for each in predictions:
        _, _, length = each.name.partition(", first ")
        by_length[length or "5 s"].append(each)
    names = [each.name for each in by_length["5 s"]]
    header = [
        "first", *names, "all: both right", "mean over sources", "mean stated confidence",
        "calibration error", "windows",
    ]  # fmt: skip
    lines = [header, ["---"] * len(header)]
    for length, parts in by_length.items():
        right = [metrics.estimate(metrics.both_right, metrics.pool([each])) for each in parts]
        pool = metrics.pool(parts)
        every = metrics.estimate(metrics.both_right, pool)
        confidence = float(np.maximum(pool.p, 1 - pool.p).prod(axis=1).mean())
        error = metrics.calibration_error(pool.p, pool.truth, np.ones(len(pool.p)))
        shares = [f"{each.value:.1%}" for each in right]
        interval = f"{every.value:.1%} ({every.low:.1%} to {every.high:.1%})"
        lines.append(
            [length, *shares, interval, f"{_by_source(parts):.1%}", f"{confidence:.1%}",
             f"{error:.1%}", str(every.windows)]
        )  # fmt: skip
    return "\n".join(
        [
            "Beginnings of the windows: both outputs right, and the confidence of decisions:",
            "",
            *("| " + " | ".join(line) + " |" for line in lines),
        ]
    )


def _by_source(parts: Sequence[ConditionPredictions]) -> float:
    """Return the share of windows with both outputs right, as the mean over sources."""
    right: dict[str, list[bool]] = defaultdict(list)
    for each in parts:
        for source, p in zip(each.sources.tolist(), each.probabilities, strict=True):
            right[source].append(bool(((p > 0.5) == (np.array(each.truth) > 0)).all()))
    return float(np.mean([np.mean(values) for values in right.values()]))


def _chosen(values: Sequence[str], kept: NDArray[np.intp]) -> list[str]:
    """Return the values of the kept windows; they may be unknown for all."""
    return [values[i] for i in kept] if values else []


def _level_db(samples: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the RMS level of each window in dB re full scale."""
    power = np.square(samples, dtype=np.float64).mean(axis=1)
    return np.asarray(10 * np.log10(np.maximum(power, 1e-18)))
