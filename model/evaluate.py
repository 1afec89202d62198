"""How good a model is on recordings it has never heard, with intervals and counts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from airsift.errors import ConfigError
from model.frontend import RollingCQT, cqt

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from model.classifier import Classifier
    from model.conditions import Condition

BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"
# What the pooled figures are taken over: pure windows, and music under speech as on air.
POOLED = ("speech", "music", "singing", "noise", "silence and hiss", "music at -10 dB and speech")
BOOTSTRAPS = 500


@dataclass(frozen=True, slots=True)
class Judged:
    """A condition and what the model said.

    Parameters
    ----------
    name : str
        The condition.
    truth : (int, int)
        Speech and music, 0 or 1.
    probabilities : np.ndarray [shape=(n, 2)]
        The model's.
    groups : np.ndarray [shape=(n,), str]
        Voice, track or game of each window.
    """

    name: str
    truth: tuple[int, int]
    probabilities: NDArray[np.float64]
    groups: NDArray[np.str_]


def measure(classifier: Classifier, conditions: Sequence[Condition]) -> list[Judged]:
    """Judge every window on its own, as ``airsift classify`` does."""
    spec = classifier.spec
    front_end = RollingCQT()
    judged = []
    with torch.inference_mode():
        for each in conditions:
            parts = [
                classifier.decide(classifier.embed(cqt(block, front_end)[:, : spec.window_columns]))
                for block in torch.split(torch.from_numpy(each.samples), 16)
            ]
            probabilities = torch.cat(parts).double().numpy()
            judged.append(Judged(each.name, each.truth, probabilities, np.array(each.groups)))
    return judged


def table(judged: Sequence[Judged], split: str) -> str:
    """Return the figures as Markdown: pooled ones, then every condition."""
    by_name = {each.name: each for each in judged}
    pooled = [by_name[name] for name in POOLED if name in by_name]
    pure = [by_name[name] for name in ("speech", "music", "singing") if name in by_name]
    silent = [by_name[name] for name in ("noise", "silence and hiss") if name in by_name]
    lines = [
        f"Measured on the {split} split, 5 s windows, each judged alone; in brackets 95 % "
        "intervals by bootstrap over groups.",
        "",
        "| figure | value | windows | groups |",
        "|---|---|---|---|",
        _row("speech against music, forced choice", pure, _forced_choice),
        _row("macro F of the two outputs at 0.5", pooled, _macro_f),
        _row("expected calibration error", pooled, _calibration_error),
        *(
            _row("singing labelled music and not speech alone", [by_name[name]], _has_music)
            for name in ("singing",)
            if name in by_name
        ),
        _row("speech not labelled music", [by_name["speech"]], _no_music),
        _row("noise and silence labelled speech or music", silent, _labelled),
        "",
        "| condition | both outputs right | speech right | music right | windows | groups |",
        "|---|---|---|---|---|---|",
    ]
    for each in judged:
        right = (each.probabilities > 0.5) == (np.array(each.truth) > 0)
        lines.append(
            f"| {each.name} | {_with_interval([each], _both_right)} | {right[:, 0].mean():.1%} | "
            f"{right[:, 1].mean():.1%} | {len(right)} | {len(set(each.groups))} |"
        )
    return "\n".join(lines)


def write_into(card: Path, text: str) -> None:
    """Put the tables between the markers of a model card.

    Raises
    ------
    ConfigError
        The card has no markers.
    """
    old = card.read_text(encoding="utf-8")
    before, begin, rest = old.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ConfigError(f"{card} must have the lines {BEGIN} and {END}: add them")
    card.write_text(f"{before}{BEGIN}\n{text}\n{END}{after}", encoding="utf-8")


def _row(name: str, judged: Sequence[Judged], figure: Callable[[Sequence[Judged]], float]) -> str:
    windows = sum(len(each.groups) for each in judged)
    groups = len({group for each in judged for group in each.groups})
    return f"| {name} | {_with_interval(judged, figure)} | {windows} | {groups} |"


def _with_interval(judged: Sequence[Judged], figure: Callable[[Sequence[Judged]], float]) -> str:
    """Return a figure and its 95 % interval: groups drawn with repetition in each condition."""
    random = np.random.default_rng(0)
    drawn = [figure([_redrawn(each, random) for each in judged]) for _ in range(BOOTSTRAPS)]
    low, high = np.quantile(drawn, [0.025, 0.975])
    return f"{figure(judged):.1%} ({low:.1%} to {high:.1%})"


def _redrawn(each: Judged, random: np.random.Generator) -> Judged:
    names, inverse = np.unique(each.groups, return_inverse=True)
    counts = np.bincount(random.integers(0, len(names), len(names)), minlength=len(names))
    rows = np.repeat(np.arange(len(inverse)), counts[inverse])
    return Judged(each.name, each.truth, each.probabilities[rows], each.groups[rows])


def _forced_choice(judged: Sequence[Judged]) -> float:
    right = [
        (each.probabilities[:, 0] > each.probabilities[:, 1]) == (each.truth[0] > each.truth[1])
        for each in judged
    ]
    return float(np.concatenate(right).mean())


def _macro_f(judged: Sequence[Judged]) -> float:
    said, truth = _stacked(judged)
    hits = (said & truth).sum(axis=0)
    return float(np.mean(2 * hits / np.maximum(said.sum(axis=0) + truth.sum(axis=0), 1)))


def _calibration_error(judged: Sequence[Judged]) -> float:
    """Return the mean distance of probability and frequency over ten bins, by their windows."""
    p = np.concatenate([each.probabilities for each in judged]).ravel()
    truth = _stacked(judged)[1].ravel()
    bins = np.minimum((p * 10).astype(int), 9)
    return float(
        sum(
            abs(p[bins == b].mean() - truth[bins == b].mean()) * (bins == b).mean()
            for b in range(10)
            if (bins == b).any()
        )
    )


def _stacked(judged: Sequence[Judged]) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    said = np.concatenate([each.probabilities > 0.5 for each in judged])
    truth = np.concatenate([
        np.tile(np.array(each.truth) > 0, (len(each.groups), 1)) for each in judged
    ])  # fmt: skip
    return said, truth


def _both_right(judged: Sequence[Judged]) -> float:
    said, truth = _stacked(judged)
    return float((said == truth).all(axis=1).mean())


def _has_music(judged: Sequence[Judged]) -> float:
    return float((judged[0].probabilities[:, 1] > 0.5).mean())


def _no_music(judged: Sequence[Judged]) -> float:
    return float((judged[0].probabilities[:, 1] <= 0.5).mean())


def _labelled(judged: Sequence[Judged]) -> float:
    return float(_stacked(judged)[0].any(axis=1).mean())
