"""A second of audio in all its channels, measured."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from stream.decoding.channels import MAX_CHANNELS
from stream.decoding.damage import MAX_SAMPLE
from stream.levels.k_weighting import BLOCKS_PER_S, block_edges, block_sums, k_weighting
from stream.levels.repetition import MARK, marks_of, peaks_of
from stream.levels.true_peak import oversampling, true_peak
from stream.stages.mono import mean

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

FULL_SCALE = 32_767 / 32_768  # the greatest value of 16 bits: no sample can be beyond
MIN_CLIPPED = 3  # samples in a row at full scale; one alone may be there by chance
_FEW = 512  # samples of a second that are compared before all are
_SURROUND = 1.41  # of loudspeakers at the sides, by BS.1770; bass has no weight
# By the number of channels up to MAX_CHANNELS, in the order of FFmpeg and WAV. With more, their
# mean is measured.
_WEIGHTS = {
    4: (1.0, 1.0, _SURROUND, _SURROUND),
    5: (1.0, 1.0, 1.0, _SURROUND, _SURROUND),
    6: (1.0, 1.0, 1.0, 0.0, _SURROUND, _SURROUND),
    7: (1.0, 1.0, 1.0, 0.0, 1.0, _SURROUND, _SURROUND),
    8: (1.0, 1.0, 1.0, 0.0, 1.0, 1.0, _SURROUND, _SURROUND),
}


@dataclass(frozen=True, slots=True)
class Second:
    """What was measured of a second, or of a part of one.

    Parameters
    ----------
    start, n : int
        Its first sample from the station's sample 0, and how many it has.
    powers : list of float
        Mean square of each channel.
    product : float
        Mean of left times right; 0 where there is one channel.
    weighted : list of float
        Mean square behind K-weighting, added over the channels as BS.1770 says, of each whole tenth
        of a second.
    peak : float
        The true peak, at least the one that was given.
    clipped : int
        Samples of all channels that lie in a row at full scale.
    silent : int
        Tenths of a second without any sample but 0.
    marks : list of int
        See `stream.levels.repetition`; none of silence and of parts of a second.
    """

    start: int
    n: int
    powers: list[float]
    product: float
    weighted: list[float]
    peak: float
    clipped: int
    silent: int
    marks: list[int]


class Meter:
    """Collects audio of one kind, and measures it second by second.

    Seconds lie on multiples of the rate from the station's sample 0. What is measured is a function
    of the second's samples and of 0.1 s before it, however it came.

    Parameters
    ----------
    channels : int > 0
        How many there are.
    rate : int > 0
        Samples per second.
    start : int >= 0
        Index of the first sample.
    """

    def __init__(self, channels: int, rate: int, start: int) -> None:
        self.rate = rate
        self.channels = channels = channels if channels <= MAX_CHANNELS else 1
        self._weighting = k_weighting(rate)
        self._history = self._weighting.history
        self._samples = np.zeros((channels, self._history + rate), np.float32)
        self._second = start // rate * rate  # first sample of the second that is collected
        self._begin = self._end = start - self._second  # what of it is there
        self._of_channels = np.array(_WEIGHTS.get(channels, (1.0,) * channels))

    @property
    def start(self) -> int:
        """First sample that is not measured yet."""
        return self._second + self._begin

    @property
    def end(self) -> int:
        """The sample after the last that came."""
        return self._second + self._end

    @property
    def history(self) -> int:
        """Samples before `start` that the result depends on."""
        return self._history

    @property
    def is_full(self) -> bool:
        """Whether a second is complete."""
        return self._end == self.rate

    def take(self, samples: NDArray[np.float32]) -> int:
        """Take the next samples up to the end of the second; return how many.

        Parameters
        ----------
        samples : np.ndarray [shape=(n,) or (n, channels), float32]
            Channels that lie apart in memory are taken fastest.
        """
        n = min(self.rate - self._end, len(samples))
        at = self._history + self._end
        part = samples[:n]
        if part.ndim > 1 and part.shape[1] > MAX_CHANNELS:
            part = mean(part)
        self._samples[:, at : at + n] = part.T
        self._end += n
        return n

    def measure(self, peak: float) -> Second:
        """Return what is measured of what came, and go on behind it.

        Parameters
        ----------
        peak : float >= 0
            Only peaks above it are looked for.
        """
        rate, history = self.rate, self._history
        begin, end = self._begin, self._end
        if end < rate:
            self._samples[:, history + end :] = 0
        # Left equals right in much of what is broadcast: then one of them is measured.
        same = 2 if self.channels == 2 and _are_equal(*self._samples) else 1
        samples = self._samples[: self.channels // same]
        magnitudes = np.abs(samples)
        peaks = peaks_of(magnitudes[:, history:])
        if not all(value <= MAX_SAMPLE for half in peaks for value, _ in half):  # NaN is not
            _mend(self._samples)
            magnitudes = np.abs(samples)
            peaks = peaks_of(magnitudes[:, history:])
        highest = max(value for half in peaks for value, _ in half)
        sums = block_sums(samples[:, history:])
        n = end - begin
        totals = sums.sum(axis=1) / max(n, 1)
        edges = block_edges(rate)
        whole = [i for i in range(BLOCKS_PER_S) if begin <= edges[i] and edges[i + 1] <= end]
        result = Second(
            start=self.start,
            n=n,
            powers=totals.tolist() * same,
            product=self._product(max(n, 1)),
            weighted=self._weighted(samples, whole, edges, same) if whole else [],
            peak=self._peak(samples, magnitudes, max(peak, highest), is_long=bool(whole)),
            clipped=same * self._clipped(magnitudes) if highest >= FULL_SCALE else 0,
            silent=int((sums.sum(axis=0)[whole] == 0).sum()) if whole else 0,
            marks=marks_of(self._samples[:, history - MARK :], peaks) if n == rate else [],
        )
        self._go_on()
        return result

    def _product(self, n: int) -> float:
        if self.channels == 1:
            return 0.0
        second = self._samples[:, self._history :]
        return float(np.dot(second[0], second[1])) / n

    def _weighted(
        self, samples: NDArray[np.float32], whole: Sequence[int], edges: Sequence[int], same: int
    ) -> list[float]:
        filtered = self._weighting.filtered(samples)[:, self._history :]
        sums = same * self._of_channels[: len(samples)] @ block_sums(filtered)
        return [float(sums[i]) / (edges[i + 1] - edges[i]) for i in whole]

    def _peak(
        self,
        samples: NDArray[np.float32],
        magnitudes: NDArray[np.float32],
        peak: float,
        *,
        is_long: bool,
    ) -> float:
        if not is_long or peak == 0:
            return peak
        return true_peak(samples, magnitudes, self._history, oversampling(self.rate), peak)

    def _clipped(self, magnitudes: NDArray[np.float32]) -> int:
        full = magnitudes >= FULL_SCALE
        first = full[:, :-2] & full[:, 1:-1] & full[:, 2:]
        in_row = np.zeros_like(full)
        for shift in range(MIN_CLIPPED):
            in_row[:, shift : shift + first.shape[1]] |= first
        return int(np.count_nonzero(in_row[:, self._history :]))

    def _go_on(self) -> None:
        self._second += self._end // self.rate * self.rate
        if self._end == self.rate:
            self._samples[:, : self._history] = self._samples[:, -self._history :]
            self._begin = self._end = 0
        else:  # nothing follows: the audio, or its kind, ends here
            self._begin = self._end


def _are_equal(left: NDArray[np.float32], right: NDArray[np.float32]) -> bool:
    """Return whether two channels are equal; most that are not differ in a few samples."""
    return bool((left[-_FEW:] == right[-_FEW:]).all()) and bool((left == right).all())


def _mend(samples: NDArray[np.float32]) -> None:
    """Replace samples that are not finite by silence, and limit the others."""
    np.nan_to_num(samples, copy=False, nan=0.0, posinf=0.0, neginf=0.0)
    np.clip(samples, -MAX_SAMPLE, MAX_SAMPLE, out=samples)
