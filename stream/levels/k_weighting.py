"""The power of 0.1 s blocks behind the K-weighting of ITU-R BS.1770, at any rate.

K-weighting is a shelf of +4 dB above 1.7 kHz and a high-pass at 38 Hz, two recursive filters of the
second order. Their coefficients are computed for the rate from the analogue filters that the
standard's table for 48 kHz is made of, as libebur128 and FFmpeg do.

Numpy has no recursive filter, and a loop in Python takes a thousand times as long. So the two
filters are one system with four states, and a second of audio is three levels of matrix products::

    rows      of 24 samples: what they add to each other, and to the state behind them
    groups    of 16 rows: from what each row adds to the state before each row
    seconds   of groups: sums over 1, 2, 4, ... groups, until what is before does not matter

The states are such that white noise gives each the same power and no two anything in common: so no
state is a small difference of large ones, and float32 is enough.

Nothing is carried from second to second. A second is weighted together with the 0.1 s before it,
and what was before that is taken for silence. The high-pass forgets so fast that this is wrong by
less than `FORGOTTEN_DB` of what was there. So a restart that repeats 0.1 s repeats every bit.
"""

from __future__ import annotations

from functools import lru_cache
from itertools import pairwise
from math import lcm, pi, tan
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from stream.levels.true_peak import STRETCH

if TYPE_CHECKING:
    from numpy.typing import NDArray

BLOCKS_PER_S = 10
HISTORY_S = 0.1  # of audio before a second that its weighting depends on
FORGOTTEN_DB = -180.0  # of anything before that, what is left
# Samples of a row: fewer have more states, more have more products. And rows of a group.
ROW, _GROUP = 24, 16
_NOTHING = 1e-10  # -200 dB
_WHOLE = lcm(ROW, STRETCH)  # of the samples that are measured together

# The analogue filters (De Man, 2014): corner in Hz, Q, gain of the shelf in dB, and the exponent of
# that gain half-way up.
_SHELF_HZ, _SHELF_Q, _SHELF_DB, _SHELF_HALF = (
    1681.974450955533,
    0.7071752369554196,
    3.999843853973347,
    0.4996667741545416,
)
_HIGH_PASS_HZ, _HIGH_PASS_Q = 38.13547087602444, 0.5003270373238773
# At lower rates there is too little above the shelf's corner to be raised.
_MIN_SHELF_RATE = 4_000

Section = tuple[tuple[float, float, float], tuple[float, float, float]]


def sections(rate: int) -> list[Section]:
    """Return numerator and denominator of each second-order filter.

    Parameters
    ----------
    rate : int > 0
        Samples per second.
    """
    k = tan(pi * _HIGH_PASS_HZ / rate)
    norm = 1 + k / _HIGH_PASS_Q + k * k
    poles = (1.0, 2 * (k * k - 1) / norm, (1 - k / _HIGH_PASS_Q + k * k) / norm)
    # The standard leaves out this norm, which is 1.005 at 48 kHz. At lower rates it makes up for
    # the shelf, which begins higher there; without the shelf, it would only be wrong.
    gain = 1.0 if rate >= _MIN_SHELF_RATE else 1 / norm
    high_pass: Section = (gain, -2 * gain, gain), poles
    if rate < _MIN_SHELF_RATE:
        return [high_pass]
    k = tan(pi * _SHELF_HZ / rate)
    high = 10 ** (_SHELF_DB / 20)
    half = high**_SHELF_HALF
    norm = 1 + k / _SHELF_Q + k * k
    zeros = (
        (high + half * k / _SHELF_Q + k * k) / norm,
        2 * (k * k - high) / norm,
        (high - half * k / _SHELF_Q + k * k) / norm,
    )
    poles = (1.0, 2 * (k * k - 1) / norm, (1 - k / _SHELF_Q + k * k) / norm)
    return [(zeros, poles), high_pass]


class _System(NamedTuple):
    """x' = a x + b u, y = c x + d u."""

    a: NDArray[np.float64]
    b: NDArray[np.float64]
    c: NDArray[np.float64]
    d: float


