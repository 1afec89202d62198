"""A resampler whose every output sample is one sum over its neighbours of the input.

It is the resampler of the pipeline. A stream that may be joined anywhere must give the same bits
wherever it was begun, so nothing may be carried from sample to sample. Output sample j lies at
``j * rate_in / rate_out`` of the input and is the sum of the `half` samples on either side of it,
weighted by a windowed sinc. As the ratio of the rates is a ratio of small numbers, the weights
repeat after a *block*, and the sums of a block are a few matrix products::

    input     ···├───── block 0 ─────┤├───── block 1 ─────┤├──···    44.1 kHz: 441 samples
    group 0   ├───┼──────┼───┤    ├───┼──────┼───┤                   of 16 output samples
    group 1          ├───┼──────┼───┤    ├───┼──────┼───┤
    output    ···├────── 160 ────────┤├────── 160 ────────┤├──···    16 kHz

The last bits of a product depend on its shape and on the row in it. So the rows of a product are
always the same blocks, counted from sample 0 of the station: a *unit*. Input that is not there
(not yet, or not any more after a restart) is zero, and has no weight in the samples returned. A
unit that is not complete is computed again when more of it has come. Several units are one product
where many have come and a check on this machine, made when this is first possible, found the same
bits.

The response is flat to 0.9 of the lower half rate (7.2 kHz at 16 kHz). Down to a lower rate, all
is gone above 1.1 of it, so that what folds back lies above 0.9: neither the columns (to 5.1 kHz)
nor the landmarks (to 7.0 kHz) see it, and the filter is half as long as one that is closed at the
half rate. Up to a higher rate, all is gone above the half rate of the input.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from math import ceil, gcd, lcm, pi
from typing import TYPE_CHECKING

import numpy as np

from stream.audio import rescale

if TYPE_CHECKING:
    from numpy.typing import NDArray

PASS = 0.9  # of the lower half rate, to which the response is flat
STOP_DB = 100.0  # 16 bit audio has a range of 96 dB
GROUP = 16  # output samples of a product; more of them have more zeros among their weights
_BLOCK = 160  # output samples of a block, at least
_UNIT = 2560  # and of a unit, about: 0.16 s at 16 kHz, the work for a chunk of any length
_MAX_UNIT = 4096
_MAX_BLOCK = 2560
_JOINED = 8  # units of a product of many, which takes 0.9 of the time
# Rows of a unit, where they are not too long: OpenBLAS's kernels compute 12 or 4 of them at a time,
# on some processors with another order of sums, so that only multiples of 12 have the same bits.
_ROWS = 12


@dataclass(frozen=True, slots=True)
class FilterBank:
    """The weights from one rate to another.

    Parameters
    ----------
    block_in, block_out : int > 0
        Samples after which the weights repeat.
    rows : int > 0
        Blocks of a unit.
    half : int > 0
        Input samples on either side that an output sample depends on.
    stride : int > 0
        Input samples from one group's first weight to the next one's.
    weights : np.ndarray [shape=(groups, taps, GROUP), float32]
        Of the input samples from `half` before the block on.
    """

    block_in: int
    block_out: int
    rows: int
    half: int
    stride: int
    weights: NDArray[np.float32]


@lru_cache(maxsize=16)
def filter_bank(rate_in: int, rate_out: int) -> FilterBank | None:
    """Return the weights for two rates; None where they repeat too late.

    Parameters
    ----------
    rate_in, rate_out : int > 0
        Samples per second.
    """
    common = gcd(rate_in, rate_out)
    step_in, step_out = rate_in // common, rate_out // common
    low = min(rate_in, rate_out) / 2
    width = low * (1 - PASS) * (2 if rate_out < rate_in else 1)
    cutoff = low if rate_out < rate_in else low * (1 + PASS) / 2
    half = ceil((STOP_DB - 7.95) / (2.285 * 2 * pi * width / rate_in) / 2)
    smallest = lcm(step_out, GROUP)
    for block_out in range(smallest * ceil(_BLOCK / smallest), _MAX_BLOCK + 1, smallest):
        block_in = block_out // step_out * step_in
        groups, stride = block_out // GROUP, GROUP * block_in // block_out
        last = block_in * (block_out - 1) // block_out + 1 - stride * (groups - 1)
        taps = 2 * half + 1 + last
        # Rows of a matrix in memory may not overlap more than this for BLAS to take them.
        if taps <= block_in:
            distance = _distances(block_in, block_out, stride, taps, half)
            weights = _weights(distance, 2 * cutoff / rate_in, half)
            rows = _ROWS if _ROWS * block_out <= _MAX_UNIT else max(round(_UNIT / block_out), 1)
            return FilterBank(block_in, block_out, rows, half, stride, weights)
    return None


def _distances(
    block_in: int, block_out: int, stride: int, taps: int, half: int
) -> NDArray[np.float64]:
    """Return how far each weight's input lies behind its output, in samples of the input."""
    first = stride * np.arange(block_out // GROUP)[:, None, None]
    centres = np.arange(block_out).reshape(-1, 1, GROUP) * (block_in / block_out)
    return first - half + np.arange(taps)[:, None] - centres


def _weights(distance: NDArray[np.float64], cutoff: float, half: int) -> NDArray[np.float32]:
    """Return the weights of a sinc with Kaiser's window; those of a sample add up to 1."""
    beta = 0.1102 * (STOP_DB - 8.7)
    inside = np.clip(1 - (distance / half) ** 2, 0, None)
    weights = np.sinc(cutoff * distance) * np.i0(beta * np.sqrt(inside)) * (inside > 0)
    scaled: NDArray[np.float32] = (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)
    return scaled


class PolyphaseResampler:
    """Mono float32 at one rate to mono float32 at another, with the same bits from any beginning.

    Parameters
    ----------
    bank : FilterBank
        Of the two rates.
    start : int >= 0
        Index of the first sample in, counted from the station's sample 0; an output sample
        coincides with it.
    """

    def __init__(self, bank: FilterBank, start: int) -> None:
        self._bank = bank
        self._held = np.zeros(0, np.float32)
        self._at = start  # index of the first sample held
        self._next = start * bank.block_out // bank.block_in  # output sample

    def push(self, samples: NDArray[np.float32], *, last: bool = False) -> NDArray[np.float32]:
        """Take the next samples; return those that they complete.

        Parameters
        ----------
        samples : np.ndarray [shape=(n,), float32]
            Finite; may be empty.
        last : bool
            Whether the stream ends here. What came then has given its own length.

        Returns
        -------
        np.ndarray [shape=(m,), float32]
            All output samples with `half` samples of input behind them, at the end all.
        """
        bank = self._bank
        end = self._at + len(self._held) + len(samples)
        if last:
            stop = rescale(end, bank.block_in, bank.block_out)
        else:
            stop = -((bank.half - end) * bank.block_out // bank.block_in)
        if stop <= self._next:
            self._held = np.concatenate([self._held, samples])
            return np.zeros(0, np.float32)
        unit_in, unit_out = bank.rows * bank.block_in, bank.rows * bank.block_out
        first, after = self._next // unit_out, -(-stop // unit_out)
        groups, taps, _ = bank.weights.shape
        origin = first * unit_in - bank.half
        reach = (after - first) * unit_in + (groups - 1) * bank.stride + taps - bank.block_in
        line = self._laid_out(samples, origin, max(reach, end - origin))
        sums = np.empty((after - first, bank.rows, groups, GROUP), np.float32)
        joined = _joined(bank) if after - first >= _JOINED else 1
        whole = (after - first) // joined * joined
        _multiply(bank, line, sums[:whole], joined)
        _multiply(bank, line[whole * unit_in :], sums[whole:], 1)
        front = first * unit_out
        out: NDArray[np.float32] = sums.reshape(-1)[self._next - front : stop - front]
        self._next = stop
        needed = max(stop // unit_out * unit_in - bank.half, self._at)
        self._held = line[needed - origin : end - origin].copy()
        self._at = needed
        return out

    def _laid_out(self, samples: NDArray[np.float32], origin: int, n: int) -> NDArray[np.float32]:
        """Return the `n` samples of the input from `origin` on, zero where there are none."""
        line = np.empty(n, np.float32)
        a = self._at - origin
        b = a + len(self._held)
        c = b + len(samples)
        line[:a] = 0
        line[a:b] = self._held
        line[b:c] = samples
        line[c:] = 0
        return line


def _multiply(
    bank: FilterBank, line: NDArray[np.float32], sums: NDArray[np.float32], joined: int
) -> None:
    """Write the sums of consecutive units, `joined` of them at a time.

    Parameters
    ----------
    line : np.ndarray [shape=(n,), float32]
        The input, from the first unit's first weight on.
    sums : np.ndarray [shape=(units, rows, groups, GROUP), float32]
        Where they go; a multiple of `joined`.
    """
    groups, taps, _ = bank.weights.shape
    rows = joined * bank.rows
    products = len(sums) // joined
    windows = np.ndarray(
        (products, groups, rows, taps),
        np.float32,
        line,
        strides=(4 * rows * bank.block_in, 4 * bank.stride, 4 * bank.block_in, 4),
    )
    out = sums.reshape(products, rows, groups, GROUP)
    np.matmul(windows, bank.weights, out=out.transpose(0, 2, 1, 3))


_JOINS: dict[tuple[int, ...], int] = {}  # by what the shape of a product depends on


def _joined(bank: FilterBank) -> int:
    """Return how many units one product may hold on this machine without another bit."""
    kind = (bank.rows, bank.block_in, bank.stride, *bank.weights.shape)
    if kind not in _JOINS:
        groups, taps, _ = bank.weights.shape
        rows = _JOINED * bank.rows
        n = rows * bank.block_in + (groups - 1) * bank.stride + taps
        line = np.random.default_rng(0).uniform(-1, 1, n).astype(np.float32)
        apart, together = np.empty((2, _JOINED, bank.rows, groups, GROUP), np.float32)
        _multiply(bank, line, apart, 1)
        _multiply(bank, line, together, _JOINED)
        _JOINS[kind] = _JOINED if np.array_equal(apart, together) else 1
    return _JOINS[kind]
