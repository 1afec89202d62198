"""Figures by source, with values that were worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from model.evaluation import by_source, kinds
from model.evaluation.predict import ConditionPredictions

TRUTHS = {"speech": (1, 0), "music": (0, 1), "singing": (0, 1), "noise": (0, 0)}
S, M, N, BOTH = (0.9, 0.1), (0.1, 0.9), (0.1, 0.1), (0.8, 0.9)


def windows(kind: str, **sources: list[tuple[float, float]]) -> ConditionPredictions:
    """Return windows of each source; every two are a group."""
    names = [name for name, rows in sources.items() for _ in rows]
    groups = [f"{name}:{n // 2}" for name, rows in sources.items() for n in range(len(rows))]
    p = np.array([row for rows in sources.values() for row in rows])
    unknown = np.array([""] * len(names))
    return ConditionPredictions(kind, TRUTHS[kind], p, np.array(groups), np.array(names), unknown)


def named(*each: ConditionPredictions) -> dict[str, ConditionPredictions]:
    return {one.name: one for one in each}


def test_a_source_has_its_recall_by_one_label_and_by_both_outputs() -> None:
    [large, small] = by_source.figures(named(windows("music", a=[M] * 8 + [BOTH, S], b=[S] * 4)))
    assert (large.source, large.counted) == ("a", True)
    # BOTH is music by its likelier label, but its first output is wrong.
    assert large.one_label.value == pytest.approx(0.9)
    assert large.both_outputs.value == pytest.approx(0.8)
    assert (large.one_label.windows, large.one_label.groups) == (10, 5)
    assert (small.source, small.counted, small.one_label.value) == ("b", False, 0.0)
    assert by_source.worst([large, small]) is large


def test_a_mean_over_sources_ignores_their_sizes_and_those_that_are_too_small() -> None:
    each = windows("speech", a=[S] * 90 + [N] * 10, b=[S] * 5 + [N] * 5, c=[M] * 9)
    found = by_source.mean_recall(each)
    assert found.value == pytest.approx((0.9 + 0.5) / 2)
    assert (found.windows, found.groups, found.sources) == (110, 55, 2)
    assert by_source.mean_recall(windows("speech", a=[S] * 3, b=[M] * 1)).value == 0.5


def test_the_interval_of_a_mean_is_over_sources_and_then_groups() -> None:
    """Two sources that differ: the draws are one, the other, or both."""
    found = by_source.mean_recall(windows("speech", a=[S] * 100, b=[N] * 100))
    assert (found.low, found.value, found.high) == (0.0, 0.5, 1.0)
    alike = by_source.mean_recall(windows("speech", a=[S, N] * 50, b=[S, N] * 50))
    assert alike.high - alike.low == 0.0  # each group has one right and one wrong
    one = by_source.mean_recall(windows("speech", a=[S, S, N, N] * 25))
    assert 0.3 < one.low < 0.5 < one.high < 0.7


def test_the_worst_source_is_of_speech_music_and_singing() -> None:
    of = by_source.figures(
        named(
            windows("speech", a=[S] * 10, b=[S] * 6 + [M] * 4),
            windows("music", a=[M] * 10),
            windows("noise", a=[S] * 10),
        )
    )
    worst = by_source.worst(of)
    assert worst is not None
    assert (worst.kind, worst.source, worst.one_label.value) == ("speech", "b", 0.6)
    noise = by_source.worst(of, ["noise"])
    assert noise is not None
    assert noise.one_label.value == 0.0
    assert by_source.worst([]) is None


def test_macro_f_is_of_shares_over_sources() -> None:
    """By hand, with h the hits and f the false labels.

    Speech: h = (1.0 + 0.8) / 2 = 0.9; of music 0.1 and of singing 0.3 are called speech, so
    f = 0.2 and F = 1.8 / 2.1. Music: h = 0.9; of speech (0 + 0.2) / 2 = 0.1 is called music, so
    F = 1.8 / 2.0. Singing: h = 0.6, F = 1.2 / 1.7.
    """
    made = named(
        windows("speech", a=[S] * 40, b=[S] * 8 + [M] * 2),
        windows("music", a=[M] * 9 + [S]),
        windows("singing", a=[M] * 6 + [S] * 3 + [N]),
        windows("noise", a=[S] * 50),
    )
    found = by_source.macro_f(made)
    assert found.value == pytest.approx((1.8 / 2.1 + 1.8 / 2.0 + 1.2 / 1.7) / 3)
    assert (found.windows, found.sources) == (70, 2)
    assert found.low < found.value < found.high
    del made["singing"]
    assert by_source.macro_f(made).value == pytest.approx((1.8 / 2.0 + 1.8 / 2.0) / 2)


def test_thresholds_are_those_with_the_best_mean_over_sources() -> None:
    """Music of one source is found from 0.35 on; noise is called music up to 0.3."""
    made = named(
        windows("speech", a=[S] * 200),
        windows("music", a=[M] * 200, b=[(0.1, 0.36)] * 10),
        windows("noise", a=[(0.1, 0.3)] * 10),
    )
    thresholds, chosen, default = by_source.pick_thresholds(made)
    assert thresholds == (0.5, 0.35)
    assert (chosen, default) == (1.0, pytest.approx(0.75))
    assert by_source.mean_recall(made["music"]).value == pytest.approx(0.5)
    assert by_source.mean_recall(made["music"], thresholds).value == 1.0
    assert by_source.macro_f(made, thresholds).value == 1.0
    lowest = min(each.one_label.value for each in by_source.figures(made, thresholds))
    assert lowest == 1.0


@pytest.mark.parametrize(
    ("kind", "category", "line"),
    [
        ("speech", "telephone dialogue", "far-field and conversational speech"),
        ("speech", "call centre", "far-field and conversational speech"),
        ("speech", "acted dialogue lines", "acted speech"),
        ("speech", "read speech", "read speech and poems"),
        ("speech", "field recording", "speech in field recordings"),
        ("speech", "", "other speech"),
        ("singing", "song with band", "songs with band as music"),
        ("singing", "pop song | song with band", "songs with band as music"),
        ("singing", "field song", "field songs as music"),
        ("singing", "field recording", "field songs as music"),
        ("singing", "chant and sacred song", "a cappella and chant as music"),
        ("singing", "Rap", "rap as music"),
        ("singing", "wrapped song", "other singing as music"),
        ("singing", "opera voice", "opera as music"),
        ("noise", "baby cry", "babies rejected"),
        ("noise", "babble", "crowds and playing children rejected"),
        ("noise", "train", "machines rejected"),
        ("noise", "rain", "soundscapes rejected"),
        ("noise", "ambience", "soundscapes rejected"),
        ("noise", "crow", "animals rejected"),
        ("noise", "crowd", "crowds and playing children rejected"),
        ("noise", "single sounds", "game effects and single sounds rejected"),
    ],
)
def test_a_category_is_in_one_line(kind: str, category: str, line: str) -> None:
    assert kinds.line_of(kind, category).name == line


def test_the_lines_divide_the_windows() -> None:
    each = windows("noise", a=[N] * 3)
    mixed = ConditionPredictions(
        each.name, each.truth, each.probabilities, each.groups, each.sources,
        np.array(["baby cry", "dog bark", "dog bark"]),
    )  # fmt: skip
    found = {line.name: part for line, part in kinds.by_line({"noise": mixed})}
    counts = {name: len(part.groups) for name, part in found.items() if part is not None}
    assert counts == {"babies rejected": 1, "animals rejected": 2}
    assert len(found) == len(kinds.LINES)
