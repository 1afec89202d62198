"""Pairs of landmarks, and the hash keys by which an index is sorted.

A pair is an anchor landmark and a later one near it. Its hash key packs the anchor's bin, the step
to the other's bin, and the frames between. A key does not depend on level or on the place in the
track; a change of speed or pitch adds a constant to the anchor's bin.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from fingerprint.settings import FAN_OUT_STORED, HOP, STORED_RANK

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fingerprint.analysis.landmarks import Landmarks

# The key, from its low bits: bin of the anchor, frames to the other, step in bins plus an offset.
# The anchor's bin is lowest, so that keys which differ by a shift in pitch lie side by side.
BIN_BITS = 8
TIME_BITS = 6
STEP_BITS = 7
KEYS = 2 ** (BIN_BITS + TIME_BITS + STEP_BITS)  # all values of a key

NO_KEY = np.uint32(2**32 - 1)  # no pair has this key

MAX_FRAMES = 2**TIME_BITS - 1  # 1 s
MAX_STEP = 2 ** (STEP_BITS - 1) - 1  # 63 bins, 1.75 octaves
_ANCHORS = 256  # paired at once
MIN_FRAMES = 2  # nearer landmarks often belong to one blurred event


def pack(
    bin_: NDArray[np.int64], step: NDArray[np.int64], frames: NDArray[np.int64]
) -> NDArray[np.uint32]:
    """Return hash keys.

    Parameters
    ----------
    bin_ : np.ndarray of int in [0, 2**BIN_BITS)
        Bin of the anchor.
    step : np.ndarray of int in [-MAX_STEP, MAX_STEP]
        Bins from the anchor up to the other.
    frames : np.ndarray of int in [0, MAX_FRAMES]
        Frames from the anchor to the other.
    """
    high = (step + MAX_STEP).astype(np.uint32) << np.uint32(BIN_BITS + TIME_BITS)
    middle = frames.astype(np.uint32) << np.uint32(BIN_BITS)
    key: NDArray[np.uint32] = high | middle | bin_.astype(np.uint32)
    return key


def unpack(
    key: NDArray[np.uint32],
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Return (bin, step, frames) of hash keys: the inverse of :func:`pack`."""
    wide = key.astype(np.int64)
    bin_ = wide & (2**BIN_BITS - 1)
    frames = (wide >> BIN_BITS) & (2**TIME_BITS - 1)
    step = (wide >> (BIN_BITS + TIME_BITS)) - MAX_STEP
    return bin_, step, frames


@dataclass(frozen=True, slots=True, eq=False)
class Pairs:
    """Pairs of a query, not rounded yet.

    Parameters
    ----------
    time : np.ndarray [shape=(n,), float32]
        Time of the anchor in frames, from the query's start.
    bin, other : np.ndarray [shape=(n,), float32]
        Bins of the anchor and of the other, to an eighth.
    frames : np.ndarray [shape=(n,), float32]
        Frames between them.
    """

    time: NDArray[np.float32]
    bin: NDArray[np.float32]
    other: NDArray[np.float32]
    frames: NDArray[np.float32]


def pair(
    time: NDArray[np.float32] | NDArray[np.int64],
    bin_: NDArray[np.float32] | NDArray[np.int64],
    fan_out: int,
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return (anchor, other): each landmark with the next `fan_out` ones within reach.

    Parameters
    ----------
    time : np.ndarray [shape=(n,)], ascending
        Times in frames.
    bin_ : np.ndarray [shape=(n,)]
        Bins.
    fan_out : int > 0
        Maximum number of pairs that start at one landmark.
    """
    if len(time) < 2:
        return np.empty(0, np.intp), np.empty(0, np.intp)
    last = np.searchsorted(time, time + (MAX_FRAMES - 1), side="right")
    found = []
    for start in range(0, len(time), _ANCHORS):
        anchor = np.arange(start, min(start + _ANCHORS, len(time)))[:, None]
        away = np.arange(1, max(int((last[anchor] - anchor).max()), 2))
        other = np.minimum(anchor + away, len(time) - 1)
        near = anchor + away < last[anchor]
        near &= time[other] - time[anchor] >= MIN_FRAMES
        near &= np.abs(bin_[other] - bin_[anchor]) <= MAX_STEP - 1
        near &= np.cumsum(near, axis=1, dtype=np.int16) <= fan_out
        row, column = np.nonzero(near)
        found.append((row + start, other[row, column]))
    anchors, others = zip(*found, strict=True)
    return np.concatenate(anchors), np.concatenate(others)


def stored_keys(
    frame: NDArray[np.int64], bin_: NDArray[np.int64]
) -> tuple[NDArray[np.uint32], NDArray[np.int64]]:
    """Return (keys, frames of the anchors) that an index stores for peaks on its grid."""
    anchor, other = pair(frame, bin_, FAN_OUT_STORED)
    keys = pack(bin_[anchor], bin_[other] - bin_[anchor], frame[other] - frame[anchor])
    return keys, frame[anchor]


def quantised(landmarks: Landmarks) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return (frames, bins) of the landmarks that an index stores, rounded to its grid."""
    strong = landmarks.strongest(STORED_RANK)
    frame = np.maximum((strong.time - landmarks.start + HOP // 2) // HOP, 0)
    return frame, np.rint(strong.bin).astype(np.int64)


def query_pairs(landmarks: Landmarks, rank: int, fan_out: int) -> Pairs:
    """Return the pairs of a query: `fan_out` from each landmark below `rank`."""
    strong = landmarks.strongest(rank)
    time = ((strong.time - landmarks.start) / HOP).astype(np.float32)
    anchor, other = pair(time, strong.bin, fan_out)
    return Pairs(time[anchor], strong.bin[anchor], strong.bin[other], time[other] - time[anchor])
