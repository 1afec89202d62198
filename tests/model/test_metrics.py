from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model.evaluation import metrics, requirements
from model.evaluation.predict import ConditionPredictions

NAMES = {
    "speech": (1, 0),
    "music": (0, 1),
    "singing": (0, 1),
    "noise": (0, 0),
    "silence and hiss": (0, 0),
    "music at -10 dB and speech": (1, 1),
    "music at -20 dB and speech": (1, 1),
    **{f"speech, {name}": (1, 0) for name in requirements.DEGRADED},
    **{f"music, {name}": (0, 1) for name in requirements.DEGRADED},
}


def predictions(name: str, probabilities: list[tuple[float, float]]) -> ConditionPredictions:
    voice = "speech" if "speech" in name else name.split(",")[0]
    groups = np.array([f"{voice}:{number % 3}" for number in range(len(probabilities))])
    return ConditionPredictions(name, NAMES[name], np.array(probabilities, float), groups)


def checked(
    everything: dict[str, ConditionPredictions],
) -> dict[str, requirements.Requirement]:
    return {
        row.metric: row
        for row in requirements.check_requirements(everything, {}, None, 0.003, 500_000)
    }


def test_a_perfect_model_passes_everything() -> None:
    rows = checked({name: predictions(name, [truth] * 6) for name, truth in NAMES.items()})
    assert rows["macro F of the two outputs at 0.5"].measured == "100.0% (100.0% to 100.0%)"
    assert rows["macro F of the two outputs at 0.5"].support == "36 / 15"
    assert rows["noise and silence labelled speech or music"].measured.startswith("0.0%")
    assert rows["GSM 06.10: macro F lost against clean"].measured == "+0.0 (+0.0 to +0.0)"
    failed = {name for name, row in rows.items() if row.passed is not True}
    assert failed == {
        requirements.VOICE,  # not measured here
        "CPU time of a window of columns alone, one thread",
    }


def test_metrics_count_windows() -> None:
    half = [(0.9, 0.1)] * 3 + [(0.9, 0.8)] * 3
    rows = checked({name: predictions(name, half) for name in NAMES})
    assert rows["speech not labelled music"].measured.startswith("50.0%")
    assert rows["speech not labelled music"].passed is False
    assert rows["noise and silence labelled speech or music"].measured.startswith("100.0%")
    assert rows["music 10 dB under speech: both found"].measured.startswith("50.0%")


def test_a_group_is_drawn_with_all_its_windows_in_every_condition() -> None:
    two = [
        predictions("speech", [(1, 0)] * 6),
        predictions("music at -10 dB and speech", [(1, 1)] * 6),
    ]
    of = metrics.pool(two)
    assert len(of.strata) == 3
    weights = of.weights(np.random.default_rng(3))
    np.testing.assert_array_equal(weights[:6], weights[6:])
    assert weights.sum() == 12
    assert set(weights) != {1.0}


def test_an_interval_is_of_groups_and_not_of_windows() -> None:
    def spread(groups: int) -> float:
        numbers = np.arange(600) % groups
        right = (numbers % 2)[:, None] * np.array([1.0, 0.0])
        each = ConditionPredictions("speech", (1, 0), right, np.array([f"v:{n}" for n in numbers]))
        found = metrics.estimate(metrics.both_right, metrics.pool([each]))
        assert found.low <= found.value == 0.5 <= found.high
        return found.high - found.low

    assert spread(4) > 2 * spread(100)


@settings(max_examples=25, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.floats(0, 1), st.floats(0, 1), st.booleans(), st.booleans(), st.integers(0, 3)
        ),
        min_size=1,
        max_size=30,
    )
)
def test_a_weight_is_a_repetition(rows: list[tuple[float, float, bool, bool, int]]) -> None:
    p = np.array([row[:2] for row in rows])
    truth = np.array([row[2:4] for row in rows])
    times = np.array([row[4] for row in rows])
    weights = times.astype(float)
    for figure in (
        metrics.forced_choice,
        metrics.macro_f,
        metrics.both_right,
        metrics.labelled,
        metrics.precision(0),
        metrics.recall(1),
    ):
        repeated = figure(p.repeat(times, 0), truth.repeat(times, 0), np.ones(times.sum()))
        assert figure(p, truth, weights) == pytest.approx(repeated)


def test_calibration_error_is_the_distance_of_probability_and_frequency() -> None:
    truth = np.arange(1000)[:, None] % 4 == np.array([0, 0])
    predicted = np.full((1000, 2), 0.75)
    assert metrics.calibration_error(predicted, truth, np.ones(1000)) == pytest.approx(0.5)
    assert metrics.calibration_error(predicted * 0 + 0.25, truth, np.ones(1000)) == pytest.approx(
        0.0
    )


def test_windows_that_are_no_pairs_are_refused() -> None:
    first, second = (
        predictions("speech", [(1, 0)] * 6),
        predictions("speech, GSM 06.10", [(1, 0)] * 5),
    )
    with pytest.raises(ValueError, match="not those of the clean"):
        metrics.paired([first], [second])
