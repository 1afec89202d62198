"""The laws of every backend, and the distance between them."""

from __future__ import annotations

import os
import subprocess
import sys
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.backend import columns_of
from model.onnx_backend import MANY_STEPS
from model.spec import HOP, SAMPLE_RATE, STEP_COLUMNS
from model.units import Array
from model.weights import DEFAULT_WEIGHTS, VOICE_WEIGHTS
from stream.sources.file import read_file
from tests.examples import examples
from tests.stream.networks import BACKENDS

BOTH = pytest.mark.parametrize("name", BACKENDS)
STEP = STEP_COLUMNS * HOP
DEMO = Path(__file__).parents[2] / "stream" / "demo" / "audio"
SECONDS = 13


@cache
def front_end(name: str):
    return BACKENDS[name].front_end(DEFAULT_WEIGHTS)


@cache
def network(name: str, file: Path = DEFAULT_WEIGHTS):
    return BACKENDS[name].classifier(file)


@cache
def audio() -> Array:
    """Return noise, quiet noise, silence, clicks, tones, and pieces of music and speech."""
    rng = np.random.default_rng(0)
    n = SECONDS * SAMPLE_RATE
    noise = rng.standard_normal((2, n)) * [[0.3], [0.001]]
    clicks = (np.arange(n) % 7919 == 0) * 0.9
    t = np.arange(n) / SAMPLE_RATE
    tones = sum(np.sin(2 * np.pi * f * t) for f in (82.0, 440.0, 4800.0)) / 3
    real = [
        read_file(each, SAMPLE_RATE)[SAMPLE_RATE : SAMPLE_RATE + n]
        for each in sorted(DEMO.glob("*.opus"))[::3]
    ]
    padded = [np.pad(each, (0, n - len(each))) for each in real]
    return np.stack([*noise, np.zeros(n), clicks, tones, *padded]).astype(np.float32)


@cache
def columns(name: str) -> Array:
    return columns_of(audio(), front_end(name))


@cache
def windows(name: str, file: Path = DEFAULT_WEIGHTS) -> Array:
    """Return the frames of all windows of all recordings, from this backend's own columns."""
    frames = network(name, file).embed(columns(name))
    width = network(name, file).spec.window_frames
    views = np.lib.stride_tricks.sliding_window_view(frames, width, axis=1)[:, ::5]
    return views.transpose(0, 1, 3, 2).reshape(-1, width, frames.shape[2])


def test_columns_differ_by_less_than_a_ten_thousandth_of_the_largest() -> None:
    one, other = columns("torch"), columns("onnx")
    assert one.shape == other.shape == (len(audio()), 650, 144)
    assert float(np.abs(one - other).max()) < 1e-4 * float(one.max())


@pytest.mark.parametrize("file", [DEFAULT_WEIGHTS, VOICE_WEIGHTS], ids=lambda file: file.stem)
def test_probabilities_differ_by_less_than_two_thousandths(file: Path) -> None:
    for one, other in zip(
        network("torch", file).predict(windows("torch", file)),
        network("onnx", file).predict(windows("onnx", file)),
        strict=True,
    ):
        assert one.shape == other.shape
        assert float(np.abs(one - other).max(initial=0.0)) < 0.002
    for n in (1, 7, 21):
        one = network("torch", file).decide(windows("torch", file)[:, :n])
        other = network("onnx", file).decide(windows("onnx", file)[:, :n])
        assert float(np.abs(one - other).max()) < 0.002


@pytest.mark.slow
@BOTH
@examples(15)
@given(st.lists(st.integers(1, 7), min_size=1, max_size=6), st.data())
def test_no_division_and_no_batch_moves_a_bit_of_a_column(
    name: str, steps: list[int], data: st.DataObject
) -> None:
    rows = data.draw(st.lists(st.integers(0, len(audio()) - 1), min_size=1, max_size=12))
    state, found, at = front_end(name).initial_state(len(rows)), [], 0
    for count in steps:
        samples = audio()[rows, at : min(at + count * STEP, SECONDS * SAMPLE_RATE)]
        part, state = front_end(name)(samples, state)
        found.append(part)
        at += samples.shape[1]
    first = front_end(name).latency // HOP
    streamed = np.concatenate(found, axis=1)[:, first:]
    np.testing.assert_array_equal(streamed, columns(name)[rows, : streamed.shape[1]])