class KWeighting:
    """The weighting at one rate.

    Parameters
    ----------
    rate : int > 0
        Samples per second.

    Attributes
    ----------
    history : int
        Samples before a second that `powers` needs: `HISTORY_S`, rounded up so that a second with
        its history has whole rows.
    """

    def __init__(self, rate: int) -> None:
        least = -(-rate // round(1 / HISTORY_S))
        self.rate = rate
        self.history = least + -(least + rate) % _WHOLE
        self._n_rows = (self.history + rate) // ROW
        self._n_groups = -(-self._n_rows // _GROUP)
        a, b, c, d = _system(rate)
        powers = [np.eye(len(b))]
        while len(powers) <= ROW:
            powers.append(powers[-1] @ a)
        response = np.array([d, *(c @ powers[n] @ b for n in range(ROW - 1))])
        lag = np.arange(ROW) - np.arange(ROW)[:, None]
        within = np.where(lag >= 0, response[np.abs(lag)], 0.0)
        self._within = within.astype(np.float32)
        self._adds = np.array([powers[ROW - 1 - n] @ b for n in range(ROW)], np.float32)
        self._rings = np.array([c @ powers[n] for n in range(ROW)], np.float32).T.copy()
        row = powers[ROW]
        self._states, self._adds_of_group, self._rings_of_group = _of_group(row)
        step, self._steps = np.linalg.matrix_power(row, _GROUP), list["NDArray[np.float32]"]()
        while 2 ** len(self._steps) < self._n_groups and np.abs(step).max() > _NOTHING:
            self._steps.append(step.T.astype(np.float32))
            step = step @ step

    def filtered(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return what is behind the filters.

        Parameters
        ----------
        samples : np.ndarray [shape=(channels, history + rate), float32]
            Finite, each channel in one piece.

        Returns
        -------
        np.ndarray [shape=(channels, history + rate), float32]
            The first `history` are not what they would be with all audio before them.
        """
        channels, order = len(samples), self._adds.shape[1]
        rows = samples.reshape(-1, ROW)
        added = np.zeros((channels, self._n_groups * _GROUP, order), np.float32)
        added[:, : self._n_rows] = (rows @ self._adds).reshape(channels, self._n_rows, order)
        grouped = added.reshape(-1, _GROUP * order)
        before = np.zeros((channels, self._n_groups, order), np.float32)  # states, of each group
        before[:, 1:] = (grouped @ self._adds_of_group).reshape(before.shape)[:, :-1]
        for number, step in enumerate(self._steps):
            before[:, 2**number :] += before[:, : -(2**number)] @ step
        states = grouped @ self._states
        states += before.reshape(-1, order) @ self._rings_of_group
        out = rows @ self._within
        of_rows = states.reshape(channels, -1, order)[:, : self._n_rows]
        out += of_rows.reshape(-1, order) @ self._rings
        return out.reshape(channels, -1)


@lru_cache(maxsize=16)
def k_weighting(rate: int) -> KWeighting:
    """Return the weighting at a rate; stations share it."""
    return KWeighting(rate)


def block_sums(samples: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the sum of squares in each tenth of a second of audio.

    Parameters
    ----------
    samples : np.ndarray [shape=(channels, rate), float32]
        A second.

    Returns
    -------
    np.ndarray [shape=(channels, BLOCKS_PER_S), float64]
        Tenths differ by a sample where the rate is no multiple of ten, see `block_edges`.
    """
    channels, rate = samples.shape
    if rate % BLOCKS_PER_S == 0:
        blocks = samples.reshape(channels, BLOCKS_PER_S, -1)
        sums: NDArray[np.float64] = np.vecdot(blocks, blocks).astype(np.float64)
        return sums
    edges = block_edges(rate)
    parts = [samples[:, a:b] for a, b in pairwise(edges)]
    return np.stack([np.vecdot(part, part) for part in parts], axis=1).astype(np.float64)


def block_edges(rate: int) -> list[int]:
    """Return where in a second its tenths begin, and its length."""
    return [tenth * rate // BLOCKS_PER_S for tenth in range(BLOCKS_PER_S + 1)]


def _system(rate: int) -> _System:
    """Return the filters in a row as one system with states of equal power."""
    a, b, c, d = np.zeros((0, 0)), np.zeros(0), np.zeros(0), 1.0
    for (b0, b1, b2), (_, a1, a2) in sections(rate):
        its_a = np.array([[-a1, 1.0], [-a2, 0.0]])
        its_b = np.array([b1 - a1 * b0, b2 - a2 * b0])
        its_c = np.array([1.0, 0.0])
        n = len(b)
        whole = np.zeros((n + 2, n + 2))
        whole[:n, :n], whole[n:, n:] = a, its_a
        whole[n:, :n] = np.outer(its_b, c)
        a, b = whole, np.concatenate([b, its_b * d])
        c, d = np.concatenate([b0 * c, its_c]), b0 * d
    # The power of the states for white noise: the sum over n of a^n b b' a'^n, by doubling.
    gramian, step = np.outer(b, b), a
    for _ in range(40):
        gramian, step = gramian + step @ gramian @ step.T, step @ step
    root = np.linalg.cholesky(gramian)
    return _System(np.linalg.solve(root, a @ root), np.linalg.solve(root, b), c @ root, d)


def _of_group(
    row: NDArray[np.float64],
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """Return the matrices of a group whose rows lead from state to state by `row`.

    From what each row adds to the states before each row, the same to the state behind the group,
    and from the state before the group to those before each row.
    """
    order = len(row)
    powers = [np.linalg.matrix_power(row, n).T for n in range(_GROUP)]
    states = np.zeros((_GROUP, order, _GROUP, order))
    for of in range(_GROUP):
        for before in range(of + 1, _GROUP):
            states[of, :, before] = powers[before - of - 1]
    return (
        states.reshape(_GROUP * order, -1).astype(np.float32),
        np.concatenate(powers[::-1]).astype(np.float32),
        np.concatenate(powers, axis=1).astype(np.float32),
    )
