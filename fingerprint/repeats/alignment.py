"""Runs: how far a stretch of peaks agrees with an earlier one at a fixed lag.

The peaks of a block are laid over those of `lag` frames before. Each peak adds evidence: much if it
has a partner where the earlier block has few peaks of that frequency and at that time, little if a
partner is likely by chance, and a negative amount without a partner. A tone and a hum have peaks at
one frequency all the time, and a drum has peaks at all frequencies at once: there a partner counts
nearly nothing.

Evidence is summed in cells of 8 frames (128 ms), each limited, so that one drum beat on another
counts little. A run is a span of cells with a maximum sum. It ends where the sum has dropped by
`DROP` from its maximum, so it continues over seconds in which a voice covers the sound.

All sums are integers. A run that is continued block by block, or after a restart, is the run that
is found at once.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from fingerprint.settings import HOP, N_BINS, SAMPLE_RATE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

BLOCK = 1280  # frames, 20.48 s
CELL = 8  # frames, 128 ms
BLOCK_CELLS = BLOCK // CELL
MIN_LENGTH = round(2.8 * SAMPLE_RATE / HOP)  # frames: pieces of 3 s, found within a cell or two
MAX_LENGTH = 90 * BLOCK  # frames, half an hour: a longer run is cut, and another one follows

_FRAMES = BLOCK + 2  # of the earlier block: one more at each end
_UNIT = 16  # of the integer sums, in nats
_HIT = 0.33  # probability that a peak is found again in a copy, over what chance gives
_MAX_CHANCE = 0.9
_CELL_MIN, _CELL_MAX = -3 * _UNIT, 6 * _UNIT
DROP = 60 * _UNIT
_MIN_SCORE = 50 * _UNIT
# A run whose peaks also agree with another lag near by to this part is a rhythm or a loop.
_MAX_WRONG = 0.67
_WRONG = np.array([way * away for away in range(12, 372, 6) for way in (-1, 1)])
_PROBED = 30 * SAMPLE_RATE // HOP  # frames of a run that are tested for a rhythm
_MIN_SHARE = 0.12  # of the peaks of a run that have a partner, over what the wrong lags have

Peaks = tuple["NDArray[np.int64]", "NDArray[np.int64]"]  # frames, ascending, and bins


def _tables() -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the evidence of a partner, and of none, by the expected number of peaks, in quarters.

    Expected are as many peaks of that frequency in a block, if all of it was as dense as here.
    """
    number = np.maximum(np.arange(4 * _FRAMES + 1) / 4, 0.5)
    chance = np.clip(3 * number / _FRAMES, 0, _MAX_CHANCE)
    hit = _HIT + (1 - _HIT) * chance
    gain = np.rint(_UNIT * np.log(hit / chance))
    loss = np.rint(_UNIT * np.log((1 - hit) / (1 - chance)))
    return gain.astype(np.int64), loss.astype(np.int64)


_GAIN, _LOSS = _tables()


@dataclass(frozen=True, slots=True)
class Cells:
    """The agreement of one block with the audio `lag` frames before, by cells.

    Parameters
    ----------
    score, hits, peaks : np.ndarray [shape=(BLOCK_CELLS,), int64]
        Evidence, peaks with a partner, and peaks.
    """

    score: NDArray[np.int64]
    hits: NDArray[np.int64]
    peaks: NDArray[np.int64]


