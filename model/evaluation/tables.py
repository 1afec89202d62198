"""The tables of an evaluation, in Markdown: by requirement, class, source, kind and condition."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from model.evaluation import by_source, kinds, metrics
from model.evaluation.conditions import DEGRADATIONS, PURE
from model.evaluation.metrics import THRESHOLDS
from model.evaluation.requirements import (
    NO_SOURCE,
    degradation_losses,
    percent,
    points,
    pooled,
    support,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from model.evaluation.by_source import SourceFigure
    from model.evaluation.metrics import Estimate, Thresholds
    from model.evaluation.predict import Predictions
    from model.evaluation.requirements import Requirement

N_WORST = 15
PASSED = {True: "passed", False: "**failed**", None: ""}
SUPPORT = "windows / groups / sources"
RULE = """Measured on the {split} split, on 5 s windows without their surroundings. A source is a \
package, a repository or a collection, and a whole source is in one split.

*One label a window*: the likelier of the labels that reach their threshold, {thresholds}; speech \
if they are equally likely; none if neither does. A window of speech is right with the label \
speech, one of music or singing with the label music, and noise without a label; for the first \
three, no label is a miss. *Both outputs*: each is on the right side of 0.5.

*Macro F of speech, music and singing*: F of a class is 2 h / (1 + h + f). h is the share of its \
windows with its label, and f the share of the other side's windows with it, both as means over \
sources. The other side of speech is music and singing, which count the same; that of music and of \
singing is speech.

