"""The table of an experiment: our figures beside the report's, and whether its finding held.

Recall, precision and F are of the positive class at a probability of 0.5, over the test windows of
all seeds. The intervals (95 %) are of a bootstrap over groups, as in `model.evaluation.metrics`. A
finding "the first row is better" is decided by the difference of the two F on the same windows:
it holds where the interval of the difference is above 0, is contradicted where it is below, and is
open where it holds 0.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from model.evaluation import metrics
from model.evaluation.metrics import Estimate, Pool

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from airsift.json_types import JsonObject
    from model.evaluation.metrics import Flags, Numbers
    from model.experiments.config import Experiment, Reported, Statement
    from model.experiments.runner import RowResults
    from model.experiments.windows import Windows

POSITIVE = 1
Verdict = Literal["held", "contradicted", "open"]


@dataclass(frozen=True, slots=True)
class Figures:
    """The figures of one row; shares from 0 to 1.

    Parameters
    ----------
    name : str
        Of the row.
    recall, precision, f, error : Estimate
        With their intervals.
    seeds : tuple of float
        F of each training.
    seconds : float
        Mean of a training.
    input_bytes, parameters : int
        Of one input as float32, and of the network.
    reported : Reported
        The report's, in percent.
    """

    name: str
    recall: Estimate
    precision: Estimate
    f: Estimate
    error: Estimate
    seeds: tuple[float, ...]
    seconds: float
    input_bytes: int
    parameters: int
    reported: Reported


@dataclass(frozen=True, slots=True)
class Comparison:
    """One part of a finding, in words, and its verdict."""

    text: str
    verdict: Verdict


def figures(results: RowResults) -> Figures:
    """Return the figures of a row."""
    whole = _pool([results])
    return Figures(
        results.row.name,
        metrics.estimate(metrics.recall(POSITIVE), whole),
        metrics.estimate(metrics.precision(POSITIVE), whole),
        metrics.estimate(metrics.f_measure(POSITIVE), whole),
        metrics.estimate(_error, whole),
        tuple(_f(each.p, results.test.classes) for each in results.results),
        float(np.mean([each.seconds for each in results.results])),
        results.input_bytes,
        results.results[0].parameters,
        results.row.reported,
    )


def compare(experiment: Experiment, rows: Sequence[RowResults]) -> list[Comparison]:
    """Return what holds of the finding of an experiment, part by part.

    A part about a row that is not trained is open.
    """
    named = {each.row.name: each for each in rows}
    finding = experiment.finding
    found = []
    for pair in finding.better:
        if missing := [name for name in pair if name not in named]:
            found.append(_missing(f"F of {pair[0]} above {pair[1]}", missing))
        else:
            found.append(_better(named[pair[0]], named[pair[1]]))
    for name, percent in finding.f_at_least.items():
        title = f"F of {name}"
        found.append(
            _limit(title, figures(named[name]).f, percent / 100, above=True)
            if name in named
            else _missing(title, [name])
        )
    for name, percent in finding.error_at_most.items():
        title = f"error of {name}"
        found.append(
            _limit(title, figures(named[name]).error, percent / 100, above=False)
            if name in named
            else _missing(title, [name])
        )
    return found


def verdict(parts: Sequence[Comparison]) -> Verdict:
    """Return the verdict on a finding: that of its worst part; open without parts."""
    verdicts = {each.verdict for each in parts} or {"open"}
    if "contradicted" in verdicts:
        return "contradicted"
    return "open" if "open" in verdicts else "held"


def conclusion(source: str, finding: Statement, parts: Sequence[Comparison]) -> str:
    """Return the line about a finding: what is said, by whom, and what holds here of its parts."""
    source = "Expected" if finding.expected else source
    held = " ".join(f"{part.text}: {part.verdict}." for part in parts)
    return f"{source}: {finding.text} **Here: {verdict(parts)}.** {held}".rstrip()


def markdown(experiment: Experiment, rows: Sequence[RowResults]) -> str:
    """Return the section of a page: question, table and finding."""
    lines = [
        f"## Experiment {experiment.name}: {experiment.title}", "", experiment.question, "",
        "| | recall | precision | F | F of each seed | error | training | input | parameters | "
        "report: recall / precision / F | report: error |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]  # fmt: skip
    for each in map(figures, rows):
        theirs = each.reported
        of_report = (
            " / ".join(map(_number, (theirs.recall, theirs.precision, theirs.f)))
            if theirs.f is not None
            else ""
        )
        seeds = " ".join(f"{100 * seed:.1f}" for seed in each.seeds)
        lines.append(
            f"| {each.name} | {interval(each.recall)} | {interval(each.precision)} | "
            f"{interval(each.f)} | {seeds} | {interval(each.error)} | {each.seconds:.0f} s | "
            f"{each.input_bytes / 1024:.0f} KiB | {each.parameters or ''} | {of_report} | "
            f"{'' if theirs.error is None else _number(theirs.error)} |"
        )
    parts = compare(experiment, rows)
    test = rows[0].test
    lines += [
        "",
        f"{len(test)} test windows of {len(set(test.groups))} groups, recall, precision and F of "
        f"{' or '.join(experiment.windows.positive)}, in percent, with 95 % intervals over groups.",
        "",
        conclusion("The report found", experiment.finding, parts),
        "",
    ]
    return "\n".join(lines)


def as_json(experiment: Experiment, rows: Sequence[RowResults]) -> JsonObject:
    """Return the table as plain values, for programs."""
    parts = compare(experiment, rows)
    return {
        "experiment": experiment.name,
        "verdict": verdict(parts),
        "parts": [{"text": part.text, "verdict": part.verdict} for part in parts],
        "rows": [
            {
                "name": each.name,
                **{
                    name: [value.value, value.low, value.high]
                    for name, value in (
                        ("recall", each.recall), ("precision", each.precision),
                        ("f", each.f), ("error", each.error),
                    )
                },
                "seeds": list(each.seeds), "seconds": each.seconds,
                "input bytes": each.input_bytes, "parameters": each.parameters,
                "reported": each.reported.model_dump(exclude_none=True),
            }
            for each in map(figures, rows)
        ],
    }  # fmt: skip


def _better(first: RowResults, second: RowResults) -> Comparison:
    """Compare the F of two rows, on the same windows where they share them."""
    names = f"F of {first.row.name} above {second.row.name}"
    if first.test.key != second.test.key or len(first.results) != len(second.results):
        ours, theirs = figures(first).f, figures(second).f
        difference, low, high = (
            ours.value - theirs.value, ours.low - theirs.high, ours.high - theirs.low,
        )  # fmt: skip
    else:
        found = metrics.estimate(_difference, _pool([first, second]))
        difference, low, high = found.value, found.low, found.high
    text = f"{names} by {100 * difference:.1f} ({100 * low:.1f} to {100 * high:.1f})"
    return Comparison(text, decided(low, high, strict=True))


def _missing(text: str, names: Sequence[str]) -> Comparison:
    return Comparison(f"{text} (not trained: {'; '.join(names)})", "open")


def _limit(name: str, value: Estimate, limit: float, *, above: bool) -> Comparison:
    word = "at least" if above else "at most"
    text = f"{name} {word} {100 * limit:g}, here {interval(value)}"
    low, high = value.low - limit, value.high - limit
    return Comparison(text, decided(low, high) if above else decided(-high, -low))


def decided(low: float, high: float, *, strict: bool = False) -> Verdict:
    """Return the verdict on "the value is at least 0", or above 0, from its interval."""
    if low > 0 or (low == 0 and not strict):
        return "held"
    return "contradicted" if high < 0 else "open"


def pool(test: Windows, p: Numbers) -> Pool:
    """Pool probabilities of the same test windows, repeated over seeds or changes.

    Parameters
    ----------
    test : Windows
        The windows.
    p : np.ndarray [shape=(times * n, columns)]
        Of all windows, one repetition after the other.
    """
    times = len(p) // len(test)
    names, place = np.unique(test.groups, return_inverse=True)
    strata = np.array([test.classes[place == number][0] for number in range(len(names))], np.intp)
    classes: NDArray[np.intp] = np.tile(test.classes, times)
    truth = np.stack([classes == 0, classes == 1], axis=1)
    return Pool(p, truth, np.tile(place, times), strata)


def _pool(rows: Sequence[RowResults]) -> Pool:
    """Pool the test windows of all seeds; each row adds its two probabilities as columns."""
    columns = []
    for each in rows:
        p = np.concatenate([np.array(result.p) for result in each.results])
        columns += [1 - p, p]
    return pool(rows[0].test, np.stack(columns, axis=1))


def _f(p: Sequence[float], classes: NDArray[np.intp]) -> float:
    positive = np.array(p)
    truth = np.stack([classes == 0, classes == 1], axis=1)
    both = np.stack([1 - positive, positive], axis=1)
    return metrics.f_measure(POSITIVE)(both, truth, np.ones(len(both)))


def _error(p: Numbers, truth: Flags, weights: Numbers) -> float:
    """Share of windows of which the likelier class is wrong."""
    wrong = (p[:, POSITIVE] > 0.5) != truth[:, POSITIVE]
    return float(weights[wrong].sum() / weights.sum())


def _difference(p: Numbers, truth: Flags, weights: Numbers) -> float:
    f = metrics.f_measure(POSITIVE)
    return f(p[:, :2], truth, weights) - f(p[:, 2:], truth, weights)


def interval(value: Estimate) -> str:
    """Return a share and its interval, in percent."""
    return f"{100 * value.value:.1f} ({100 * value.low:.1f}-{100 * value.high:.1f})"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"
