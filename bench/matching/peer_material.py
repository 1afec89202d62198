"""The audio on which airsift is compared with its peers, from held-out sources of a corpus.

All of it is made once and stored, so that every matcher gets the same samples.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import numpy as np

from bench.matching.background import Background, Bit, backgrounds
from bench.matching.broadcast import MIN_SONG_S, library, samples_in, talk
from bench.matching.chains import chains
from bench.matching.degradations import DegradationContext
from bench.matching.music import RATE, rms
from bench.matching.queries import PIECE_S, as_float, as_int16, file_name
from fingerprint.analysis.peaks import extract
from fingerprint.catalogue import Catalogue
from fingerprint.duplicates import find_near_duplicate
from fingerprint.track import Track
from model.corpus.takes import split_recordings

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from bench.matching.broadcast import Library

SEED = 5
CLIPS = 30  # of each chain
PROGRAMMES, MINUTES = 2, 15.0
NEGATIVES = 120  # of music; and a third of it of speech
FILLER_H = 1.0  # of other music in the catalogue, which is never played
_LEAD_S = 1  # margin around a clip for codecs and rooms
_QUIET = 0.01


@dataclass(frozen=True, slots=True, eq=False)
class Clips:
    """Clips of one chain: rows of samples, and the number of the track of each."""

    name: str
    samples: NDArray[np.int16]
    tracks: list[str]


@dataclass(frozen=True, slots=True, eq=False)
class Material:
    """What all matchers get.

    Parameters
    ----------
    tracks : list of Path
        Decoded files of the catalogue, named by number.
    chains : list of Clips
        Of 10 s, each through one chain.
    negatives : np.ndarray [shape=(n, samples), int16]
        Clips of 10 s of which nothing is in the catalogue.
    programmes : list of Background
        Their bits have the tracks' numbers.
    """

    tracks: list[Path]
    chains: list[Clips]
    negatives: NDArray[np.int16]
    programmes: list[Background]


def material(corpus: Path, work: Path) -> Material:
    """Return the material, made from the test split of a corpus where it is not stored."""
    folder = work / "material"
    if not (folder / "whole").exists():
        _make(corpus, folder)
        (folder / "whole").touch()
    clips = json.loads((folder / "clips.json").read_text())
    bits = json.loads((folder / "bits.json").read_text())
    return Material(
        sorted((folder / "tracks").glob("*.npy")),
        [Clips(name, np.load(_clips(folder, name)), tracks) for name, tracks in clips.items()],
        np.load(folder / "negatives.npy"),
        [
            Background(
                name, as_float(np.load(folder / f"{name}.npy")), tuple(Bit(**each) for each in of)
            )
            for name, of in bits.items()
        ],
    )


def _make(corpus: Path, folder: Path) -> None:
    audio = library(corpus, "test", SEED)
    # Jingles and adverts are parts of songs, some of them with speech: songs only.
    audio.jingles, audio.adverts = {}, {}
    numbers = _fill(corpus, audio, folder / "tracks")
    random = np.random.default_rng(SEED)
    names: dict[str, list[str]] = {}
    for chain in chains():
        rows, tracks = [], []
        for number in range(CLIPS):
            rng = np.random.default_rng([SEED, number])
            key = sorted(audio.songs)[int(rng.integers(len(audio.songs)))]
            length = round((PIECE_S * chain.speed + 2 * _LEAD_S) * RATE)
            clip = _audible(audio.songs[key], length, rng)
            voice = audio.voices[int(rng.integers(len(audio.voices)))]
            changed = chain.apply(clip, DegradationContext(rng, voice))
            query = changed[_LEAD_S * RATE :][: PIECE_S * RATE]
            rows.append(as_int16(np.pad(query, (0, PIECE_S * RATE - len(query)))))
            tracks.append(numbers[key])
        np.save(_clips(folder, chain.name), np.stack(rows))
        names[chain.name] = tracks
    music = [
        _audible(audio.unknown[n % len(audio.unknown)], PIECE_S * RATE, random)
        for n in range(NEGATIVES)
    ]
    voices = [audio.voices[n % len(audio.voices)] for n in range(NEGATIVES // 3)]
    speech = [talk(voice, PIECE_S * RATE, random) for voice in voices]
    speech = [np.pad(clip, (0, PIECE_S * RATE - len(clip))) for clip in speech]
    np.save(folder / "negatives.npy", np.stack([as_int16(clip) for clip in music + speech]))
    bits = {}
    for programme in backgrounds(audio, PROGRAMMES, MINUTES, SEED):
        np.save(folder / f"{programme.name}.npy", as_int16(programme.samples))
        bits[programme.name] = [
            asdict(bit) | {"track": numbers.get(bit.track, "")} for bit in programme.bits
        ]
    (folder / "clips.json").write_text(json.dumps(names))
    (folder / "bits.json").write_text(json.dumps(bits))


def _fill(corpus: Path, audio: Library, folder: Path) -> dict[str, str]:
    """Store the songs and the filler, without copies of them; return the number of each song."""
    folder.mkdir(parents=True, exist_ok=True)
    numbers: dict[str, str] = {}
    catalogue = Catalogue.create(folder.parent / "songs")
    for key in sorted(audio.songs):
        if find_near_duplicate(catalogue, extract(audio.songs[key])) is not None:
            del audio.songs[key]  # two packages may have one tune
            continue
        numbers[key] = f"{len(numbers):04}"
        catalogue.add(audio.songs[key], Track(key))
        np.save(folder / f"{numbers[key]}.npy", _full_scale(audio.songs[key]))
    audio.unknown = [
        samples
        for samples in audio.unknown
        if find_near_duplicate(catalogue, extract(samples)) is None
    ]
    left = FILLER_H * 3600 * RATE
    stored = len(numbers)
    for each in split_recordings(corpus, "validation")[::2]:
        if each.kind == "music" and each.end - each.start >= MIN_SONG_S * RATE and left > 0:
            samples = samples_in(corpus, each)
            if find_near_duplicate(catalogue, extract(samples)) is None:
                np.save(folder / f"{stored:04}.npy", _full_scale(samples))
                stored += 1
                left -= len(samples)
    catalogue.close()
    return numbers


def _audible(
    samples: NDArray[np.float32], length: int, rng: np.random.Generator
) -> NDArray[np.float32]:
    """Return a part of a track that is not silent, at the same level for all."""
    for _ in range(50):
        start = int(rng.integers(max(len(samples) - length, 1)))
        clip = samples[start : start + length]
        if rms(clip) > _QUIET:
            break
    clip = np.pad(clip, (0, length - len(clip)))
    return clip * np.float32(0.1 / max(rms(clip), 1e-4))


def _full_scale(samples: NDArray[np.float32]) -> NDArray[np.int16]:
    return (np.clip(samples, -1, 1) * 32767).astype(np.int16)


def _clips(folder: Path, name: str) -> Path:
    return folder / f"{file_name(name)}.npy"