A source with fewer than {minimum} windows of a class counts in pooled figures only, unless no \
source of the class has more. The brackets are 95 % intervals of a bootstrap: over sources and \
then groups for means over sources, over groups for all others. One group has no interval."""


def evaluation_block(
    requirements: Sequence[Requirement],
    predictions: Predictions,
    programmes: Mapping[str, Estimate],
    split: str,
    thresholds: Thresholds = THRESHOLDS,
) -> str:
    """Return all tables of a model card."""
    by_each = by_source.figures(predictions, thresholds)
    levels = f"speech {thresholds[0]:g} and music {thresholds[1]:g}"
    losses = degradation_losses(predictions, list(DEGRADATIONS)).items()
    parts = [
        RULE.format(split=split, minimum=by_source.MIN_WINDOWS, thresholds=levels),
        table(
            ("metric", "required", "measured", SUPPORT, ""),
            [
                (r.metric, r.threshold, r.measured, r.support, PASSED[r.passed])
                for r in requirements
            ],
        ),
        "One label a window, by class:",
        _classes(predictions, by_each, thresholds),
        "By source:",
        table(
            ("class", "source", "one label right", "both outputs right", "windows", "groups"),
            [
                (each.kind, each.source, percent(each.one_label), percent(each.both_outputs),
                 each.one_label.windows, each.one_label.groups)
                for each in by_each
            ],
        ),
        "By kind of audio, pooled:",
        _kinds(predictions, thresholds),
        _outputs(predictions),
        table(
            ("degradation", "points of macro F of the two outputs lost against clean"),
            [(name, points(lost)) for name, lost in losses],
        ),
        _conditions(predictions),
    ]  # fmt: skip
    if programmes:
        header = ("synthetic programmes, processed as by `airsift segment`", "value")
        parts.insert(-2, table(header, [(name, percent(e)) for name, e in programmes.items()]))
    return "\n\n".join(parts)


def thresholds_line(predictions: Predictions) -> str:
    """Return which thresholds the mean over sources of a validation split favours."""
    (speech, music), chosen, default = by_source.pick_thresholds(predictions)
    return (
        f"Thresholds of the one label with the highest mean over sources: speech {speech:.2f}, "
        f"music {music:.2f}: {chosen:.2%} right; with 0.50 for both: {default:.2%}. "
        f"To measure the test split with them: --thresholds {speech:.2f},{music:.2f}"
    )


def _classes(
    predictions: Predictions, by_each: Sequence[SourceFigure], thresholds: Thresholds
) -> str:
    rows = []
    for kind in PURE:
        if kind not in predictions:
            rows.append((kind, NO_SOURCE, "", "", ""))
            continue
        each = predictions[kind]
        of = metrics.pool([each])
        pooled_share = metrics.estimate(metrics.one_label_right(thresholds), of)
        worst = by_source.worst(by_each, [kind])
        shown = f"{worst.source}: {percent(worst.one_label)}" if worst else ""
        mean = by_source.mean_recall(each, thresholds)
        rows.append((kind, percent(pooled_share), percent(mean), shown, support(pooled_share)))
    return table(("class", "pooled", "mean over sources", "worst source", SUPPORT), rows)


def _kinds(predictions: Predictions, thresholds: Thresholds) -> str:
    rows = []
    for line, each in kinds.by_line(predictions):
        if each is None:
            rows.append((line.name, NO_SOURCE, "", "", ""))
            continue
        of = metrics.pool([each])
        right = metrics.estimate(metrics.one_label_right(thresholds), of)
        both = metrics.estimate(metrics.both_right, of)
        named = ", ".join(np.unique(each.sources).tolist())
        rows.append((line.name, percent(right), percent(both), support(right), named))
    return table(("kind", "one label right", "both outputs right", SUPPORT, "sources"), rows)


def _outputs(predictions: Predictions) -> str:
    of = metrics.pool(pooled(predictions))
    rows = [
        (name, *(percent(metrics.estimate(metric(label), of))
                 for metric in (metrics.precision, metrics.recall, metrics.f_measure)))
        for name, label in (("speech", metrics.SPEECH), ("music", metrics.MUSIC))
    ]  # fmt: skip
    return table(("output at 0.5", "precision", "recall", "F"), rows)


def _conditions(predictions: Predictions) -> str:
    rows = []
    for name, each in predictions.items():
        measured = metrics.estimate(metrics.both_right, metrics.pool([each]))
        speech, music = _right(each.probabilities, each.truth).mean(axis=0)
        rows.append(
            (name, percent(measured), f"{speech:.1%}", f"{music:.1%}", support(measured))
        )  # fmt: skip
    return table(("condition", "both outputs right", "speech right", "music right", SUPPORT), rows)


def sources_page(predictions: Predictions, split: str, thresholds: Thresholds = THRESHOLDS) -> str:
    """Return the page of the categories of each source, and the groups with the highest error."""
    rows, worst = [], []
    for kind in PURE:
        if kind not in predictions:
            continue
        each = predictions[kind]
        pairs = np.array([*zip(each.sources.tolist(), each.categories.tolist(), strict=True)])
        for source, category in np.unique(pairs, axis=0).tolist():
            of = metrics.pool([each.part((pairs == (source, category)).all(axis=1))])
            right = metrics.estimate(metrics.one_label_right(thresholds), of)
            both = metrics.estimate(metrics.both_right, of)
            rows.append((kind, source, category, percent(right), percent(both), right.windows,
                         right.groups))  # fmt: skip
        for group in np.unique(each.groups):
            part = each.part(each.groups == group)
            wrong = np.logical_not(_right(part.probabilities, part.truth).all(axis=1))
            if len(wrong) > 2 and wrong.any():
                worst.append((-wrong.mean(), -len(wrong), str(group), kind))
    return "\n".join(
        [
            "# The model on each source",
            "",
            f"Written by `airsift evaluate` with the tables of the model card: the {split} split, "
            "5 s windows, with the 95 % interval over groups. The model card says what is right.",
            "",
            table(
                ("class", "source", "category", "one label right", "both outputs right", "windows",
                 "groups"),
                rows,
            ),
            "",
            f"The {N_WORST} groups with the most windows that have a wrong output, of those with "
            "three or more windows:",
            "",
            table(
                ("group", "class", "wrong", "windows"),
                [(g, name, f"{-share:.0%}", -n) for share, n, g, name in sorted(worst)[:N_WORST]],
            ),
            "",
        ]
    )  # fmt: skip


def _right(p: metrics.Numbers, truth: tuple[int, int]) -> metrics.Flags:
    """Return whether each output of each window is right [shape=(n, 2)]."""
    right: metrics.Flags = (p > 0.5) == (np.array(truth) > 0)
    return right


def table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return a table in Markdown; names are the user's, so cells are escaped."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(map(_cell, line)) + " |" for line in lines)


def _cell(value: object) -> str:
    return " ".join(str(value).split()).replace("\\", "\\\\").replace("|", "\\|")
