from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from airsift.errors import ConfigError
from model import units
from model.frontend.base import TensorFrontEnd
from model.frontend.kernels import bin_frequencies
from model.frontend.rolling_cqt import RollingCQT, cqt, make_front_end
from tests.examples import examples

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

HOP = 320
RAW = RollingCQT(compression=0)
COMPRESSED = RollingCQT()
LATENCY_COLUMNS = RAW.latency // HOP

# What one octave's decimated kernels may differ from dense ones, in magnitudes where a sine of
# amplitude 1 has magnitude 1: the tails of the tapers' spectra that the decimators cut off.
NNAUDIO_TOLERANCE = 1e-4


@pytest.fixture(scope="module", params=["rolling", "nnaudio"])
def front_end(request: pytest.FixtureRequest) -> TensorFrontEnd:
    return make_front_end(request.param, compression=0)


@pytest.fixture(scope="module")
def reference() -> TensorFrontEnd:
    return make_front_end("nnaudio", compression=0)


def noise(columns: int, batch: int = 1, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(batch, columns * HOP, generator=generator) * 2 - 1


def tone(frequency_hz: float, columns: int, amplitude: float = 1.0) -> Tensor:
    time_s = np.arange(columns * HOP) / 16_000
    wave = amplitude * np.sin(2 * np.pi * frequency_hz * time_s)
    return torch.tensor(wave, dtype=torch.float32)[None]


def impulse(sample: int, columns: int) -> Tensor:
    samples = torch.zeros(1, columns * HOP)
    samples[0, sample] = 1.0
    return samples


def push_in_pieces(front_end: TensorFrontEnd, samples: Tensor, cuts: Sequence[int]) -> Tensor:
    state = front_end.initial_state(len(samples))
    columns = []
    for begin, end in pairwise([0, *sorted(cuts), samples.shape[1] // HOP]):
        piece, state = front_end(samples[:, begin * HOP : end * HOP], state)
        columns.append(piece)
    return torch.cat(columns, dim=1)


def assert_same(actual: Tensor, expected: Tensor, atol: float = 1e-5) -> None:
    torch.testing.assert_close(actual, expected, rtol=0, atol=atol)


# --- a stream, however it comes ---


@pytest.mark.slow
@examples(25)
@given(cuts=st.lists(st.integers(0, 60), max_size=12), batch=st.integers(1, 3))
def test_any_cutting_gives_the_same_columns(cuts: list[int], batch: int) -> None:
    samples = noise(60, batch)
    assert_same(push_in_pieces(RAW, samples, cuts), push_in_pieces(RAW, samples, []), atol=1e-6)
    # The slope of the compression at 0 is 14 427 and amplifies the last digit by as much.
    compressed = push_in_pieces(COMPRESSED, samples, cuts)
    assert_same(compressed, push_in_pieces(COMPRESSED, samples, []), atol=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize("cuts", [[1], range(1, 30), [11, 12, 13]], ids=str)
def test_reference_may_be_cut_too(reference: TensorFrontEnd, cuts: Sequence[int]) -> None:
    samples = noise(30, batch=2)
    assert_same(
        push_in_pieces(reference, samples, cuts), push_in_pieces(reference, samples, []), atol=1e-6
    )


def test_file_is_the_stream_without_its_latency(front_end: TensorFrontEnd) -> None:
    samples = noise(40)
    streamed = push_in_pieces(front_end, samples, [7, 9, 30])
    skip = front_end.latency // HOP
    assert_same(cqt(samples, front_end)[:, : 40 - skip], streamed[:, skip:])


def test_file_need_not_be_whole_hops(front_end: TensorFrontEnd) -> None:
    columns = cqt(noise(10)[:, : 9 * HOP + 1], front_end)
    assert columns.shape == (1, 10, 144)


def test_row_of_a_batch_is_that_station_alone(front_end: TensorFrontEnd) -> None:
    samples = noise(40, batch=5)
    together = cqt(samples, front_end)
    for row in range(5):
        assert_same(together[row : row + 1], cqt(samples[row : row + 1], front_end))


def test_stations_may_change_batches_in_mid_stream(front_end: TensorFrontEnd) -> None:
    samples = noise(50, batch=3)
    whole = push_in_pieces(front_end, samples, [])
    first, state = front_end(samples[:, : 20 * HOP], front_end.initial_state(3))
    assert_same(first, whole[:, :20])
    saved = {name: values.clone() for name, values in state.items()}
    # Station 1 starts anew, station 2 goes on, station 0 goes elsewhere.
    fresh = front_end.initial_state(1)
    mixed = {name: torch.cat([fresh[name], saved[name][2:]]) for name in saved}
    columns, _ = front_end(samples[[1, 2], 20 * HOP :], mixed)
    assert_same(columns[1], whole[2, 20:])
    assert_same(columns[0], push_in_pieces(front_end, samples[1:2, 20 * HOP :], [])[0])
    alone, _ = front_end(samples[:1, 20 * HOP :], {name: saved[name][:1] for name in saved})
    assert_same(alone[0], whole[0, 20:])


def test_state_that_was_given_is_not_changed(front_end: TensorFrontEnd) -> None:
    _, state = front_end(noise(20), front_end.initial_state(1))
    before = {name: values.clone() for name, values in state.items()}
    front_end(noise(20, seed=1), state)
    assert all(torch.equal(before[name], state[name]) for name in state)


def test_later_audio_does_not_change_earlier_columns(front_end: TensorFrontEnd) -> None:
    one, other = noise(60), noise(60, seed=1)
    other[:, : 30 * HOP] = one[:, : 30 * HOP]
    columns = push_in_pieces(front_end, torch.cat([one, other]), [])
    assert_same(columns[0, :30], columns[1, :30])
    assert ((columns[0, 40:] - columns[1, 40:]).abs().amax(dim=1) > 1e-3).all()


@examples(10)
@given(shift=st.integers(1, 40))
def test_silence_before_the_audio_shifts_its_columns(shift: int) -> None:
    samples = noise(30)
    later = torch.nn.functional.pad(samples, (shift * HOP, 0))
    assert_same(cqt(later, RAW)[:, shift:], cqt(samples, RAW))


# --- the same as nnAudio ---


def test_noise_equals_nnaudio(reference: TensorFrontEnd) -> None:
    samples = noise(250, batch=2)
    expected = cqt(samples, reference)
    assert_same(cqt(samples, RAW), expected, atol=NNAUDIO_TOLERANCE * float(expected.max()))


@pytest.mark.parametrize("frequency_hz", [60, 80, 440, 1000, 2450, 2560, 2700, 4000, 4974, 6000])
def test_tones_equal_nnaudio(reference: TensorFrontEnd, frequency_hz: float) -> None:
    samples = tone(frequency_hz, 60)
    assert_same(cqt(samples, RAW), cqt(samples, reference), atol=NNAUDIO_TOLERANCE)


@pytest.mark.slow
def test_front_ends_are_interchangeable(reference: TensorFrontEnd) -> None:
    for name in ("sample_rate", "hop", "n_bins", "latency"):
        assert getattr(RAW, name) == getattr(reference, name)
    samples = noise(40) * 0.1
    assert_same(
        cqt(samples, make_front_end("rolling")), cqt(samples, make_front_end("nnaudio")), atol=0.1
    )


# --- physics ---


@pytest.mark.parametrize("bin_", [0, 1, 23, 24, 47, 48, 80, 95, 96, 119, 120, 142, 143])
def test_tone_lights_its_bin(front_end: TensorFrontEnd, bin_: int) -> None:
    column = cqt(tone(bin_frequencies()[bin_], 60), front_end)[0, 30]
    assert int(column.argmax()) == bin_
    # Hann tapers one bandwidth apart: half of it shows in the neighbours, nothing further on.
    assert float(column[bin_]) == pytest.approx(1.0, abs=5e-3)
    if 0 < bin_ < 143:
        assert float(column[bin_ - 1]) == pytest.approx(0.5, abs=0.05)
    far = torch.arange(144).sub(bin_).abs() > 3
    assert float(column[far].max()) < 0.02


def test_silence_gives_zeros(front_end: TensorFrontEnd) -> None:
    assert not cqt(torch.zeros(2, 30 * HOP), front_end).any()
    assert not cqt(torch.zeros(2, 30 * HOP), COMPRESSED).any()


@pytest.mark.parametrize("gain", [0.0, 0.1, 10.0, -1.0])
def test_gain_scales_the_magnitude(front_end: TensorFrontEnd, gain: float) -> None:
    samples = noise(40)
    expected = abs(gain) * cqt(samples, front_end)
    assert_same(cqt(gain * samples, front_end), expected, atol=1e-6 * max(1.0, abs(gain)))


def test_compression_matches_its_formula() -> None:
    samples = noise(40)
    expected = torch.log2(1 + 10_000 * cqt(samples, RAW))
    assert_same(cqt(samples, COMPRESSED), expected)


def test_white_noise_falls_with_the_width_of_the_bins() -> None:
    columns = cqt(noise(1500, batch=4), RAW)[:, 20:-20]
    assert torch.isfinite(columns).all()
    # Power in a bin is proportional to its bandwidth, that is to its frequency.
    octave_power = columns.square().mean(dim=(0, 1)).reshape(6, 24).mean(dim=1)
    ratios = octave_power[1:] / octave_power[:-1]
    assert ratios.tolist() == pytest.approx([2.0] * 5, rel=0.2)


@pytest.mark.parametrize("column", [0, 1, 20])
def test_click_lights_the_column_it_is_the_centre_of(
    front_end: TensorFrontEnd, column: int
) -> None:
    magnitudes = cqt(impulse(column * HOP, 60), front_end)[0]
    assert (magnitudes.argmax(dim=0) == column).all()
    away = torch.arange(60).sub(column).abs()
    assert not magnitudes[away > LATENCY_COLUMNS].any()


def test_latency_is_as_short_as_it_can_be() -> None:
    # In double precision, since what the longest kernel's edge weighs is next to nothing.
    precise = RollingCQT(compression=0).double()
    centre = 20 * HOP
    # A hop less of latency would end the audio here, under the longest kernel;
    needed = cqt(impulse(centre + precise.latency, 60).double(), precise)[0, 20]
    assert needed.max() > 0
    # and no column would gain by waiting a hop longer.
    unused = cqt(impulse(centre + precise.latency + HOP, 60).double(), precise)[0, 20]
    assert not unused.any()


# --- edges ---


def test_nothing_in_gives_nothing_out(front_end: TensorFrontEnd) -> None:
    state = front_end.initial_state(2)
    columns, after = front_end(torch.zeros(2, 0), state)
    assert columns.shape == (2, 0, 144)
    assert all(torch.equal(after[name], state[name]) for name in state)
    columns, _ = front_end(torch.zeros(0, HOP), front_end.initial_state(0))
    assert columns.shape == (0, 1, 144)


def test_inference_mode_gives_the_same() -> None:
    samples = noise(20)
    with torch.inference_mode():
        quick = cqt(samples, RAW)
    assert torch.equal(quick, cqt(samples, RAW))


def test_double_precision_is_a_conversion_away() -> None:
    samples = noise(30)
    double = cqt(samples.double(), RollingCQT(compression=0).double())
    assert double.dtype == torch.float64
    assert_same(cqt(samples, RAW).double(), double, atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["rolling", "nnaudio"])
def test_everything_moves_to_another_device(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # The meta device computes nothing, but refuses to mix with tensors left on the CPU.
    monkeypatch.setattr(units, "checked_sizes", lambda function, rows, sizes, library: tuple(sizes))
    front_end = make_front_end(kind).to("meta")
    columns = cqt(torch.zeros(2, 10 * HOP, device="meta"), front_end)
    assert columns.device.type == "meta"
    assert columns.shape == (2, 10, 144)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("kind", ["rolling", "nnaudio"])
def test_cuda_equals_cpu(kind: str) -> None:
    samples = noise(60, batch=3)
    expected = cqt(samples, make_front_end(kind, 0))
    on_gpu = cqt(samples.cuda(), make_front_end(kind, 0).cuda())
    assert_same(on_gpu.cpu(), expected, atol=1e-3)  # TF32 products, where they are switched on


def test_samples_must_be_whole_hops(front_end: TensorFrontEnd) -> None:
    with pytest.raises(
        ValueError, match=r"samples.shape\[1\]=321 must be a multiple of 320, one hop"
    ):
        front_end(torch.zeros(1, 321), front_end.initial_state(1))


def test_samples_must_be_a_batch(front_end: TensorFrontEnd) -> None:
    with pytest.raises(ValueError, match=r"samples.shape=\(320,\) must be \(batch, n\)"):
        front_end(torch.zeros(320), front_end.initial_state(1))


def test_state_must_be_of_the_same_batch(front_end: TensorFrontEnd) -> None:
    with pytest.raises(ValueError, match="samples of 2 stations and a state of 3"):
        front_end(torch.zeros(2, 320), front_end.initial_state(3))


@pytest.mark.parametrize("compression", [-1.0, float("nan"), float("inf")])
@pytest.mark.parametrize("kind", ["rolling", "nnaudio"])
def test_compression_must_be_a_number(kind: str, compression: float) -> None:
    with pytest.raises(ConfigError, match=f"compression={compression} must be a finite"):
        make_front_end(kind, compression)


def test_unknown_front_end_is_refused_by_name() -> None:
    with pytest.raises(ConfigError, match="front_end='mel' must be 'rolling' or 'nnaudio'"):
        make_front_end("mel")
