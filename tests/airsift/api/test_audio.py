"""What is taken as audio, and what is refused, and how."""

from __future__ import annotations

import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import airsift
from airsift.api.audio import converted, in_rows, rate_of, samples_of
from stream.testing import tone

MONO = tone(1.0)


@pytest.mark.parametrize("kind", ["int16", "int32", "int8", "uint8"])
@given(st.integers(0, 2**32 - 1))
def test_integers_are_parts_of_full_scale(kind: str, bits: int) -> None:
    info = np.iinfo(kind)
    value = np.asarray([bits % (2**info.bits) + info.min], dtype="int64").astype(kind)
    centre = (int(info.max) + int(info.min) + 1) / 2
    scale = (int(info.max) - int(info.min) + 1) / 2
    (found,) = converted(value)
    assert found.dtype == np.float32
    assert float(found) == pytest.approx((int(value[0]) - centre) / scale, abs=2**-24)
    assert -1.0 <= found <= 1.0


@pytest.mark.parametrize("kind", ["float16", "float32", "float64", "longdouble", ">f4", ">i2"])
def test_numbers_of_all_kinds_become_float32(kind: str) -> None:
    scale = 32_768 if kind == ">i2" else 1
    found = converted(samples_of((MONO * scale).astype(kind)))
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, MONO, atol=1e-3)


def test_nothing_that_is_given_is_changed() -> None:
    samples = (MONO * 32_767).astype(np.int16)
    samples.flags.writeable = False
    before = samples.copy()
    for given_array in (samples, samples[::2], samples[::-1]):
        converted(in_rows(samples_of(given_array), None))
    np.testing.assert_array_equal(samples, before)


@given(st.integers(1, 8), st.integers(9, 50))
def test_the_longer_axis_is_time(channels: int, n: int) -> None:
    rows = np.arange(n * channels, dtype=np.float32).reshape(n, channels)
    for array in (rows, rows.T):
        np.testing.assert_array_equal(in_rows(array, None), rows)
    np.testing.assert_array_equal(in_rows(rows.T, True), rows)


def test_tensors_need_no_torch_here() -> None:
    class Tensor:
        """As torch's: numpy's array comes only after gradient and device are left."""

        def __init__(self, steps: tuple[str, ...] = ()) -> None:
            self.steps = steps
            self.dtype = "torch.float32"

        def detach(self) -> Tensor:
            return Tensor((*self.steps, "detach"))

        def cpu(self) -> Tensor:
            return Tensor((*self.steps, "cpu"))

        def __array__(self, *arguments: object, **options: object) -> object:
            if self.steps != ("detach", "cpu"):
                raise TypeError("can't convert cuda:0 device type tensor to numpy")
            return MONO

    np.testing.assert_array_equal(samples_of(Tensor()), MONO)


@pytest.mark.slow
def test_tensors_of_torch() -> None:
    torch = pytest.importorskip("torch")
    np.testing.assert_array_equal(samples_of(torch.from_numpy(MONO).requires_grad_()), MONO)
    with pytest.raises(airsift.AirsiftError, match="bfloat16"):
        samples_of(torch.zeros(3, dtype=torch.bfloat16))


@pytest.mark.parametrize(
    ("audio", "words"),
    [
        (None, "NoneType is no audio"),
        (b"RIFF", "numpy.frombuffer"),
        ((value for value in MONO), "generator is no array.*airsift.Stream"),
        (3.5, "float is no array"),
        (object(), "object is no array"),
        (io.BytesIO(), "BytesIO is no array.*its path"),
        ({"a": 1}, "dict is no audio"),
        ([1, 2, 3], "int64 do not say"),
        (["a"], "str32 are no samples"),
        ([[1.0], [1.0, 2.0]], "no array of numbers"),
        (MONO.astype(complex), "complex128 are no samples"),
        (MONO > 0, "bool are no samples"),
        (np.array([None, 1.0]), "object are no samples"),
    ],
)
def test_what_is_no_array_of_samples(audio: object, words: str) -> None:
    with pytest.raises(airsift.AirsiftError, match=words) as error:
        samples_of(audio)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("shape", [(), (2, 3, 4), (100, 100), (70, 80), (5, 0), (0, 0), (0, 5)])
def test_what_has_no_shape_of_samples(shape: tuple[int, ...]) -> None:
    with pytest.raises(airsift.AirsiftError, match=r"channels"):
        in_rows(np.zeros(shape, np.float32), None)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (np.nan, r"sample 1007 is nan: it is not finite.*nan_to_num"),
        (-np.inf, r"sample 1007 is -inf"),
        (12_000.0, r"sample 1007 is 12000.0.*32768"),
        (-40.0, r"full scale, which is 1.0, by more than 30 dB"),
        (1e300, r"sample 1007 is"),
    ],
)
@pytest.mark.parametrize("channels", [1, 2])
def test_values_that_are_no_samples(value: float, words: str, channels: int) -> None:
    samples = np.zeros((50, channels))
    samples[7, channels - 1] = value
    with pytest.raises(airsift.AirsiftError, match=words):
        converted(samples[:, 0] if channels == 1 else samples, 1000)


@pytest.mark.parametrize(
    "rate", [0, -1, 999, 768_001, 16_000.5, "16000", None, True, np.nan, np.inf, [16_000], 1j]
)
def test_rates_that_are_none(rate: object) -> None:
    with pytest.raises(airsift.AirsiftError, match="whole number of samples per second"):
        rate_of(rate)  # type: ignore[arg-type]


@pytest.mark.parametrize("rate", [44_100, 44_100.0, np.int32(44_100), np.float64(44_100)])
def test_rates_of_any_kind_of_number(rate: float) -> None:
    assert rate_of(rate) == 44_100
