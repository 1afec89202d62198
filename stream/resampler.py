"""One stream of samples from one rate to another.

soxr's streaming resampler is exact in both senses a stream needs: the samples that come out
are bit for bit the same however the input is cut, and equal to resampling all of it at once;
and their number is that of the input times the ratio of rates, with no drift. It keeps what
lies below 0.9 times the lower half rate (7.3 kHz at 16 kHz) unchanged, and has no delay: sample
k of the output is at k / rate_out seconds of the input, though up to about 640 output samples
(40 ms) are held back until the input they also depend on has come.
"""

from __future__ import annotations

from collections import deque
from math import gcd
from typing import TYPE_CHECKING, Literal

import numpy as np
import soxr

from airsift.errors import DecodeError
from stream.polyphase import PolyphaseResampler, filter_bank

if TYPE_CHECKING:
    from numpy.typing import NDArray

Quality = Literal["LQ", "MQ", "HQ", "VHQ"]


class Resampler:
    """Mono float32 at `rate_in` to mono float32 at `rate_out`.

    Parameters
    ----------
    rate_in, rate_out : int > 0
        Samples per second of what is pushed and of what is returned. Equal rates pass the
        samples through.
    quality : {"LQ", "MQ", "HQ", "VHQ"}
        soxr's quality. LQ is hardly faster than HQ.

    Raises
    ------
    DecodeError
        A rate is not positive.
    """

    def __init__(self, rate_in: int, rate_out: int, quality: Quality = "HQ") -> None:
        if rate_in <= 0 or rate_out <= 0:
            raise DecodeError(f"rates of {rate_in} and {rate_out} Hz: both must be positive")
        self.rate_in = rate_in
        self.rate_out = rate_out
        self._soxr = None
        if rate_in != rate_out:
            self._soxr = soxr.ResampleStream(rate_in, rate_out, 1, dtype="float32", quality=quality)

    def push(self, samples: NDArray[np.float32], *, last: bool = False) -> NDArray[np.float32]:
        """Take the next samples; return those at `rate_out` that they complete.

        Parameters
        ----------
        samples : np.ndarray [shape=(n,), float32]
            May be empty. One value that is not finite spoils what comes after it.
        last : bool
            Whether the stream ends here: what was held back is returned, and the resampler is
            as new. All pushes up to here then have returned n * rate_out / rate_in samples for
            n taken, rounded to the nearest, halves up.

        Returns
        -------
        np.ndarray [shape=(m,), float32]
            May be empty.
        """
        if self._soxr is None:
            return samples
        out: NDArray[np.float32] = self._soxr.resample_chunk(
            np.ascontiguousarray(samples, dtype=np.float32), last=last
        )
        if last:
            self._soxr.clear()
        return out


class GridResampler:
    """`Resampler` for a stream that must give the same bits wherever it was begun.

    It is for the few rates for which `stream.polyphase` has no weights; see `resampler_from`. soxr
    works in blocks from its beginning on, and a beginning elsewhere rounds differently. So a new
    resampler begins at every multiple of `PERIOD_S`. It gets the same samples as the one before
    it, and takes over after `WARM_UP_S`, when its beginning no longer matters::

        grid         |           |           |
        resamplers   ────────────────┘
                                 ....────────────┘
                                             ....────────

    Parameters
    ----------
    rate_in, rate_out : int > 0
        As for `Resampler`.
    start : int >= 0
        Index of the first sample in, counted from the grid's zero; an output sample coincides
        with it.
    """

    PERIOD_S = 2
    WARM_UP_S = 0.1

    def __init__(self, rate_in: int, rate_out: int, start: int) -> None:
        self.rate_in = rate_in
        self.rate_out = rate_out
        self._next = start
        self._parts: deque[_Part] = deque()
        self._begin_part(warm=True)

    @classmethod
    def begin_before(cls, sample: int, rate: int) -> int:
        """Return where to begin so that `sample` (of the output, at `rate`) has the same bits."""
        period = cls.PERIOD_S * rate
        return max(sample - round(cls.WARM_UP_S * rate), 0) // period * period

    def push(self, samples: NDArray[np.float32], *, last: bool = False) -> NDArray[np.float32]:
        """Take the next samples; return those that they complete. See `Resampler.push`."""
        if self.rate_in == self.rate_out:
            return samples
        period = self.PERIOD_S * self.rate_in
        warm_up = round(self.WARM_UP_S * self.rate_in)
        out: list[NDArray[np.float32]] = []
        while True:
            to_grid = period - self._next % period
            # In small pieces while there are two: the first goes as soon as it is not needed.
            n = to_grid if len(self._parts) == 1 else min(to_grid, warm_up)
            piece, samples = samples[:n], samples[n:]
            self._next += len(piece)
            ends = last and not len(samples)
            for part in self._parts:
                part.push(piece, last=ends)
            while self._parts[0].hand_on(out) and len(self._parts) > 1:
                self._parts.popleft()
            if len(piece) == to_grid and not ends:
                self._begin_part(warm=False)
            if not len(samples):
                return np.concatenate(out)

    def _begin_part(self, *, warm: bool) -> None:
        step = self.rate_in // gcd(self.rate_in, self.rate_out)
        at = self._next // step * (self.rate_out * step // self.rate_in)
        first = at
        if not warm:
            first += round(self.WARM_UP_S * self.rate_out)
            self._parts[-1].end = first
        self._parts.append(_Part(Resampler(self.rate_in, self.rate_out), at, first))


class _Part:
    """One resampler, and which of its samples count."""

    def __init__(self, resampler: Resampler, at: int, first: int) -> None:
        self._resampler = resampler
        self._at = at  # index of the first sample in `_out`
        self._first = first
        self._out: list[NDArray[np.float32]] = []
        self.end: int | None = None

    def push(self, samples: NDArray[np.float32], *, last: bool) -> None:
        self._out.append(self._resampler.push(samples, last=last))

    def hand_on(self, out: list[NDArray[np.float32]]) -> bool:
        """Move what counts to `out`; return whether that is all there will be."""
        for samples in self._out:
            stop = len(samples) if self.end is None else max(self.end - self._at, 0)
            out.append(samples[max(self._first - self._at, 0) : stop])
            self._at += len(samples)
        self._out.clear()
        return self.end is not None and self._at >= self.end


def resampler_from(rate_in: int, rate_out: int, start: int) -> GridResampler | PolyphaseResampler:
    """Return a resampler that gives the same bits wherever it begins.

    Parameters
    ----------
    rate_in, rate_out : int > 0
        As for `Resampler`.
    start : int >= 0
        Index of the first sample in, counted from the grid's zero; an output sample coincides
        with it.
    """
    bank = filter_bank(rate_in, rate_out) if rate_in != rate_out else None
    if bank is None:
        return GridResampler(rate_in, rate_out, start)
    return PolyphaseResampler(bank, start)
