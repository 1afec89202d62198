"""A simulated index of any size, with the key statistics of real music.

Peaks of real music are cut into blocks of two seconds. Random blocks from 80 s of music make a
track of four minutes, with repetitions. Each track is transposed by up to half an octave and
stretched by up to 5 %, so that list lengths and chance agreements are realistic. Transposition is
in semitones, because nearly all music has the same tuning, and thereby a third of the keys.
Further hours repeat every list with other positions.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fingerprint.analysis import hashes
from fingerprint.analysis.landmarks import Landmarks
from fingerprint.catalogue import Catalogue
from fingerprint.index import segment_file
from fingerprint.index.builder import SegmentBuilder, to_entries
from fingerprint.settings import BINS_PER_OCTAVE, HOP, N_BINS, SAMPLE_RATE

Peaks = tuple[NDArray[np.int64], NDArray[np.int64]]

_BLOCK = 128  # frames
_SONG = 40  # blocks that lie together, 80 s: the parts a track repeats
_TRACK = 15_000  # frames, four minutes
_FRAMES_AN_HOUR = 3600 * SAMPLE_RATE / HOP
_SEMITONE = BINS_PER_OCTAVE // 12
_TRANSPOSE = 6  # semitones
_STRETCH = 0.05
_AT_ONCE = 1_000_000


def simulated(music: list[Landmarks], hours: float, rng: np.random.Generator) -> list[Peaks]:
    """Return the peaks of simulated tracks."""
    frame, bin_, end = _line(music)
    starts = np.arange(0, end - _BLOCK, _BLOCK)
    low = np.searchsorted(frame, starts)
    high = np.searchsorted(frame, starts + _BLOCK)
    tracks = []
    for _ in range(max(round(hours * _FRAMES_AN_HOUR / _TRACK), 1)):
        stretch = rng.uniform(1 - _STRETCH, 1 + _STRETCH)
        first = rng.integers(len(starts))
        drawn = first + rng.integers(_SONG, size=int(_TRACK / _BLOCK / stretch) + 1)
        drawn %= len(starts)
        count = high[drawn] - low[drawn]
        ends = np.cumsum(count)
        peak = np.arange(ends[-1]) + np.repeat(low[drawn] - ends + count, count)
        place = np.repeat(np.arange(len(drawn)) * _BLOCK - starts[drawn], count)
        moved = np.rint((frame[peak] + place) * stretch).astype(np.int64)
        bins = bin_[peak] + _SEMITONE * rng.integers(-_TRANSPOSE, _TRANSPOSE + 1)
        fits = (bins > 0) & (bins < N_BINS - 1) & (moved < _TRACK)
        tracks.append((moved[fits], bins[fits]))
    return tracks


def build(folder: Path, tracks: list[Peaks], copies: int, files: int) -> Catalogue:
    """Build a catalogue whose lists are `copies` times as long.

    Parameters
    ----------
    folder : Path
        Folder of the catalogue.
    tracks : list of Peaks
        Its tracks.
    copies : int > 0
        Repetitions of each track, at other positions.
    files : int > 0
        Number of segments: hard links to the same file.
    """
    line, parts = SegmentBuilder(), []
    for number, (frame, bin_) in enumerate(tracks):
        start = line.add(number + 1, _TRACK, frame, bin_)
        parts.append(to_entries(frame, bin_, start))
    once = line.end
    for number in range(len(tracks), len(tracks) * copies):
        line.add(number + 1, _TRACK, *tracks[number % len(tracks)])
    entries = np.sort(np.concatenate(parts))
    parts.clear()

    catalogue = Catalogue.create(folder)
    first = folder / "segments" / "0.seg"
    segment_file.write(first, _repeated(entries, once, copies), line)
    for other in range(1, files):
        (folder / "segments" / f"{other}.seg").hardlink_to(first)
    with sqlite3.connect(folder / "catalogue.db") as db:
        names = [(f"{number}.seg",) for number in range(files)]
        db.executemany("INSERT INTO segments VALUES (?)", names)
        samples = _TRACK * HOP
        rows = ((n + 1, f"{n}", samples) for n in range(len(tracks) * copies))
        db.executemany("INSERT INTO tracks VALUES (?, ?, '', '', '', '', ?, '', '{}')", rows)
    db.close()
    catalogue.refresh()
    return catalogue


def _repeated(
    entries: NDArray[np.uint64], length: int, copies: int
) -> Iterator[NDArray[np.uint64]]:
    """Yield every entry several times, each copy further along the line; keys are not split."""
    away = (np.arange(copies) * length).astype(np.uint64)
    keys = entries >> np.uint64(32)
    start = 0
    while start < len(entries):
        end = min(start + max(_AT_ONCE // copies, 1), len(entries))
        end = int(np.searchsorted(keys, keys[end - 1], side="right"))
        yield (entries[start:end, None] + away).ravel()
        start = end


def _line(music: list[Landmarks]) -> tuple[NDArray[np.int64], NDArray[np.int64], int]:
    frames, bins, end = [], [], 0
    for landmarks in music:
        frame, bin_ = hashes.quantised(landmarks)
        frames.append(frame + end)
        bins.append(bin_)
        end += 1 + (landmarks.end - landmarks.start) // HOP
    return np.concatenate(frames), np.concatenate(bins), end