def test_short_audio_is_spared_the_check_of_joined_steps_and_has_the_same_bits() -> None:
    fresh = BACKENDS["onnx"].front_end(DEFAULT_WEIGHTS)
    rounds = MANY_STEPS // SECONDS + 2
    found = []
    for _ in range(rounds):
        assert fresh._joins is None or len(found) * SECONDS >= MANY_STEPS - SECONDS
        found.append(fresh(audio()[:1], fresh.initial_state(1))[0])
    assert fresh._joins is not None
    assert all(np.array_equal(each, found[0]) for each in found)


@pytest.mark.slow
@BOTH
@examples(15)
@given(st.data(), st.integers(40, 300), st.integers(0, 6))
def test_neither_batch_nor_block_moves_a_bit_of_a_frame(
    name: str, data: st.DataObject, length: int, step: int
) -> None:
    rows = data.draw(st.lists(st.integers(0, len(audio()) - 1), min_size=1, max_size=12))
    whole = network(name).embed(columns(name))
    part = network(name).embed(columns(name)[rows, 50 * step : 50 * step + length])
    np.testing.assert_array_equal(part, whole[rows, 5 * step : 5 * step + part.shape[1]])


@BOTH
@examples(25)
@given(st.data(), st.integers(1, 22))
def test_no_batch_moves_a_bit_of_a_probability(name: str, data: st.DataObject, n: int) -> None:
    every = windows(name)
    rows = data.draw(st.lists(st.integers(0, len(every) - 1), min_size=1, max_size=20))
    short = every[:, :n]
    np.testing.assert_array_equal(
        network(name).decide(short[rows]), network(name).decide(short)[rows]
    )
    for mine, of_all in zip(
        network(name).predict(every[rows]), network(name).predict(every), strict=True
    ):
        np.testing.assert_array_equal(mine, of_all[rows])


@BOTH
def test_a_state_that_was_given_is_not_changed(name: str) -> None:
    _, state = front_end(name)(audio()[:2, :STEP], front_end(name).initial_state(2))
    kept = state.copy()
    front_end(name)(audio()[:2, STEP : 2 * STEP], state)
    np.testing.assert_array_equal(state, kept)


@BOTH
def test_nothing_in_gives_nothing_out(name: str) -> None:
    state = front_end(name).initial_state(2)
    found, after = front_end(name)(np.zeros((2, 0), np.float32), state)
    assert found.shape == (2, 0, 144)
    np.testing.assert_array_equal(after, state)


@BOTH
@pytest.mark.parametrize(
    ("shape", "stations", "message"),
    [
        ((320,), 1, r"samples.shape=\(320,\) must be \(batch, n\)"),
        ((1, 320), 1, r"samples.shape\[1\]=320 must be a multiple of 16000, one step"),
        ((2, STEP), 3, "samples of 2 stations and a state of 3"),
    ],
)
def test_what_is_no_batch_of_steps_is_refused(name: str, shape, stations, message) -> None:
    with pytest.raises(ValueError, match=message):
        front_end(name)(np.zeros(shape, np.float32), front_end(name).initial_state(stations))


@pytest.mark.process
def test_onnxruntime_keeps_no_identifier_and_so_reports_nothing(tmp_path: Path) -> None:
    environment = {**os.environ, "TMPDIR": str(tmp_path), "HOME": str(tmp_path)}
    environment.pop("ORT_DISABLE_TELEMETRY", None)
    subprocess.run([sys.executable, "-c", "import model.onnx_backend"], env=environment, check=True)
    assert not list(tmp_path.rglob("*"))
