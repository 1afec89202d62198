"""From the answers of a peer to its figures: one rule for every peer.

A window has one label: the likelier of those whose score reaches its threshold, and none if no
score does. For a peer that gives spans, the score is the share of the window that they cover. Where
a peer lacks a label, windows of that label are windows of none. The thresholds of each peer are
those with which it is best on the validation sources (`choose_thresholds`).

A unit is one class of one source, as the singing of a repository. Means are over units with at
least `MIN_WINDOWS` windows, so that a large source does not count more than a small one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from bench.peers.windows import TRUTH, WINDOW_S
from model.evaluation import event_metrics
from model.mixing import merge_spans

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from bench.peers.answers import Answer, Answers
    from bench.peers.windows import Known, Window

    Scores = NDArray[np.float64]
    Labels = NDArray[np.intp]
    Flags = NDArray[np.bool_]

LABELS = ("speech", "music")
NONE = -1
MIN_WINDOWS = 10
GRID = tuple(round(0.02 * place, 2) for place in range(1, 50))
RATE = 16_000

Unit = tuple[str, str]  # source and class


@dataclass(frozen=True)
class Scored:
    """The labels of a peer for the test windows, beside the truth.

    Parameters
    ----------
    labels : tuple of str
        Labels that the peer has.
    thresholds : tuple of float
        Of each label.
    labelled, truth : np.ndarray [shape=(n,), int]
        Place of the label in `labels`, or `NONE`.
    units : list of Unit
        Of each window.
    groups : list of str
        Of each window.
    """

    labels: tuple[str, ...]
    thresholds: tuple[float, ...]
    labelled: Labels
    truth: Labels
    units: list[Unit]
    groups: list[str]

    @property
    def right(self) -> Flags:
        """Whether the label of each window is the true one."""
        return self.labelled == self.truth


def label_windows(known: Known, answers: Answers, labels: Sequence[str] = LABELS) -> Scored:
    """Choose thresholds on the validation windows, and label the test windows.

    Parameters
    ----------
    known : Known
        The windows; those of mixtures are not counted here.
    answers : Answers
        Of one peer.
    labels : sequence of str
        The labels to compare; those that the peer lacks are left out.
    """
    has = tuple(label for label in labels if label in answers.labels)
    pure = [each for each in known.windows if each.kind in TRUTH]
    validation = [each for each in pure if each.split == "validation"]
    test = [each for each in pure if each.split == "test"]
    chosen = choose_thresholds(
        scores_of(validation, answers.by_key, has),
        truth_of(validation, has),
        [(each.source, each.kind) for each in validation],
    )
    return Scored(
        has,
        chosen,
        one_label(scores_of(test, answers.by_key, has), chosen),
        truth_of(test, has),
        [(each.source, each.kind) for each in test],
        [each.group for each in test],
    )


def choose_thresholds(scores: Scores, truth: Labels, units: Sequence[Unit]) -> tuple[float, ...]:
    """Return the thresholds, one a label, with the most right in the mean over units.

    Of equally good ones it is the nearest to one half, and of those the lowest.
    """
    counted = counted_units(units)
    weights = np.array([1.0 / counted[unit] if unit in counted else 0.0 for unit in units])
    grids = np.meshgrid(*[GRID] * scores.shape[1], indexing="ij")
    pairs = np.stack([grid.ravel() for grid in grids], axis=1)
    found = [round(float(weights @ (one_label(scores, pair) == truth)), 9) for pair in pairs]
    distance = np.abs(pairs - 0.5).sum(axis=1).round(6)
    best = min(range(len(pairs)), key=lambda place: (-found[place], distance[place]))
    return tuple(float(value) for value in pairs[best])


def one_label(scores: Scores, thresholds: Sequence[float] | Scores) -> Labels:
    """Return one label a window, or `NONE`; the first one if two scores are equal."""
    reached = scores >= np.asarray(thresholds)
    likelier = np.where(reached, scores, -1.0).argmax(axis=1)
    return np.where(reached.any(axis=1), likelier, NONE)


def counted_units(units: Sequence[Unit]) -> dict[Unit, int]:
    """Return the units with enough windows, or all if none has, and their windows."""
    counts: dict[Unit, int] = {}
    for unit in units:
        counts[unit] = counts.get(unit, 0) + 1
    enough = {unit: count for unit, count in counts.items() if count >= MIN_WINDOWS}
    return enough or counts


def shares(units: Sequence[Unit], hits: Flags) -> dict[Unit, float]:
    """Return the share of hits in each counted unit."""
    found = {}
    for unit in sorted(counted_units(units)):
        here = np.array([each == unit for each in units])
        found[unit] = float(hits[here].mean())
    return found


def class_means(scored: Scored) -> dict[str, float]:
    """Return the recall of each class as a mean over its sources; of noise, the share rejected."""
    recalls = shares(scored.units, scored.right)
    return {
        kind: float(np.mean([share for (_, of), share in recalls.items() if of == kind]))
        for kind in TRUTH
        if any(of == kind for _, of in recalls)
    }


def macro_f(scored: Scored) -> float | None:
    """Return the macro F of speech, music and singing, over sources.

    F of a class is 2 h / (1 + h + f). h is the share of its windows with its label, and f the share
    of the other side's windows with it, both as means over sources; the label of singing is music.
    The other side of speech is music and singing, which count the same; that of music and of
    singing is speech. None for a peer without both labels, or windows without both sides.
    """
    if scored.labels != LABELS:
        return None
    called = {}
    for label in LABELS:
        labelled = shares(scored.units, scored.labelled == LABELS.index(label))
        for kind in TRUTH:
            of = [share for (_, other), share in labelled.items() if other == kind]
            if of:
                called[kind, label] = float(np.mean(of))
    sung = [kind for kind in ("music", "singing") if (kind, "music") in called]
    if not sung or ("speech", "speech") not in called:
        return None
    false = {
        "speech": float(np.mean([called[kind, "speech"] for kind in sung])),
        "music": called["speech", "music"],
    }
    return float(
        np.mean(
            [
                2 * called[kind, label] / (1 + called[kind, label] + false[label])
                for kind, label in (("speech", "speech"), *((kind, "music") for kind in sung))
            ]
        )
    )


def both_found(known: Known, answers: Answers, thresholds: Sequence[float]) -> dict[str, float]:
    """Return the share of mixtures with both labels at their thresholds, by kind of mixture."""
    if not set(LABELS) <= set(answers.labels):
        return {}
    mixed: dict[str, list[Window]] = {}
    for each in known.windows:
        if each.speech and each.music and each.split == "test":
            mixed.setdefault(each.kind, []).append(each)
    return {
        kind: float(
            (scores_of(windows, answers.by_key, LABELS) >= np.array(thresholds)).all(axis=1).mean()
        )
        for kind, windows in mixed.items()
    }


def programme_figures(known: Known, answers: Answers) -> dict[str, float]:
    """Return segment-based and event-based F and the boundaries found, in the programmes."""
    if not known.programmes or not answers.programmes or not set(LABELS) <= set(answers.labels):
        return {}
    pairs = []
    for each in known.programmes:
        answer = answers.by_key[each.key]
        pairs.append((_timeline(each.spans, each.seconds), _timeline(answer, each.seconds)))
    rows = event_metrics.count_events(pairs).rows()
    return {
        name: rows[name].value
        for name in (
            "segment-based macro F, 1 s",
            "event-based macro F, collar 1 s",
            "boundaries found within 1 s",
            "detected boundaries that are true",
        )
    }


def scores_of(
    windows: Sequence[Window], by_key: Mapping[str, Answer], labels: Sequence[str]
) -> Scores:
    """Return the score of each label of each window [shape=(n, labels)]."""
    return np.array([[_score(by_key[each.key][name]) for name in labels] for each in windows])


def truth_of(windows: Sequence[Window], labels: Sequence[str]) -> Labels:
    """Return the place of each window's label, or `NONE`; each window has one label or none."""
    return np.array(
        [
            next((at for at, label in enumerate(labels) if getattr(each, label)), NONE)
            for each in windows
        ],
        np.intp,
    )


def _score(value: float | Sequence[tuple[float, float]]) -> float:
    if isinstance(value, float | int):
        return float(value)
    merged = merge_spans([(round(start * RATE), round(end * RATE)) for start, end in value])
    return sum(end - start for start, end in merged) / RATE / WINDOW_S


def _timeline(spans, seconds: float) -> event_metrics.Timeline:
    def samples(label: str):
        cut = [
            (round(start * RATE), round(min(end, seconds) * RATE)) for start, end in spans[label]
        ]
        return merge_spans([(start, end) for start, end in cut if end > start])

    return event_metrics.Timeline(samples("speech"), samples("music"), round(seconds * RATE))