def compare(here: Peaks, there: Peaks, first: int, lag: int) -> Cells:
    """Return how the peaks of a block agree with those `lag` frames before.

    Parameters
    ----------
    here : Peaks
        Those in [first, first + BLOCK).
    there : Peaks
        Those in [first - lag - 1, first - lag + BLOCK + 1).
    first : int
        First frame of the block.
    lag : int > 0
        Frames.
    """
    frame, bin_ = here
    cell = (frame - first) // CELL
    peaks = np.bincount(cell, minlength=BLOCK_CELLS)
    hit = _has_partner(frame - first, bin_, there[0] - (first - lag), there[1], BLOCK)
    by_bin = np.bincount(there[1], minlength=N_BINS)
    like = np.convolve(by_bin, (1, 1, 1), "same")[bin_]
    by_frame = np.bincount(there[0] - (first - lag) + 1, minlength=_FRAMES)
    now = np.convolve(by_frame, (1, 1, 1), "same")[frame - first + 1]
    # Three frames have 3 / _FRAMES of all peaks on average.
    number = 4 * like * now * _FRAMES // max(3 * len(there[0]), 1)
    number = np.clip(number, like, 4 * _FRAMES)
    evidence = np.where(hit, _GAIN[number], _LOSS[number])
    score = np.bincount(cell, weights=evidence, minlength=BLOCK_CELLS).astype(np.int64)
    hits = np.bincount(cell[hit], minlength=BLOCK_CELLS)
    return Cells(np.clip(score, _CELL_MIN, _CELL_MAX), hits, peaks)


def _has_partner(
    frame: NDArray[np.int64],
    bin_: NDArray[np.int64],
    other_frame: NDArray[np.int64],
    other_bin: NDArray[np.int64],
    frames: int,
) -> NDArray[np.bool_]:
    """Return for each peak whether another one is at most a frame and a bin away."""
    near = _partner_map(other_frame, other_bin, frames)
    found: NDArray[np.bool_] = near[(frame + 2) * (N_BINS + 2) + bin_ + 1]
    return found


def _partner_map(
    frame: NDArray[np.int64], bin_: NDArray[np.int64], frames: int
) -> NDArray[np.bool_]:
    """Return a map of the cells around peaks in [-1, frames + 1), row by row."""
    width = N_BINS + 2
    found = np.zeros((frames + 4) * width, bool)
    at = (frame + 2) * width + bin_ + 1
    for row in (-width, 0, width):
        for column in (-1, 0, 1):
            found[at + (row + column)] = True
    return found


@dataclass(frozen=True, slots=True)
class Run:
    """A stretch that agrees with the one `lag` frames before; all in frames of the station.

    Parameters
    ----------
    lag : int > 0
        Frames from the earlier stretch to this one.
    start, end : int
        This stretch, half-open.
    score : int
        Evidence, in sixteenths of a nat.
    hits, peaks : int
        Peaks that have a partner, and all peaks.
    """

    lag: int
    start: int
    end: int
    score: int
    hits: int
    peaks: int

    @property
    def share(self) -> float:
        """Part of the peaks that have a partner, 0 to 1."""
        return self.hits / max(self.peaks, 1)

    @property
    def length(self) -> int:
        """Frames."""
        return self.end - self.start


@dataclass(frozen=True, slots=True)
class OpenRun:
    """A run that may still grow.

    Parameters
    ----------
    run : Run
        Up to where its sum is largest.
    score, hits, peaks : int
        Sums up to the end of the last block, where the run may have lost some of its evidence.
    """

    run: Run
    score: int
    hits: int
    peaks: int

    def follow(self, first: int, cells: Cells) -> tuple[OpenRun, bool]:
        """Return the run after one more block that begins at `first`, and whether it ended."""
        total = self.score + np.cumsum(cells.score)
        largest = np.maximum.accumulate(np.maximum(total, self.run.score))
        fallen = np.flatnonzero(largest - total > DROP)
        stop = int(fallen[0]) + 1 if len(fallen) else len(total)
        hits = self.hits + np.cumsum(cells.hits)
        peaks = self.peaks + np.cumsum(cells.peaks)
        best, run = int(total[:stop].argmax()), self.run
        if total[best] > run.score:
            end = first + (best + 1) * CELL
            run = replace(
                run, end=end, score=int(total[best]), hits=int(hits[best]), peaks=int(peaks[best])
            )
        return OpenRun(run, int(total[-1]), int(hits[-1]), int(peaks[-1])), bool(len(fallen))


