"""What is published has the same bytes however it was computed: cut, batched, or restarted."""

from __future__ import annotations

import json

import numpy as np
import pytest

from model import classifier as shipped
from model.frontend import RollingCQT
from stream.audio import AudioChunk
from stream.pipeline import Pipeline
from stream.smooth import SmoothSettings

RATE = 16000
SMOOTH = SmoothSettings(enter=0.6, leave=0.4, min_length=32000, update=80000, grid=1600)
FRONT_END = RollingCQT()
CLASSIFIER = shipped.load()


def make():
    return Pipeline(FRONT_END, CLASSIFIER, SMOOTH)


def chunks(programme, station, rate, seconds=20, n_s=0.5):
    times = np.arange(seconds * rate) / rate * RATE
    samples = programme(seconds, seed=hash(station) % 7)
    if rate != RATE:
        samples = np.interp(times, np.arange(len(samples)), samples).astype(np.float32)
    n = round(n_s * rate)
    return [AudioChunk(station, k, samples[k : k + n], rate) for k in range(0, len(samples), n)]


def lines(events):
    return sorted({repr(event) for event in events})  # before probabilities are rounded


@pytest.mark.parametrize("rate", [16000, 44100])
@pytest.mark.parametrize("at", [14, 31])
def test_a_restart_that_catches_up_in_one_batch_moves_no_byte(programme, rate, at):
    mine = chunks(programme, "a", rate)
    alone = make()
    expected = [event for chunk in mine for event in alone.push([chunk])]
    first, second = make(), make()
    out = [event for chunk in mine[:at] for event in first.push([chunk])]
    snapshot = json.loads(json.dumps(first.snapshot("a")))
    second.restore("a", snapshot)
    again = [chunk for chunk in mine if chunk.end * RATE > snapshot["oldest"] * rate]
    assert (at * rate // 2 - again[0].start) / rate < 10
    others = [c for name in "bcd" for c in chunks(programme, name, RATE, n_s=0.31)]
    out += [event for event in second.push([*others, *again]) if event.station == "a"]
    assert lines(out) == lines(expected)
