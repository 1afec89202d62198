"""Units of one fixed shape: the result of a row depends on that row alone, with any library."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from model import classifier, weights
from model.frontend.rolling_cqt import RollingCQT
from model.tensors import TORCH, tensor_units, use_threads
from model.units import NUMPY, SIZES, Units, checked_sizes, overlapping, random_rows
from tests.examples import examples

SHIPPED, VOICE = classifier.load(), classifier.load(weights.VOICE_WEIGHTS)
FRONT_END = RollingCQT()
EXAMPLES = random_rows((5,))
ULP = 2.0**-20


def tensors(count: int) -> tuple[Tensor, ...]:
    return tuple(torch.from_numpy(each) for each in EXAMPLES(count))


@pytest.fixture
def one_thread_again() -> Iterator[None]:
    yield
    use_threads(1)


def honest(rows: Tensor) -> Tensor:
    return rows * 2


def by_place(rows: Tensor) -> Tensor:
    return rows * 2 + ULP * torch.arange(len(rows))[:, None]


def last_place_only(rows: Tensor) -> Tensor:
    out = rows * 2
    out[-1] += ULP
    return out


def by_neighbours(rows: Tensor) -> Tensor:
    return rows * 2 + ULP * rows.sum()


def by_size(rows: Tensor) -> Tensor:
    return rows * 2 + (ULP if len(rows) < 8 else 0)


def one_number(rows: Tensor) -> Tensor:
    """As a matrix product at the edge of whose tiles a single number is rounded otherwise."""
    out = rows * 2
    out[5:6, 3] += ULP
    return out


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (honest, (2, 8)),
        (by_size, (8,)),
        (by_place, (1,)),
        (last_place_only, (1,)),
        (by_neighbours, (1,)),
        (one_number, (2,)),
    ],
)
def test_only_sizes_that_change_no_bit_are_used(
    function: Callable[[Tensor], Tensor], expected: tuple[int, ...]
) -> None:
    assert checked_sizes(lambda rows: (function(rows),), tensors(8), (2, 8), TORCH) == expected


@pytest.mark.parametrize("function", [by_size, by_place, last_place_only, by_neighbours])
@pytest.mark.parametrize("rows", [1, 2, 3, 8, 9, 17])
def test_rows_of_a_batch_equal_single_rows_with_every_library(
    function: Callable[[Tensor], Tensor], rows: int
) -> None:
    units = tensor_units("test", function, EXAMPLES)
    values = torch.rand(rows, 5)
    alone = torch.cat([units(values[k : k + 1])[0] for k in range(rows)])
    assert torch.equal(units(values)[0], alone)


@examples(50)
@given(st.integers(0, 40))
def test_a_function_never_sees_another_shape(rows: int) -> None:
    shapes = set()

    def function(values: Tensor, more: Tensor) -> tuple[Tensor, Tensor]:
        shapes.add(len(values))
        assert values.data_ptr() % 16 == 0
        assert values.is_contiguous()
        return values + 1, more * 2

    units = tensor_units("test", function, random_rows((3,), (2, 2)))
    shapes.clear()
    values = torch.rand(3, rows).t()
    more = torch.rand(rows, 2, 2)
    plus, twice = units(values, more)
    assert torch.equal(plus, values + 1)
    assert torch.equal(twice, more * 2)
    assert shapes <= set(SIZES)


@pytest.mark.slow
@examples(20)
@given(st.data())
@pytest.mark.parametrize(
    "unit", [*SHIPPED.units, *VOICE.units, *FRONT_END.units], ids=lambda u: u.name
)
def test_no_batch_no_order_and_no_alignment_moves_a_bit(
    unit: Units[Tensor], data: st.DataObject
) -> None:
    rows = tuple(torch.as_tensor(each) for each in unit.examples(19))
    expected = [unit(*(each[k : k + 1] for each in rows)) for k in range(19)]
    chosen = data.draw(st.lists(st.integers(0, 18), min_size=1, max_size=24))
    shift = data.draw(st.integers(0, 15))
    found = unit(*(moved(each[chosen], shift) for each in rows))
    for place, k in enumerate(chosen):
        for result, wanted in zip(found, expected[k], strict=True):
            assert torch.equal(result[place], wanted[0])


def moved(values: Tensor, by: int) -> Tensor:
    """Return the same numbers in memory that begins `by` numbers later than torch would choose."""
    memory = torch.empty(values.numel() + by)
    out = memory[by:].view(values.shape)
    out.copy_(values)
    return out


@pytest.mark.parametrize("unit", [*SHIPPED.units, *FRONT_END.units], ids=lambda u: u.name)
@pytest.mark.usefixtures("one_thread_again")
def test_the_number_of_threads_moves_no_bit(unit: Units[Tensor]) -> None:
    rows, results = tuple(torch.as_tensor(each) for each in unit.examples(40)), []
    for threads in (1, 2, 3):
        use_threads(threads)
        with torch.inference_mode():
            results.append(unit(*rows))
    for other in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(results[0], other, strict=True))


@pytest.mark.usefixtures("one_thread_again")
def test_threads_compute_in_the_mode_of_their_caller() -> None:
    use_threads(2)
    units = tensor_units("test", honest, EXAMPLES)
    values = torch.rand(40, 5, requires_grad=True)
    assert units(values)[0].requires_grad
    with torch.no_grad():
        assert not units(values)[0].requires_grad
    with torch.inference_mode():
        assert units(values)[0].is_inference()


@examples(50)
@given(st.integers(0, 40), st.integers(0, 15))
def test_units_of_arrays_are_aligned_and_of_the_allowed_sizes(rows: int, shift: int) -> None:
    seen = set()

    def function(values: np.ndarray) -> tuple[np.ndarray, ...]:
        seen.add(len(values))
        assert values.ctypes.data % 64 == 0
        assert values.flags.c_contiguous
        return values + 1, values * 2

    unit = Units("test", function, EXAMPLES, NUMPY)
    memory = np.random.default_rng(rows).random(5 * rows + shift, np.float32)
    values = memory[shift:].reshape(rows, 5)
    plus, twice = unit(values)
    np.testing.assert_array_equal(plus, values + 1)
    np.testing.assert_array_equal(twice, values * 2)
    assert seen <= set(SIZES)


@pytest.mark.parametrize("function", [by_size, by_place, last_place_only, by_neighbours])
def test_arrays_are_checked_as_tensors_are(function: Callable[[Tensor], Tensor]) -> None:
    def of_arrays(rows: np.ndarray) -> tuple[np.ndarray, ...]:
        return (function(torch.from_numpy(rows)).numpy(),)

    unit = Units("test", of_arrays, EXAMPLES, NUMPY)
    assert unit.sizes() == tensor_units("test", function, EXAMPLES).sizes()
    values = np.random.default_rng(1).random((17, 5), np.float32)
    alone = np.concatenate([unit(values[k : k + 1])[0] for k in range(17)])
    np.testing.assert_array_equal(unit(values)[0], alone)


def test_a_function_is_checked_before_its_first_use_and_once(caplog) -> None:
    sizes = []

    def function(values: np.ndarray) -> tuple[np.ndarray, ...]:
        sizes.append(len(values))
        return (by_place(torch.from_numpy(values)).numpy(),)

    unit = Units("places", function, EXAMPLES, NUMPY)
    assert not sizes
    assert not caplog.records
    rows = np.zeros((3, 5), np.float32)
    unit(rows)
    (warning,) = caplog.records
    assert "places computed one step of one station at a time" in warning.getMessage()
    sizes.clear()
    unit(rows)
    assert sizes == [1, 1, 1]
    assert len(caplog.records) == 1


@examples(30)
@given(st.lists(st.integers(0, 20), min_size=1, max_size=6), st.sampled_from((1, 3)))
@pytest.mark.usefixtures("one_thread_again")
def test_memory_that_is_used_again_moves_no_bit(calls: list[int], threads: int) -> None:
    use_threads(threads)
    plain = Units("test", lambda values: (values * 2, values.sum(axis=1)), EXAMPLES, NUMPY)
    again = Units("test", plain.function, EXAMPLES, NUMPY, reuse=True)
    rng = np.random.default_rng(len(calls))
    kept = []
    for rows in calls:
        values = rng.random((rows, 5), np.float32)
        kept.append((plain(values), again(values)))
    for expected, found in kept:  # after all calls: a later one has not written to its results
        for one, other in zip(expected, found, strict=True):
            np.testing.assert_array_equal(one, other)


def test_units_are_copied_into_the_same_memory_if_asked_to() -> None:
    places = []

    def function(values: np.ndarray) -> tuple[np.ndarray, ...]:
        places.append(values.ctypes.data)
        return (values + 1,)

    unit = Units("test", function, EXAMPLES, NUMPY, (4,), reuse=True)
    unit.sizes()
    places.clear()
    for rows in (4, 2, 9):  # the last are three units
        unit(np.zeros((rows, 5), np.float32))
    assert len(places) == 5
    assert len(set(places)) == 1


@examples(50)
@given(
    st.integers(1, 3), st.integers(1, 6), st.integers(1, 4), st.integers(1, 5), st.integers(0, 3)
)
def test_overlapping_stretches_are_those_of_numpy(
    batch: int, length: int, step: int, count: int, more: int
) -> None:
    n = (count - 1) * step + length + more
    values = np.arange(batch * (n + 2) * 3, dtype=np.float32).reshape(batch, n + 2, 3)[:, 1:-1]
    every = np.lib.stride_tricks.sliding_window_view(values, length, axis=1)
    expected = every[:, : (count - 1) * step + 1 : step].transpose(0, 1, 3, 2)
    np.testing.assert_array_equal(overlapping(values, length, step, count), expected)
    with pytest.raises(ValueError, match="do not fit"):
        overlapping(values, length + more + 1, step, count)
