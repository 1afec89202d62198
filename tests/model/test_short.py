"""Beginnings of windows: which are measured, and what the table says about them."""

from __future__ import annotations

import numpy as np

from model.classifier import Classifier
from model.evaluation import predict, short
from model.evaluation.conditions import Condition
from model.evaluation.predict import ConditionPredictions
from model.networks.pooled import Network
from model.spec import ModelSpec

RATE = 16_000


def windows(name: str, quiet: int = 0) -> Condition:
    """Return windows of noise; the first `quiet` of them begin with a pause."""
    samples = np.random.default_rng(1).standard_normal((6, 5 * RATE)).astype(np.float32)
    samples[:quiet, : RATE // 2] *= 0.01
    groups, sources = [f"{name}:{k}" for k in range(6)], ["a", "a", "b", "b", "b", "b"]
    return Condition(name, samples, (1, 0), groups, sources)


def test_all_lengths_have_the_same_windows_without_those_that_begin_with_a_pause() -> None:
    whole = windows("speech", quiet=2)
    made = list(short.beginnings([whole, windows("music", quiet=6)]))
    assert [each.name for each in made] == [
        "speech, first 0.5 s", "speech, first 1 s", "speech, first 2 s", "speech, first 3 s",
        "speech",
    ]  # fmt: skip
    for each, seconds in zip(made, (0.5, 1, 2, 3, 5), strict=True):
        assert (each.groups, each.sources) == (whole.groups[2:], whole.sources[2:])
        np.testing.assert_array_equal(each.samples, whole.samples[2:, : round(seconds * RATE)])


def test_a_network_judges_them_with_the_frames_that_they_have() -> None:
    classifier = Classifier(Network().eval(), ModelSpec())
    found = list(predict.predict(classifier, short.beginnings([windows("speech")])))
    assert [each.probabilities.shape for each in found] == [(6, 2)] * 5
    assert len({each.probabilities.tobytes() for each in found}) == 5


def test_the_table_has_a_row_for_each_length_and_the_mean_over_sources() -> None:
    whole = windows("speech")
    right, wrong = (0.9, 0.2), (0.1, 0.2)
    p = np.array([right, right, wrong, wrong, wrong, right])  # source a: 100 %, b: 25 %

    def predicted(name: str, values: np.ndarray) -> ConditionPredictions:
        sources = np.array(whole.sources)
        return ConditionPredictions(name, (1, 0), values, np.array(whole.groups), sources, sources)

    text = short.table(
        [predicted("speech, first 2 s", p), predicted("speech", np.array([right] * 6))]
    )
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines()[2:]]
    assert rows[0][:2] == ["first", "speech"]
    two, five = rows[2:]
    assert (two[0], two[1], two[3], two[4], two[6]) == ("2 s", "50.0%", "62.5%", "72.0%", "6")
    assert (five[0], five[1], five[3]) == ("5 s", "100.0%", "100.0%")
