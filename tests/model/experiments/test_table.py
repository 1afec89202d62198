from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model.corpus.recordings import Recording
from model.experiments import table
from model.experiments.config import (
    Experiment,
    Finding,
    Reported,
    Row,
    Training,
    WindowChoice,
)
from model.experiments.runner import Result, RowResults
from model.experiments.windows import Windows


def windows(groups: int, each: int = 2) -> Windows:
    """Return windows of groups, every second of which is positive."""
    numbers = np.repeat(np.arange(groups), each)
    rows = [Recording("s", f"{n}.wav", "music", f"group {n}", 0, 80_000, f"d{n}") for n in numbers]
    return Windows(Path(), 80_000, rows, np.zeros(len(rows), np.intp), numbers % 2)


def results(name: str, *p: list[float], of: Windows, reported: Reported | None = None):
    row = Row(name, "cqt", (), None, "sources", (), 0.0, reported or Reported())
    trained = [Result("k", each, seconds, 7) for seconds, each in enumerate(p, 1)]
    return RowResults(row, trained, of, 2048)


def right(of: Windows, wrong: int = 0) -> list[float]:
    """Return probabilities of which the first `wrong` positive ones are wrong."""
    p = of.classes.astype(float)
    p[np.flatnonzero(of.classes == 1)[:wrong]] = 0.2
    return p.tolist()


def experiment(finding: Finding, *rows: RowResults) -> Experiment:
    choice = WindowChoice(negative=["speech"], positive=["music"])
    return Experiment(
        "9-x", "a title", "Why?", finding, choice, Training(), {}, tuple(r.row for r in rows)
    )


def test_figures_are_those_counted_by_hand() -> None:
    of = windows(4)  # 8 windows, 4 positive
    p = [0.9, 0.1, 0.9, 0.9, 0.1, 0.1, 0.9, 0.1]  # 3 of 4 found, 1 of 4 false
    found = table.figures(results("a", p, of=of))
    assert found.recall.value == pytest.approx(3 / 4)
    assert found.precision.value == pytest.approx(3 / 4)
    assert found.f.value == pytest.approx(3 / 4)
    assert found.error.value == pytest.approx(2 / 8)
    assert found.seeds == pytest.approx((3 / 4,))
    assert (found.seconds, found.input_bytes, found.parameters) == (1.0, 2048, 7)


def test_all_seeds_count_and_each_is_shown() -> None:
    of = windows(4)
    found = table.figures(results("a", right(of), right(of, 2), of=of))
    assert found.seeds == pytest.approx((1.0, 2 / 3))
    assert found.recall.value == pytest.approx(6 / 8)
    assert found.seconds == 1.5


@pytest.mark.slow
@given(st.lists(st.floats(0, 1), min_size=24, max_size=24))
@settings(max_examples=5)
def test_an_interval_holds_its_value_and_the_order_of_windows_does_not_count(p) -> None:
    of = windows(12)
    found = table.figures(results("a", p, of=of))
    for each in (found.recall, found.precision, found.f, found.error):
        assert 0 <= each.low <= each.high <= 1
    assert found.error.low <= found.error.value <= found.error.high
    order = np.random.default_rng(1).permutation(24)
    rows = [of.recordings[n] for n in order]
    other = Windows(of.corpus, of.length, rows, of.starts, of.classes[order])
    moved = table.figures(results("a", [p[n] for n in order], of=other))
    assert moved.f == found.f


def test_windows_of_one_group_count_as_one_in_the_interval() -> None:
    few, many = windows(4, 20), windows(40, 2)
    wide, narrow = (
        table.figures(results("a", right(of, 20), of=of)).f for of in (few, many)
    )  # 20 of 40 positive windows wrong: one group of two, or ten of twenty
    assert wide.value == pytest.approx(narrow.value)
    assert wide.high - wide.low > narrow.high - narrow.low


@pytest.mark.parametrize(
    ("wrong", "verdict"), [((0, 30), "held"), ((30, 0), "contradicted"), ((10, 10), "open")]
)
def test_a_finding_is_decided_by_the_interval_of_the_difference(wrong, verdict) -> None:
    of = windows(40)
    first, second = (results(n, right(of, w), of=of) for n, w in zip("ab", wrong, strict=True))
    made = experiment(Finding(text="A is best.", better=[("a", "b")]), first, second)
    (part,) = table.compare(made, [first, second])
    assert part.verdict == verdict
    assert part.text.startswith("F of a above b by")
    text = table.markdown(made, [first, second])
    assert f"The report found: A is best. **Here: {verdict}.** " in text


def test_rows_on_other_windows_are_compared_more_carefully() -> None:
    one, two = windows(40), windows(38)
    first, second = results("a", right(one, 3), of=one), results("b", right(two, 8), of=two)
    careful = experiment(Finding(text="", better=[("a", "b")]), first, second)
    assert table.compare(careful, [first, second])[0].verdict == "open"


@pytest.mark.parametrize(
    ("limits", "verdict"),
    [
        ({"f_at_least": {"a": 90.0}}, "held"),
        ({"f_at_least": {"a": 100.0}}, "held"),
        ({"error_at_most": {"a": 1.0}}, "held"),
        ({"f_at_least": {"b": 90.0}}, "contradicted"),
        ({"error_at_most": {"b": 1.0}}, "contradicted"),
        ({"f_at_least": {"a": 90.0, "b": 90.0}}, "contradicted"),
    ],
)
def test_a_finding_with_limits_is_decided_by_the_interval(limits, verdict) -> None:
    of = windows(40)
    rows = [results("a", right(of), of=of), results("b", right(of, 30), of=of)]
    parts = table.compare(experiment(Finding(text="", **limits), *rows), rows)
    assert table.verdict(parts) == verdict


def test_the_table_has_our_figures_and_the_reports() -> None:
    of = windows(4)
    rows = [
        results("a", right(of), of=of, reported=Reported(recall=1.5, precision=2.5, f=3.5)),
        results("b", right(of), of=of, reported=Reported(error=4.0)),
    ]
    made = experiment(Finding(text="So."), *rows)
    lines = table.markdown(made, rows).splitlines()
    assert lines[0] == "## Experiment 9-x: a title"
    cells = [[cell.strip() for cell in line.split("|")] for line in lines if line.startswith("| ")]
    assert all(len(row) == len(cells[0]) for row in cells)
    assert cells[1][1:4] == ["a", "100.0 (100.0-100.0)", "100.0 (100.0-100.0)"]
    assert cells[1][7:-1] == ["1 s", "2 KiB", "7", "1.50 / 2.50 / 3.50", ""]
    assert cells[2][-3:-1] == ["", "4.00"]
    values = table.as_json(made, rows)
    assert values["rows"][1]["reported"] == {"error": 4.0}
    assert values["rows"][0]["f"] == [1.0, 1.0, 1.0]
    assert values["verdict"] == "open"  # a sentence alone decides nothing
