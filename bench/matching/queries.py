"""The queries of the fingerprint benchmark, stored and the same for all matchers."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench.matching import music
from bench.matching.degradations import Condition, DegradationContext, conditions, drones
from bench.matching.music import RATE

# For calibration and for measurement: different tracks, voices, seeds and packages.
SPLITS = {"validation": 0, "test": 1}
SHORT = {
    5: ("clean", "MP3 64 kb/s", "telephone", "speech 5 dB louder"),
    3: ("clean", "speech 5 dB louder"),
}
PIECE_S = 10
# Peak (of 32 768) below which a piece counts as silent.
_SILENCE = 32
_LEAD_S = 1.0  # margin around a query for codecs and rooms
# Of a crossfade. The end and the start of a track are where it is this far below its own level.
_FADE_S = 3.0
_AUDIBLE = 0.1


@dataclass(frozen=True)
class Queries:
    """The queries of one condition.

    Parameters
    ----------
    name : str
        The condition and the length.
    seconds : int
        Length of each.
    audio : np.ndarray [shape=(n, samples), int16]
        At 16 kHz.
    truth : list of list of (str, int)
        Of each: its tracks, and the sample of the track at the query's start, negative if the
        track begins later.
    speed : float
        Seconds of the track in a second of the query.
    """

    name: str
    seconds: int
    audio: NDArray[np.int16]
    truth: list[list[tuple[str, int]]]
    speed: float


def query_sets() -> list[tuple[Condition, int]]:
    """Return all conditions with lengths in seconds, in the order of the table."""
    short = [
        (condition, seconds)
        for seconds, names in SHORT.items()
        for condition in conditions()
        if condition.name in names
    ]
    return [(condition, 10) for condition in conditions()] + short


def make(
    condition: Condition, seconds: int, split: str, n: int, audio: Path, work: Path
) -> Queries:
    """Return the queries of a condition, stored or new."""
    name = f"{condition.name}, {seconds} s"
    place = work / "queries" / file_name(name)
    if not place.with_suffix(".json").exists():
        place.parent.mkdir(parents=True, exist_ok=True)
        rows: list[NDArray[np.int16]] = []
        truth: list[list[tuple[str, int]]] = []
        share = SPLITS[split]
        # Every other track by number: a package has tracks in both.
        tracks = music.music(music.CATALOGUE, audio)[share::2]
        speech = music.speech(audio, max_clips=2000)[share::2]
        for number in range(n):
            rng = np.random.default_rng([share, seconds, number])
            if condition.crossfade:
                query, places = _crossfade(tracks, seconds, rng)
                rows.append(as_int16(query))
                truth.append(places)
                continue
            track = tracks[rng.integers(len(tracks))]
            start, clip = _cut(track, seconds * condition.speed + 2 * _LEAD_S, rng)
            changed = condition.apply(clip, DegradationContext(rng, speech))
            lead = int(_LEAD_S * RATE)
            query = changed[lead : lead + seconds * RATE]
            rows.append(as_int16(np.pad(query, (0, seconds * RATE - len(query)))))
            truth.append([(track.stem, start + round(lead * condition.speed))])
        np.save(place.with_suffix(".npy"), np.stack(rows))
        place.with_suffix(".json").write_text(json.dumps(truth))
    stored = json.loads(place.with_suffix(".json").read_text())
    samples = np.load(place.with_suffix(".npy"), mmap_mode="r")
    known = [[(key, at) for key, at in places] for places in stored]
    return Queries(name, seconds, samples, known, condition.speed)


def negatives(split: str, hours: float, audio: Path) -> Iterator[tuple[str, NDArray[np.int16]]]:
    """Yield (kind, piece of 10 s) of audio that is not in the catalogue.

    About `hours` of music of all packages, and up to half an hour each of speech and of drones,
    made from the catalogue's music.
    """
    share, minutes = SPLITS[split], min(60 * hours, 30)
    n = PIECE_S * RATE
    files = music.music(music.NEGATIVES[split], audio)
    pieces = [(path, at) for path in files for at in range(0, _length(path) - n + 1, n)]
    for index in np.linspace(0, len(pieces) - 1, min(round(hours * 360), len(pieces))):
        path, at = pieces[int(index)]
        piece = np.load(path, mmap_mode="r")[at : at + n]
        if np.abs(piece).max() > _SILENCE:
            yield "music", piece
    tracks = [music.load(path) for path in music.music(music.CATALOGUE, audio)[share::8]]
    for drone in drones(tracks, minutes, np.random.default_rng([9, share])):
        for at in range(0, len(drone) - n + 1, n):
            yield "drones and ambience", as_int16(drone[at : at + n])
    talk = np.concatenate(music.speech(audio, max_clips=2000)[share::2])
    for at in range(0, min(len(talk), round(60 * minutes) * RATE) - n + 1, n):
        yield "speech", as_int16(talk[at : at + n])


def as_float(samples: NDArray[np.int16]) -> NDArray[np.float32]:
    """Return samples in [-1, 1]."""
    return samples.astype(np.float32) / np.float32(32768)


def file_name(name: str) -> str:
    """Return a condition's name as that of a file."""
    return re.sub(r"[^a-z0-9+-]+", "_", name.lower()).strip("_")


