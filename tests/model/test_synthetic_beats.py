from __future__ import annotations

import numpy as np
import pytest

from model.corpus import synthetic_beats
from model.spec import SAMPLE_RATE as RATE


@pytest.mark.parametrize("number", range(8))
def test_beats_have_one_level_repeat_exactly_and_are_percussive(number: int) -> None:
    name, samples = synthetic_beats.make_beat(20 * RATE, number)
    assert name == ("count_in" if number % 4 == 3 else "beat")
    assert samples.shape == (20 * RATE,)
    assert np.sqrt(np.mean(samples.astype(np.float64) ** 2)) == pytest.approx(0.1, rel=1e-3)
    assert np.array_equal(samples, synthetic_beats.make_beat(20 * RATE, number)[1])
    # Strokes: the loudest hundredth of the time is far above the median.
    power = np.square(samples).reshape(-1, RATE // 100).mean(axis=1)
    assert np.quantile(power, 0.99) > 5 * np.median(power)


def test_a_sound_at_the_edges_is_cut() -> None:
    out = np.zeros(100)
    sound = np.ones(30)
    for at in (-40, -10, 90, 100, 130):
        synthetic_beats._add(out, sound, at)
    assert out.sum() == 20 + 10
