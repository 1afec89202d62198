"""How well speech and music are found in programmes whose truth is known.

The scores are those of the field's library sed_eval: segment-based F (the programme in steps of
1 s or 0.5 s, a class is active in a step that it touches) and event-based F (an event counts if
both its ends are within the collar). Macro: the mean over speech and music. Intervals are by
drawing programmes with repetition.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from airsift.errors import ConfigError
from model.evaluation.metrics import DRAWS, Figure

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from model.evaluation.programmes import Spans

Counts = NDArray[np.float64]
CLASSES = ("speech", "music")
STEPS_S = (1.0, 0.5)
COLLARS_S = (1.0, 0.5)
NEAR_S = 1.0


@dataclass(frozen=True, slots=True)
class Timeline:
    """Where speech and music are, in samples at `rate`, in a programme of `length` samples."""

    speech: Spans
    music: Spans
    length: int
    rate: int = 16_000

    def spans_s(self, label: str) -> list[tuple[float, float]]:
        """Return one class's spans in seconds."""
        spans = self.speech if label == "speech" else self.music
        return [(start / self.rate, end / self.rate) for start, end in spans]


@dataclass(frozen=True, slots=True)
class Counted:
    """What was right in each programme, for each score.

    Parameters
    ----------
    counts : dict of str to np.ndarray [shape=(programmes, 2, 3)]
        For each score, programme and class: hits, in truth, said.
    boundaries : np.ndarray [shape=(programmes, 3)]
        Boundaries matched within 1 s, in truth, said.
    """

    counts: dict[str, Counts]
    boundaries: Counts

    def rows(self) -> dict[str, Figure]:
        """Return each score with its interval."""
        figures = {name: _over_programmes(_macro_f, each) for name, each in self.counts.items()}
        figures["boundaries found within 1 s"] = _over_programmes(_found, self.boundaries)
        figures["boundaries said that are true"] = _over_programmes(_true, self.boundaries)
        return figures


def count(pairs: Sequence[tuple[Timeline, Timeline]]) -> Counted:
    """Compare truth and what was heard, programme by programme.

    Parameters
    ----------
    pairs : sequence of (Timeline, Timeline)
        Truth and what was heard.

    Raises
    ------
    ConfigError
        sed_eval is not installed.
    """
    metrics = _library()
    counts: dict[str, list[Any]] = {}
    for truth, heard in pairs:
        reference, estimated = events(truth), events(heard)
        for name, metric in metrics():
            metric.evaluate(reference, estimated)
            by_class = metric.results_class_wise_metrics()
            counts.setdefault(name, []).append([_hits(by_class[label]) for label in CLASSES])
    boundaries = [_boundaries(truth, heard) for truth, heard in pairs]
    return Counted(
        {name: np.array(each, float) for name, each in counts.items()},
        np.array(boundaries, float),
    )


def _library() -> Callable[[], list[tuple[str, Any]]]:
    """Return what makes sed_eval's metrics anew, by the names of the table."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it imports what setuptools is about to drop
            from sed_eval.sound_event import EventBasedMetrics, SegmentBasedMetrics
    except ImportError as error:
        raise ConfigError(
            f"sed_eval is not installed ({error}): pip install 'airsift[training]'"
        ) from error
    labels = list(CLASSES)
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
    """Return a timeline as the library takes it."""
    from dcase_util.containers import MetaDataContainer

    return MetaDataContainer(
        [
            {"event_label": label, "onset": start, "offset": end, "file": "programme"}
            for label in CLASSES
            for start, end in timeline.spans_s(label)
        ]
    )


def _hits(by_class: dict[str, Any]) -> tuple[float, float, float]:
    """Return hits, truth and said of one class: sed_eval gives F and the last two."""
    true, said = by_class["count"]["Nref"], by_class["count"]["Nsys"]
    f = by_class["f_measure"]["f_measure"]
    return (0.0 if np.isnan(f) else f * (true + said) / 2.0, true, said)


def _boundaries(truth: Timeline, heard: Timeline) -> tuple[int, int, int]:
    """Match where classes begin and end, each once, the nearest in time first."""
    hits, true, said = 0, 0, 0
    for label in CLASSES:
        for side in (0, 1):
            wanted, found = (
                [
                    span[side]
                    for span in timeline.spans_s(label)
                    # The ends of the programme are no boundaries.
                    if 0.0 < span[side] < timeline.length / timeline.rate
                ]
                for timeline in (truth, heard)
            )
            true, said = true + len(wanted), said + len(found)
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
    return hits, true, said


def _macro_f(counts: Counts, weights: Counts) -> float:
    hits, true, said = np.einsum("p,pct->tc", weights, counts)
    return float(np.mean(2 * hits / np.maximum(true + said, 1)))


def _found(boundaries: Counts, weights: Counts) -> float:
    hits, true, _ = weights @ boundaries
    return float(hits / max(true, 1))


def _true(boundaries: Counts, weights: Counts) -> float:
    hits, _, said = weights @ boundaries
    return float(hits / max(said, 1))


def _over_programmes(figure: Callable[[Counts, Counts], float], counts: Counts) -> Figure:
    random = np.random.default_rng(0)
    many = len(counts)
    drawn = [
        figure(counts, np.bincount(random.integers(0, many, many), minlength=many).astype(float))
        for _ in range(DRAWS)
    ]
    low, high = np.quantile(drawn, [0.025, 0.975])
    return Figure(figure(counts, np.ones(many)), float(low), float(high), many, many)