def as_int16(samples: NDArray[np.float32]) -> NDArray[np.int16]:
    """Return samples as a query has them."""
    # Half scale: speech that is 10 dB louder than the music must not clip.
    return np.clip(samples * 16384, -32768, 32767).astype(np.int16)


def _length(path: Path) -> int:
    return len(np.load(path, mmap_mode="r"))


def _cut(path: Path, seconds: float, rng: np.random.Generator) -> tuple[int, NDArray[np.float32]]:
    """Return the start and the normalised samples of a part of a track that is not silent."""
    track = np.load(path, mmap_mode="r")
    length = round(seconds * RATE)
    for _ in range(50):
        start = int(rng.integers(0, max(len(track) - length, 1)))
        clip = track[start : start + length].astype(np.float32) / np.float32(32767)
        if music.rms(clip) > 0.01:
            break
    return start, _level(clip)


def _crossfade(
    tracks: list[Path], seconds: int, rng: np.random.Generator
) -> tuple[NDArray[np.float32], list[tuple[str, int]]]:
    """Return the end of one track that fades into the start of another, and both places."""
    first, second = rng.choice(len(tracks), 2, replace=False)
    ending, beginning = music.load(tracks[first]), music.load(tracks[second])
    _, end = _audible(ending)
    begin, _ = _audible(beginning)
    fade = round(_FADE_S * RATE)
    length = (seconds * RATE + fade) // 2  # of either
    gain = np.sqrt(np.linspace(0, 1, fade, dtype=np.float32))
    out = np.zeros(seconds * RATE, np.float32)
    start = max(end - length, 0)
    clip = _level(ending[start:end])
    clip[-fade:] *= gain[::-1]
    out[length - len(clip) : length] += clip
    clip = _level(beginning[begin : begin + length])
    clip[:fade] *= gain
    out[-length:][: len(clip)] += clip
    places = [(first, end - length), (second, begin - (seconds * RATE - length))]
    return out, [(tracks[which].stem, at) for which, at in places]


def _audible(samples: NDArray[np.float32]) -> tuple[int, int]:
    """Return the span between a track's first and its last audible tenth of a second."""
    step = RATE // 10
    blocks = samples[: len(samples) // step * step].reshape(-1, step)
    level = np.sqrt(np.square(blocks).mean(axis=1))
    loud = np.flatnonzero(level > _AUDIBLE * music.rms(samples))
    return int(loud[0]) * step, (int(loud[-1]) + 1) * step


def _level(clip: NDArray[np.float32]) -> NDArray[np.float32]:
    return clip * np.float32(0.1 / max(music.rms(clip), 1e-4))
