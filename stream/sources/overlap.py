"""Find the position of repeated audio after a reconnection.

A server repeats its last seconds on a new connection. The end of the known audio and the beginning
of the new audio are then equal over some length. A jingle that is played twice does not look like
that, because both pieces begin and end at arbitrary positions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from stream.polyphase import PolyphaseResampler, filter_bank

if TYPE_CHECKING:
    from numpy.typing import NDArray

MIN_OVERLAP_S = 0.3  # less is no proof
_CANDIDATE = 0.6  # correlation, at the lower rate, of positions that are compared exactly
_MAX_PLACES = 20  # this many of the best, and of the nearest to the expected position
_COMPARED_S = 3  # of them
_MIN_CORRELATION = 0.95  # correlation of equal audio, decoded again from its middle
_MARGIN = 0.02  # audio with a correlation lower by this is other audio
_NEAR_S = 2.0  # of several positions, the one this close to the expected one is used
_QUIET = 1e-7  # mean square; silence is like all silence
_BAND_HZ = 4_000  # whose half is about the highest note that is compared; AAC's noise is above it
_COARSE_RATE = 8_000  # samples per second of the search; the result is exact


def find_overlap(
    known: NDArray[np.float32],
    new: NDArray[np.float32],
    rate: int,
    expected: int | None = None,
) -> int | None:
    """Return the position of `new` in `known`.

    Parameters
    ----------
    known : np.ndarray [shape=(n,), float32]
        Audio received last.
    new : np.ndarray [shape=(m,), float32]
        Audio received after it, which may begin before `known`.
    rate : int > 0
        Samples per second of both.
    expected : int, optional
        Position by the clock, in samples from the beginning of `known`. It decides if audio
        repeats itself, as tones and loops do.

    Returns
    -------
    int or None
        Index of the first sample of `new`, from the beginning of `known`; negative if `new` begins
        before it. None if they have nothing in common, or several positions match.
    """
    factor = max(rate // _COARSE_RATE, 1)
    shortest = max(round(MIN_OVERLAP_S * rate / factor), 2)
    if min(len(known), len(new)) < shortest * factor:
        return None
    a, b = _coarse(known, factor), _coarse(new, factor)
    correlation = _correlations(a, b, shortest)
    near = None if expected is None else expected // factor + len(b) - 1
    places = [(place - (len(b) - 1)) * factor for place in _places(correlation, near)]
    exact = [_exact(known, new, place, rate, factor) for place in places]
    best = max((fit for fit, _ in exact), default=0.0)
    starts = [start for fit, start in exact if fit >= max(_MIN_CORRELATION, best - _MARGIN)]
    if len(starts) == 1:
        return starts[0]
    if not starts or expected is None:
        return None
    nearest = min(starts, key=lambda start: abs(start - expected))
    return nearest if abs(nearest - expected) <= _NEAR_S * rate else None


def _coarse(samples: NDArray[np.float32], factor: int) -> NDArray[np.float32]:
    """Return audio at a lower rate, without its lowest notes, which are in all music."""
    if factor == 1:
        return np.diff(samples, prepend=np.float32(0))
    bank = filter_bank(factor, 1)
    assert bank is not None
    low = PolyphaseResampler(bank, 0).push(samples, last=True)
    # Nor its highest ones: the search has steps of `factor` samples.
    return np.convolve(low, np.array([1, 2, 0, -2, -1], np.float32), "same")


def _correlations(
    a: NDArray[np.float32], b: NDArray[np.float32], shortest: int
) -> NDArray[np.float64]:
    """Return the normalised correlation of what overlaps, for every place of `b` along `a`.

    Place k puts the first sample of `b` at ``k - (len(b) - 1)`` of `a`. It is 0 where they overlap
    by less than `shortest`, and where either is silent.
    """
    n = len(a) + len(b) - 1
    fast = 1 << (n - 1).bit_length()
    spectra = np.fft.rfft(a.astype(np.float64), fast) * np.fft.rfft(
        b[::-1].astype(np.float64), fast
    )
    products = np.fft.irfft(spectra, fast)[:n]
    start = np.arange(n) - (len(b) - 1)
    low, high = np.maximum(start, 0), np.minimum(start + len(b), len(a))
    length = high - low
    energy_a = np.concatenate([[0.0], np.cumsum(a.astype(np.float64) ** 2)])
    energy_b = np.concatenate([[0.0], np.cumsum(b.astype(np.float64) ** 2)])
    of_a = energy_a[high] - energy_a[low]
    of_b = energy_b[high - start] - energy_b[low - start]
    sound = (length >= shortest) & (np.minimum(of_a, of_b) > _QUIET * length)
    correlation = np.zeros(n)
    correlation[sound] = products[sound] / np.sqrt(of_a[sound] * of_b[sound])
    return correlation


def _places(correlation: NDArray[np.float64], expected: int | None) -> list[int]:
    """Return the positions to compare exactly: the best of each run of candidates."""
    good = np.flatnonzero(correlation >= _CANDIDATE)
    if not len(good):
        return []
    runs = np.split(good, np.flatnonzero(np.diff(good) > 1) + 1)
    places = [int(run[np.argmax(correlation[run])]) for run in runs]
    chosen = sorted(places, key=lambda place: -correlation[place])[:_MAX_PLACES]
    if expected is not None:
        chosen += sorted(places, key=lambda place: abs(place - expected))[:_MAX_PLACES]
    return sorted(set(chosen))


def _band(samples: NDArray[np.float32], rate: int) -> NDArray[np.float32]:
    """Return audio without its lowest notes, and without noise that decoders synthesise."""
    width = max(rate // _BAND_HZ, 1)
    sums = np.cumsum(samples, dtype=np.float64)
    low = (sums[width:] - sums[:-width]) / width
    band: NDArray[np.float32] = (low[width:] - low[:-width]).astype(np.float32)
    return band


def _exact(
    known: NDArray[np.float32], new: NDArray[np.float32], start: int, rate: int, factor: int
) -> tuple[float, int]:
    """Return the correlation of `new` at the best position near `start`, and that position."""
    reach = factor if factor > 1 else 0
    high = min(start + len(new), len(known)) - reach - 1
    low = max(start + reach, 0, high - _COMPARED_S * rate)
    if high - low < MIN_OVERLAP_S * rate / 2:
        return 0.0, start
    part = _band(known[low:high], rate)
    energy = float(np.dot(part, part))
    best = 0.0, start
    for at in range(start - reach, start + reach + 1):
        other = _band(new[low - at : high - at], rate)
        norm = np.sqrt(energy * float(np.dot(other, other)))
        if norm > _QUIET * len(part):
            best = max(best, (float(np.dot(part, other)) / norm, at))
    return best
