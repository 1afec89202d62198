"""Made programmes with spots that are played several times, and the truth about them.

Spots of 5 to 60 s come from the test sources of the corpus (`model/splits.tsv`): voices alone,
voices over music, and music. Every playing has its own level (6 dB up or down), its own coding
(none, MP3 or Opus at 16 to 64 kb/s, G.726, a treble cut) and, at each end in half the cases, a
voice over its last two seconds, as loud as the spot. Blocks of one to four spots in random order
interrupt the rest of the programme: music, speech, speech over music and noise, each piece of which
is used once. When all are used, they come again at another speed, which makes other sounds of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import soxr

from model.corpus import augment
from model.corpus.recordings import read_index, samples_of
from model.corpus.splits import assign_splits, load_splits
from model.spec import SAMPLE_RATE as RATE

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from model.corpus.recordings import Recording

    Samples = NDArray[np.float32]

LEVEL = 0.1
_VOICE_S = 2.0  # of a voice over an end of a spot
_MIN_MUSIC_S = 20.0
_SPEEDS = (0.0, 0.06, -0.05, 0.04, -0.03, 0.08, -0.07)


@dataclass(frozen=True, slots=True)
class Playing:
    """A spot in a programme; samples at 16 kHz, half-open."""

    spot: int
    start: int
    end: int


class Material:
    """Recordings of a split, in random order, none of them twice.

    Parameters
    ----------
    corpus : Path
        As `airsift corpus build` makes it.
    split : str
        For the spots; the rest of the programme also has the other sources.
    random : np.random.Generator
        Order.
    """

    def __init__(self, corpus: Path, split: str, random: np.random.Generator) -> None:
        self.corpus = corpus
        self.random = random
        once = {each.digest: each for each in read_index(corpus)}
        listed = sorted(once.values(), key=lambda each: (each.source, each.path, each.start))
        where = assign_splits(listed, load_splits())
        mine = [each for each in listed if where[each.group] == split]
        rest = [each for each in listed if where[each.group] != split]
        # The split's own sources first, so that a short programme is all held out.
        self._kinds = {
            kind: [*self._shuffled(mine, kind), *self._shuffled(rest, kind)]
            for kind in ("speech", "music", "noise")
        }
        self._next = dict.fromkeys(self._kinds, 0)
        self._turn = dict.fromkeys(self._kinds, 0)

    def take(self, kind: str, seconds: float) -> Samples:
        """Return the next audio of a kind, at `LEVEL`; speech is joined from clips."""
        parts: list[Samples] = []
        length = 0
        while length < seconds * RATE:
            clip = self._clip(kind)
            if kind == "speech":
                pause = round(self.random.uniform(0.1, 0.5) * RATE)
                clip = np.concatenate([clip, np.zeros(pause, np.float32)])
            parts.append(clip)
            length += len(clip)
            if kind != "speech":
                break
        joined = np.concatenate(parts)
        return joined[: round(seconds * RATE)]

    def _clip(self, kind: str) -> Samples:
        recordings = self._kinds[kind]
        if self._next[kind] == len(recordings):
            self._next[kind], self._turn[kind] = 0, self._turn[kind] + 1
        recording = recordings[self._next[kind]]
        self._next[kind] += 1
        samples = samples_of(self.corpus, recording).astype(np.float32) / 32768
        speed = 1 + _SPEEDS[self._turn[kind] % len(_SPEEDS)]
        if speed != 1:
            samples = soxr.resample(samples, RATE * speed, RATE).astype(np.float32)
        return samples * np.float32(LEVEL / max(_level(samples), 1e-4))

    def _shuffled(self, recordings: list[Recording], kind: str) -> list[Recording]:
        shortest = {"music": _MIN_MUSIC_S, "speech": 1.0, "noise": 3.0}[kind]
        kinds = ("music", "singing") if kind == "music" else (kind,)
        some = [
            each
            for each in recordings
            if each.kind in kinds and each.end - each.start >= shortest * RATE
        ]
        order = self.random.permutation(len(some))
        return [some[index] for index in order]


class Programme:
    """A programme that is made piece by piece, and is the same for the same seed.

    Parameters
    ----------
    material : Material
        The recordings.
    hours : float > 0
        Length.
    spots : int > 0
        Number of different spots.

    Attributes
    ----------
    playings : list of Playing
        Those that have been made so far.
    """

    def __init__(self, material: Material, hours: float, spots: int) -> None:
        self.material = material
        self.random = material.random
        self.hours = hours
        self.playings: list[Playing] = []
        self.spots = [self._spot(number) for number in range(spots)]
        queue = [n for n in range(spots) for _ in range(int(self.random.integers(2, 8)))]
        self._queue = [queue[index] for index in self.random.permutation(len(queue))]

    def pieces(self) -> Iterator[Samples]:
        """Yield the programme in consecutive pieces."""
        at, total, blocks = 0, round(self.hours * 3600 * RATE), len(self._queue) / 2.5
        between_s = self.hours * 3600 / blocks - 75
        while at < total:
            block = self._queue[: int(self.random.integers(1, 5))]
            del self._queue[: len(block)]
            filler = self._filler(max(float(self.random.exponential(between_s)), 20.0))
            yield filler
            at += len(filler)
            for number in block:
                spot = self._played(self.spots[number])
                self.playings.append(Playing(number, at, at + len(spot)))
                yield spot
                at += len(spot)
            if not block and not self._queue:
                return

    def _spot(self, number: int) -> Samples:
        seconds = float(np.exp(self.random.uniform(np.log(5), np.log(60))))
        kind = ("voice", "advert", "advert", "music")[number % 4]
        if kind == "music":
            return self._faded(self.material.take("music", seconds), 0.05)
        voice = self.material.take("speech", seconds)
        if kind == "voice":
            return voice
        music = self.material.take("music", len(voice) / RATE)
        mixed = voice.copy()
        mixed[: len(music)] += music * np.float32(10 ** (self.random.uniform(-15, 0) / 20))
        return self._faded(mixed, 0.05)

    def _filler(self, seconds: float) -> Samples:
        parts, length = [], 0.0
        while length < seconds - 1:
            kind = str(
                self.random.choice(["music", "speech", "both", "noise"], p=[0.4, 0.4, 0.15, 0.05])
            )
            want = min(seconds - length, float(self.random.uniform(20, 240)))
            if kind == "both":
                piece = self.material.take("music", want)
                voice = self.material.take("speech", len(piece) / RATE)
                piece = piece * np.float32(10 ** (self.random.uniform(-15, 0) / 20))
                piece = piece + voice[: len(piece)]
            else:
                piece = self.material.take(kind, want)
            parts.append(self._faded(piece, 0.05))
            length += len(piece) / RATE
        return np.concatenate(parts)

    def _played(self, spot: Samples) -> Samples:
        way = self.random.integers(6)
        change = (
            augment.clean, augment.mp3, augment.mp3, augment.opus, augment.g726, augment.low_pass,
        )[way]  # fmt: skip
        out = change(spot, self.random).astype(np.float32)
        for at_end in (False, True):
            if self.random.random() < 0.5:
                voice = self.material.take("speech", _VOICE_S)
                voice = self._faded(voice, 0.05)[: len(out)]
                if at_end:
                    out[len(out) - len(voice) :] += voice
                else:
                    out[: len(voice)] += voice
        return out * np.float32(10 ** (self.random.uniform(-6, 6) / 20))

    def _faded(self, samples: Samples, seconds: float) -> Samples:
        n = min(round(seconds * RATE), len(samples) // 2)
        out = samples.copy()
        ramp = np.linspace(0, 1, n, dtype=np.float32)
        out[:n] *= ramp
        out[len(out) - n :] *= ramp[::-1]
        return out


def _level(samples: Samples) -> float:
    return float(np.sqrt(np.mean(np.square(samples))))
