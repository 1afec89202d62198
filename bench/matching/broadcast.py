"""Programmes of about 35 minutes in which known tracks play, with the truth about each playing.

A programme is a sequence of items as on air: songs whole and cut, talk over their starts and ends,
crossfades, changed speed, codecs, jingles and adverts, all of which the catalogue has; and between
them talk, adverts and music that it does not have::

    song 1 ├──────────────┤╲ crossfade        ├─ jingle ─┤
    song 2               ╱├──────────────┤    │          ├─ advert ─┤
    talk                              ├───────┤          │          ├── talk ──┤

A playing lasts from its first to its last audible sample: where it is 30 dB below its mean and
louder, and where its fade has `AUDIBLE_DB` and more of the full gain.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from bench.matching.degradations import DegradationContext, conditions
from bench.matching.music import rms
from model.corpus.recordings import samples_of
from model.corpus.takes import split_recordings
from model.evaluation.programme_items import trimmed
from model.evaluation.programmes import AUDIBLE_DB
from model.mixing import ducking_gain, fade_in
from model.spec import SAMPLE_RATE as RATE

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from model.corpus.recordings import Recording
    from model.corpus.sources import Split

    Samples = NDArray[np.float32]

# Items of a programme; a crossfade has two playings, so there are 53.
KINDS = {
    "whole song": 5, "part of a song": 8, "talk over the start": 7, "talk over the end": 7,
    "crossfade": 3, "changed speed": 6, "codec": 5, "jingle": 5, "advert": 4,
}  # fmt: skip
CHANGED = ("speed +2 %", "speed -2 %", "speed +4 %", "speed -4 %", "tempo +4 %", "tempo -4 %")
CODECS = ("MP3 64 kb/s", "telephone")
# What comes before a playing, unless it fades into the one before.
BETWEEN = {"nothing": 0.35, "talk": 0.4, "unknown music": 0.15, "unknown advert": 0.1}
JINGLES, ADVERTS = 6, 5
UNKNOWN = 0.3  # share of the songs that the catalogue does not have
MIN_SONG_S = 40
MAX_WHOLE_S = 110
LEVEL = 0.1  # RMS
LEVELS_DB = 3.0  # +- of each playing
DUCKED_DB = (6.0, 14.0)
EDGE = RATE // 100
MIN_CLIP, MAX_CLIP = 3 * RATE // 2, 8 * RATE  # of speech


@dataclass(frozen=True, slots=True)
class Playing:
    """One time that a known track plays: its audible samples, half-open."""

    track: str
    kind: str
    start: int
    end: int


@dataclass(frozen=True, slots=True, eq=False)
class Broadcast:
    """A programme: mono samples at 16 kHz, and what plays in it, in order."""

    name: str
    samples: Samples
    playings: tuple[Playing, ...]


@dataclass(slots=True, eq=False)
class Library:
    """The audio of programmes, by name: all of it from one split of a corpus.

    Parameters
    ----------
    songs, jingles, adverts : dict of str to np.ndarray [shape=(n,), float32]
        What the catalogue has.
    unknown : list of np.ndarray
        Music that it does not have.
    voices : list of list of np.ndarray
        Clips of each voice, none of which is in an advert of the catalogue.
    """

    songs: dict[str, Samples]
    unknown: list[Samples]
    voices: list[list[Samples]]
    jingles: dict[str, Samples] = field(default_factory=dict)
    adverts: dict[str, Samples] = field(default_factory=dict)

    @property
    def known(self) -> dict[str, Samples]:
        """All that the catalogue has, by key."""
        return self.songs | self.jingles | self.adverts


def library(corpus: Path, split: Split, seed: int) -> Library:
    """Return the audio of a split of a corpus, divided into what is known and what is not.

    Parameters
    ----------
    corpus : Path
        As `airsift corpus build` makes it.
    split : Split
        No track and no voice is in two of them.
    seed : int
        Draws what is known, and makes the jingles and adverts.
    """
    random = np.random.default_rng(seed)
    recordings = split_recordings(corpus, split)
    music = [
        each
        for each in recordings
        if each.kind in ("music", "singing") and each.end - each.start >= MIN_SONG_S * RATE
    ]
    tracks = [music[place] for place in random.permutation(len(music))]
    made, rest = tracks[: JINGLES + ADVERTS], tracks[JINGLES + ADVERTS :]
    new = round(UNKNOWN * len(rest))
    voices = _voices(corpus, recordings)
    of_adverts = max(len(voices) // 3, 1)
    out = Library(
        {f"{each.source}:{each.path}": samples_in(corpus, each) for each in rest[new:]},
        [samples_in(corpus, each) for each in rest[:new]],
        voices[of_adverts:],
    )
    for number, each in enumerate(made):
        samples = samples_in(corpus, each)
        if number < JINGLES:
            jingle = excerpt(samples, random.uniform(4.0, 8.0), random)
            out.jingles[f"jingle {number + 1}"] = faded(jingle, 0, len(jingle) // 4)
        else:
            spot = _advert(samples, voices[:of_adverts], random)
            out.adverts[f"advert {number - JINGLES + 1}"] = spot
    return out


def broadcasts(audio: Library, count: int, seed: int) -> Iterator[Broadcast]:
    """Generate programmes; the same seed gives the same ones."""
    random = np.random.default_rng(seed)
    for number in range(count):
        yield _Desk(audio, random).broadcast(f"programme {number + 1}")


class _Desk:
    """Puts one programme together, item behind item."""

    def __init__(self, audio: Library, random: np.random.Generator) -> None:
        self.audio = audio
        self.random = random
        self.parts: list[tuple[int, Samples]] = []
        self.playings: list[Playing] = []
        self.end = 0
        self.queues: dict[str, list[str]] = {}
        flat = [clip for voice in audio.voices for clip in voice]
        self.context = DegradationContext(random, flat)
        self.conditions = {each.name: each for each in conditions()}

    def broadcast(self, name: str) -> Broadcast:
        kinds = [kind for kind, count in KINDS.items() for _ in range(count)]
        for kind in self.random.permutation(kinds):
            if kind != "crossfade":
                self._between()
            getattr(self, f"_{kind.replace(' ', '_')}")()
        mix = 1e-4 * self.random.standard_normal(self.end).astype(np.float32)
        for at, samples in self.parts:
            mix[at : at + len(samples)] += samples
        return Broadcast(name, np.clip(mix, -1.0, 1.0), tuple(self.playings))

    def _whole_song(self) -> None:
        short = {k: x for k, x in self.audio.songs.items() if len(x) <= MAX_WHOLE_S * RATE}
        track = self._next("whole song", short or self.audio.songs)
        self._play(track, "whole song", trimmed(self.audio.songs[track]))

    def _part_of_a_song(self) -> None:
        self._play(*self._song("part of a song"))

    def _talk_over_the_start(self) -> None:
        track, kind, samples = self._song("talk over the start")
        talk = self._talk(self.random.uniform(6.0, 14.0))
        over = min(round(self.random.uniform(3.0, 10.0) * RATE), len(talk) - EDGE)
        samples *= self._ducking(len(samples), (over - len(talk), over))
        self._put(talk)
        self.end -= over
        self._play(track, kind, samples)

    def _talk_over_the_end(self) -> None:
        track, kind, samples = self._song("talk over the end")
        talk = self._talk(self.random.uniform(6.0, 14.0))
        over = min(round(self.random.uniform(3.0, 10.0) * RATE), len(talk) - EDGE)
        first = len(samples) - over
        samples *= self._ducking(len(samples), (first, first + len(talk)))
        self._play(track, kind, samples)
        self.end -= over
        self._put(talk)

    def _crossfade(self) -> None:
        """Let two songs meet: the first fades out while the second fades in."""
        fade = round(self.random.uniform(2.0, 5.0) * RATE)
        first, kind, samples = self._song("crossfade")
        self._play(first, kind, samples, fade_out=fade)
        self.end -= fade
        second, kind, samples = self._song("crossfade")
        self._play(second, kind, samples, fade_in_=fade)

    def _changed_speed(self) -> None:
        name = CHANGED[int(self.random.integers(len(CHANGED)))]
        track, kind, samples = self._song("changed speed")
        self._play(track, kind, self.conditions[name].apply(samples, self.context))

    def _codec(self) -> None:
        name = CODECS[int(self.random.integers(len(CODECS)))]
        track, kind, samples = self._song("codec")
        self._play(track, kind, self.conditions[name].apply(samples, self.context))

    def _jingle(self) -> None:
        track = self._next("jingle", self.audio.jingles)
        self._play(track, "jingle", self.audio.jingles[track])

    def _advert(self) -> None:
        track = self._next("advert", self.audio.adverts)
        self._play(track, "advert", self.audio.adverts[track])

    def _between(self) -> None:
        what = str(self.random.choice(list(BETWEEN), p=list(BETWEEN.values())))
        unknown = self.audio.unknown[int(self.random.integers(len(self.audio.unknown)))]
        if what == "talk":
            self._put(self._talk(self.random.uniform(4.0, 15.0)))
        elif what == "unknown music":
            self._put(levelled(excerpt(unknown, self.random.uniform(10.0, 30.0), self.random)))
        elif what == "unknown advert":
            self._put(_advert(unknown, self.audio.voices, self.random))

    def _song(self, kind: str) -> tuple[str, str, Samples]:
        track = self._next("song", self.audio.songs)
        seconds = self.random.uniform(15.0, MIN_SONG_S)
        return track, kind, excerpt(self.audio.songs[track], seconds, self.random)

    def _next(self, name: str, tracks: dict[str, Samples]) -> str:
        """Return the next track: each once, then each again in another order."""
        queue = self.queues.setdefault(name, [])
        if not queue:
            queue += [str(track) for track in self.random.permutation(sorted(tracks))]
        return queue.pop()

    def _talk(self, seconds: float) -> Samples:
        voice = self.audio.voices[int(self.random.integers(len(self.audio.voices)))]
        return talk(voice, round(seconds * RATE), self.random)

    def _ducking(self, length: int, talk: tuple[int, int]) -> Samples:
        depth_db = float(self.random.uniform(*DUCKED_DB))
        return ducking_gain(0, length, [talk], RATE // 2, depth_db)

    def _play(
        self, track: str, kind: str, samples: Samples, *, fade_in_: int = 0, fade_out: int = 0
    ) -> None:
        samples = levelled(samples, float(self.random.uniform(-LEVELS_DB, LEVELS_DB)))
        start = self.end
        self._put(faded(samples, fade_in_, fade_out))
        first, last = start + _inaudible(fade_in_), self.end - _inaudible(fade_out)
        self.playings.append(Playing(track, kind, first, last))

    def _put(self, samples: Samples) -> None:
        self.parts.append((self.end, faded(samples, EDGE, EDGE)))
        self.end += len(samples)


def samples_in(corpus: Path, recording: Recording) -> Samples:
    return samples_of(corpus, recording).astype(np.float32) / np.float32(32768)


def _voices(corpus: Path, recordings: Sequence[Recording]) -> list[list[Samples]]:
    """Return clips of every voice that has a minute of them."""
    speech = [
        each
        for each in recordings
        if each.kind == "speech" and each.end - each.start >= MIN_CLIP and not each.cast
    ]
    total = Counter[str]()
    for each in speech:
        total[each.group] += each.end - each.start
    groups = sorted(group for group, samples in total.items() if samples >= 60 * RATE)
    voices = [[each for each in speech if each.group == group] for group in groups]
    return [
        [clip for each in voice for clip in _clips(samples_in(corpus, each))] for voice in voices
    ]


def _clips(samples: Samples) -> list[Samples]:
    cuts = [samples[at : at + MAX_CLIP] for at in range(0, len(samples), MAX_CLIP)]
    return [levelled(trimmed(cut)) for cut in cuts if len(cut) >= MIN_CLIP]


def talk(voice: Sequence[Samples], length: int, random: np.random.Generator) -> Samples:
    """Return at most `length` samples of one voice, with pauses."""
    parts: list[Samples] = []
    while sum(map(len, parts)) < length:
        parts.append(voice[int(random.integers(len(voice)))])
        parts.append(np.zeros(round(random.uniform(0.2, 0.8) * RATE), np.float32))
    return trimmed(np.concatenate(parts)[:length])


def _advert(
    music: Samples, voices: Sequence[Sequence[Samples]], random: np.random.Generator
) -> Samples:
    """Return a spot: a voice over music."""
    bed = levelled(excerpt(music, random.uniform(10.0, 25.0), random))
    over = talk(voices[int(random.integers(len(voices)))], len(bed) * 3 // 4, random)
    at = int(random.integers(len(bed) - len(over) + 1))
    bed *= ducking_gain(0, len(bed), [(at, at + len(over))], RATE // 4, 8.0)
    bed[at : at + len(over)] += over
    return bed


def excerpt(samples: Samples, seconds: float, random: np.random.Generator) -> Samples:
    """Return a random part that begins and ends with sound."""
    length = min(round(seconds * RATE), len(samples))
    at = int(random.integers(len(samples) - length + 1))
    return trimmed(samples[at : at + length])


def levelled(samples: Samples, gain_db: float = 0.0) -> Samples:
    gain = LEVEL * 10.0 ** (gain_db / 20.0) / max(rms(samples), 1e-4)
    return samples * np.float32(gain)


def faded(samples: Samples, start: int, end: int) -> Samples:
    samples = samples.copy()
    if start:
        samples[:start] *= fade_in(start)
    if end:
        samples[-end:] *= fade_in(end)[::-1]
    return samples


def _inaudible(fade: int) -> int:
    """Return how many samples of a fade are quieter than `AUDIBLE_DB`."""
    return int(np.searchsorted(fade_in(fade), 10.0 ** (AUDIBLE_DB / 20.0))) if fade else 0
