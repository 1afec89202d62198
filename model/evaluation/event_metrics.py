"""Segment-based and event-based metrics for speech and music in programmes.

The scores are those of sed_eval: segment-based F (in steps of 1 s or 0.5 s; a class is active in a
step that it touches) and event-based F (an event counts if both its ends are within the collar).
Macro is the mean over speech and music. Intervals are by a bootstrap over programmes.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from airsift.errors import ConfigError
from model.evaluation.metrics import DRAWS, Estimate
from model.spec import LABELS, SAMPLE_RATE

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from model.mixing import Spans

Counts = NDArray[np.float64]
STEPS_S = (1.0, 0.5)
COLLARS_S = (1.0, 0.5)
NEAR_S = 1.0


@dataclass(frozen=True, slots=True)
class Timeline:
    """The spans of speech and music in a programme, in samples at `rate`."""

    speech: Spans
    music: Spans
    length: int
    rate: int = SAMPLE_RATE

    def spans_s(self, label: str) -> list[tuple[float, float]]:
        """Return the spans of one class in seconds."""
        spans = self.speech if label == "speech" else self.music
        return [(start / self.rate, end / self.rate) for start, end in spans]


@dataclass(frozen=True, slots=True)
class EventCounts:
    """Counts of each programme, for each score.

    Parameters
    ----------
    counts : dict of str to np.ndarray [shape=(programmes, 2, 3)]
        For each score, programme and class: hits, reference, estimated.
    boundaries : np.ndarray [shape=(programmes, 3)]
        Boundaries matched within 1 s, reference, estimated.
    """

    counts: dict[str, Counts]
    boundaries: Counts

    def rows(self) -> dict[str, Estimate]:
        """Return each score with its interval."""
        estimates = {name: _over_programmes(_macro_f, each) for name, each in self.counts.items()}
        estimates["boundaries found within 1 s"] = _over_programmes(_recall, self.boundaries)
        estimates["detected boundaries that are true"] = _over_programmes(
            _precision, self.boundaries
        )
        return estimates


def count_events(pairs: Sequence[tuple[Timeline, Timeline]]) -> EventCounts:
    """Count the hits of each programme.

    Parameters
    ----------
    pairs : sequence of (Timeline, Timeline)
        Reference and estimate of each programme.

    Raises
    ------
    ConfigError
        sed_eval is not installed.
    """
    metrics = _library()
    counts: dict[str, list[Any]] = {}
    for truth, found in pairs:
        reference, estimated = events(truth), events(found)
        for name, metric in metrics():
            metric.evaluate(reference, estimated)
            by_class = metric.results_class_wise_metrics()
            counts.setdefault(name, []).append([_hits(by_class[label]) for label in LABELS])
    boundaries = [_boundaries(truth, found) for truth, found in pairs]
    return EventCounts(
        {name: np.array(each, float) for name, each in counts.items()},
        np.array(boundaries, float),
    )


def _library() -> Callable[[], list[tuple[str, Any]]]:
    """Return a factory of sed_eval's metrics with their names."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # its imports are deprecated by setuptools
            from sed_eval.sound_event import EventBasedMetrics, SegmentBasedMetrics
    except ImportError as error:
        raise ConfigError(
            f"sed_eval is not installed ({error}): pip install 'airsift[training]'"
        ) from error
    labels = list(LABELS)
    return lambda: [
        *(
            (
                f"segment-based macro F, {step:g} s",
                SegmentBasedMetrics(labels, time_resolution=step),
            )
            for step in STEPS_S
        ),
        *(
            (
                f"event-based macro F, collar {collar:g} s",
                EventBasedMetrics(labels, t_collar=collar, percentage_of_length=0.0),
            )
            for collar in COLLARS_S
        ),
    ]


def events(timeline: Timeline) -> Any:
    """Convert a timeline for sed_eval."""
    from dcase_util.containers import MetaDataContainer

    return MetaDataContainer(
        [
            {"event_label": label, "onset": start, "offset": end, "file": "programme"}
            for label in LABELS
            for start, end in timeline.spans_s(label)
        ]
    )


def _hits(by_class: dict[str, Any]) -> tuple[float, float, float]:
    """Return hits, reference and estimated counts of one class; sed_eval reports F, not hits."""
    true, estimated = by_class["count"]["Nref"], by_class["count"]["Nsys"]
    f = by_class["f_measure"]["f_measure"]
    return (0.0 if np.isnan(f) else f * (true + estimated) / 2.0, true, estimated)


def _boundaries(truth: Timeline, estimate: Timeline) -> tuple[int, int, int]:
    """Match onsets and offsets greedily, the nearest in time first, each once."""
    hits, true, estimated = 0, 0, 0
    for label in LABELS:
        for side in (0, 1):
            wanted, found = (
                [
                    span[side]
                    for span in timeline.spans_s(label)
                    # The ends of the programme are not boundaries.
                    if 0.0 < span[side] < timeline.length / timeline.rate
                ]
                for timeline in (truth, estimate)
            )
            true, estimated = true + len(wanted), estimated + len(found)
            near = sorted(
                (abs(a - b), i, j)
                for i, a in enumerate(wanted)
                for j, b in enumerate(found)
                if abs(a - b) <= NEAR_S
            )
            used: tuple[set[int], set[int]] = (set(), set())
            for _, i, j in near:
                if i not in used[0] and j not in used[1]:
                    used[0].add(i)
                    used[1].add(j)
            hits += len(used[0])
    return hits, true, estimated


def _macro_f(counts: Counts, weights: Counts) -> float:
    hits, true, estimated = np.einsum("p,pct->tc", weights, counts)
    return float(np.mean(2 * hits / np.maximum(true + estimated, 1)))


def _recall(boundaries: Counts, weights: Counts) -> float:
    hits, true, _ = weights @ boundaries
    return float(hits / max(true, 1))


def _precision(boundaries: Counts, weights: Counts) -> float:
    hits, _, estimated = weights @ boundaries
    return float(hits / max(estimated, 1))


def _over_programmes(metric: Callable[[Counts, Counts], float], counts: Counts) -> Estimate:
    random = np.random.default_rng(0)
    many = len(counts)
    drawn = [
        metric(counts, np.bincount(random.integers(0, many, many), minlength=many).astype(float))
        for _ in range(DRAWS)
    ]
    low, high = np.quantile(drawn, [0.025, 0.975])
    return Estimate(metric(counts, np.ones(many)), float(low), float(high), many, many)