def grow(
    lag: int,
    number: int,
    cells_of: Callable[[int, int], Cells | None],
) -> tuple[OpenRun, bool] | None:
    """Return the run at a lag that touches block `number` or the one before, and whether it ended.

    Parameters
    ----------
    lag : int
        Frames.
    number : int
        Block; later ones are not there yet.
    cells_of : callable
        Returns the agreement of a block at a lag; None where there is no audio.

    Returns
    -------
    tuple of OpenRun and bool, or None
        None if nothing agrees there.
    """
    begin = number - 1
    before, last = cells_of(begin, lag), cells_of(number, lag)
    if last is None:
        return None
    if before is None:
        begin, score = number, last.score
    else:
        score = np.concatenate([before.score, last.score])
    start, end = _best_span(score)
    if int(score[start:end].sum()) < _MIN_SCORE // 2:
        return None
    # Backwards from the core's end, then forwards from there: the sums are those of one pass.
    first = _reach_back(lag, begin * BLOCK_CELLS + end, cells_of)
    open_run = OpenRun(Run(lag, first * CELL, first * CELL, 0, 0, 0), 0, 0, 0)
    for block in range(first // BLOCK_CELLS, number + 1):
        cells = cells_of(block, lag)
        if cells is None:
            return open_run, True
        skip = max(first - block * BLOCK_CELLS, 0)
        part = Cells(cells.score[skip:], cells.hits[skip:], cells.peaks[skip:])
        open_run, ended = open_run.follow(block * BLOCK + skip * CELL, part)
        if ended:
            return open_run, True
    return open_run, False


def _reach_back(lag: int, end: int, cells_of: Callable[[int, int], Cells | None]) -> int:
    """Return the first cell of the run that ends before cell `end`."""
    total = largest = 0
    first = end
    for block in _blocks_back(end):
        cells = cells_of(block, lag)
        if cells is None:
            break
        score = cells.score[: end - block * BLOCK_CELLS][::-1]
        sums = total + np.cumsum(score)
        tops = np.maximum.accumulate(np.maximum(sums, largest))
        fallen = np.flatnonzero(tops - sums > DROP)
        stop = int(fallen[0]) + 1 if len(fallen) else len(sums)
        best = int(sums[:stop].argmax())
        if sums[best] > largest:
            largest = int(sums[best])
            first = min(end, (block + 1) * BLOCK_CELLS) - best - 1
        if len(fallen):
            break
        total = int(sums[-1])
    return first


def _blocks_back(end: int) -> Iterator[int]:
    last = (end - 1) // BLOCK_CELLS
    yield from range(last, last - MAX_LENGTH // BLOCK, -1)


def _best_span(score: NDArray[np.int64]) -> tuple[int, int]:
    """Return the span of cells with the largest sum, half-open."""
    total = np.concatenate([[0], np.cumsum(score)])
    lowest = np.minimum.accumulate(total)
    end = int((total - lowest).argmax())
    return int(total[: end + 1].argmin()), end


def is_repeat(run: Run, peaks: Callable[[int, int], Peaks]) -> bool:
    """Return whether a run is long and certain enough, and agrees at its own lag only.

    Two pieces with the same beat agree at every lag of a beat; a loop agrees with itself at every
    turn. Both have as many partners at other lags near by.

    Parameters
    ----------
    run : Run
        The run.
    peaks : callable
        Returns the peaks between two frames.
    """
    if run.length < MIN_LENGTH or run.score < _MIN_SCORE:
        return False
    middle = (run.start + run.end) // 2
    start = max(run.start, middle - _PROBED // 2)
    end = min(run.end, middle + _PROBED // 2)
    frame, bin_ = peaks(start, end)
    if not len(frame):
        return False
    reach = int(_WRONG.max()) + 1
    there = peaks(start - run.lag - reach, end - run.lag + reach)
    found = _partner_map(there[0] - (start - run.lag) + reach, there[1], end - start + 2 * reach)
    at = (frame - start + reach + 2) * (N_BINS + 2) + bin_ + 1
    right = int(found[at].sum())
    wrong = found[at + (_WRONG * (N_BINS + 2))[:, None]].sum(axis=1)
    over = (right - float(wrong.mean())) / len(frame)
    return int(wrong.max()) < _MAX_WRONG * right and over >= _MIN_SHARE
