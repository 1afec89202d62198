from __future__ import annotations

import warnings

import numpy as np
import pytest

from model.evaluation import event_metrics
from model.evaluation.event_metrics import Timeline

RATE = 16_000


def timeline(
    speech: list[tuple[float, float]], music: list[tuple[float, float]], length: float = 60.0
) -> Timeline:
    def samples(spans: list[tuple[float, float]]) -> tuple[tuple[int, int], ...]:
        return tuple((round(start * RATE), round(end * RATE)) for start, end in spans)

    return Timeline(samples(speech), samples(music), round(length * RATE))


TRUTH = timeline([(0, 20), (30, 45)], [(20, 33), (50, 60)])


@pytest.mark.slow
def test_the_truth_scores_full() -> None:
    rows = event_metrics.count_events([(TRUTH, TRUTH)]).rows()
    assert len(rows) == 6
    assert {row.value for row in rows.values()} == {1.0}


@pytest.mark.slow
def test_silence_scores_nothing() -> None:
    rows = event_metrics.count_events([(TRUTH, timeline([], []))]).rows()
    assert {row.value for row in rows.values()} == {0.0}


@pytest.mark.parametrize(("late", "found"), [(0.9, 1.0), (1.1, 0.0)])
def test_a_boundary_counts_within_a_second(late: float, found: float) -> None:
    estimate = timeline(
        [(0, 20 + late), (30 + late, 45 + late)], [(20 + late, 33 + late), (50 + late, 60)]
    )
    assert (
        event_metrics.count_events([(TRUTH, estimate)]).rows()["boundaries found within 1 s"].value
        == found
    )


def test_a_boundary_is_found_once_and_only_by_its_kind() -> None:
    truth = timeline([(10, 20)], [])
    often = timeline([(9.5, 9.8), (10.1, 20)], [])
    rows = event_metrics.count_events([(truth, often)]).rows()
    assert rows["boundaries found within 1 s"].value == 1.0
    assert rows["detected boundaries that are true"].value == 0.5
    other = timeline([], [(10, 20)])
    assert (
        event_metrics.count_events([(truth, other)]).rows()["boundaries found within 1 s"].value
        == 0.0
    )


def test_sums_over_programmes_equal_the_librarys_total() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from sed_eval.sound_event import SegmentBasedMetrics
    random = np.random.default_rng(1)
    pairs = []
    for _ in range(4):
        cuts = [np.sort(random.uniform(0, 60, 8)) for _ in range(4)]
        spans = [[(a, b) for a, b in cut.reshape(-1, 2)] for cut in cuts]
        pairs.append((timeline(spans[0], spans[1]), timeline(spans[2], spans[3])))
    whole = SegmentBasedMetrics(list(event_metrics.LABELS), time_resolution=1.0)
    for truth, estimate in pairs:
        whole.evaluate(event_metrics.events(truth), event_metrics.events(estimate))
    expected = whole.results_class_wise_average_metrics()["f_measure"]["f_measure"]
    figure = event_metrics.count_events(pairs).rows()["segment-based macro F, 1 s"]
    assert figure.value == pytest.approx(expected)
    assert figure.low < figure.value < figure.high
