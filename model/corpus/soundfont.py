"""Solo instruments for training, played from a General MIDI sound font.

Debian's music is mostly ensembles, but classifiers of speech and music fail on solo instruments. A
SoundFont 2 file holds recordings of single notes, and instruments that map keys to recordings.
Phrases are random with a fixed seed: notes of one scale, with rests and chords, of any tempo.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import soxr

from airsift.errors import DecodeError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

PHRASE_SECONDS = 40
NOTE_SECONDS = 4.0
# Name, start, end, start and end of the loop, sampling rate, key, correction, link and type.
Header: TypeAlias = tuple[bytes, int, int, int, int, int, int, int, int, int]
SAMPLE_HEADER = struct.Struct("<20s5IBbHH")
INSTRUMENT = struct.Struct("<20sH")
ZONE = struct.Struct("<HH")
GENERATOR = struct.Struct("<Hh")
# Generator numbers.
KEY_RANGE, SAMPLE, LOOPING, ROOT_KEY = 43, 53, 54, 58
# More notes of one instrument sound alike, and only cost memory.
MAX_NOTES = 8
SCALES = ((0, 2, 4, 5, 7, 9, 11), (0, 2, 3, 5, 7, 8, 10), (0, 2, 4, 7, 9), (0, 3, 5, 7, 10))

# Effects and single drums: not solo instruments.
NOT_TONES = (
    "hat", "snare", "brush", "kick", "drum", "tom", "agogo", "applau", "bird", "cabas",
    "castanet", "cym", "clap", "cowbell", "stick", "bongo", "noise", "guiro", "gun", "helicop",
    "tumba", "maraca", "click", "slap", "ocean", "quica", "seashore", "whist", "sleigh",
    "telephon", "timbale", "woodblock", "scratch", "standard", "room", "power", "808", "909",
    "jazz-kit", "orchestra-kit", "percussion", "metronome", "star-theme", "chiffer", "conga",
    "rain", "goblin", "crystal",
)  # fmt: skip


def resampled(samples: NDArray[np.float32], rate: int, wanted: int) -> NDArray[np.int16]:
    """Change the sample rate and round to 16 bits."""
    changed = soxr.resample(samples, rate, wanted)
    rounded: NDArray[np.int16] = np.clip(np.rint(changed * 32767.0), -32768, 32767).astype(np.int16)
    return rounded


def solos(sound_font: bytes, rate: int) -> Iterator[tuple[str, NDArray[np.int16]]]:
    """Yield a phrase for every melodic instrument of a sound font.

    Parameters
    ----------
    sound_font : bytes
        A SoundFont 2 file.
    rate : int > 0
        Output sample rate, in Hz.

    Yields
    ------
    name : str
        ``program-`` and the instrument's name.
    np.ndarray [shape=(n,), int16]
        About `PHRASE_SECONDS`, mono.

    Raises
    ------
    DecodeError
        The file is not a SoundFont 2 file.
    """
    chunks = _chunks(sound_font)
    if not chunks.keys() >= {b"smpl", b"shdr", b"inst", b"ibag", b"igen"}:
        raise DecodeError("the sound font has no samples: use a SoundFont 2 file")
    pool = np.frombuffer(chunks[b"smpl"], dtype="<i2")
    headers = list(SAMPLE_HEADER.iter_unpack(chunks[b"shdr"]))
    for number, (name, zones) in enumerate(sorted(_instruments(chunks).items())):
        tones = [
            (_tone(pool, headers[zone.sample], rate, looped=zone.looped), pitch)
            for zone in zones[:: -(-len(zones) // MAX_NOTES)]
            if 0 < (pitch := zone.root or headers[zone.sample][6]) < 128
        ]
        if tones:
            yield f"program-{name}", _phrase(tones, rate, np.random.default_rng(number))


@dataclass(frozen=True, slots=True)
class _Zone:
    """One recording of an instrument: its number, its key (0: as recorded), whether it loops."""

    sample: int
    root: int
    looped: bool


def _instruments(chunks: dict[bytes, bytes]) -> dict[str, list[_Zone]]:
    """Map each melodic instrument to its recordings."""
    generators = list(GENERATOR.iter_unpack(chunks[b"igen"]))
    bags = [first for first, _ in ZONE.iter_unpack(chunks[b"ibag"])]
    found: dict[str, list[_Zone]] = {}
    entries = list(INSTRUMENT.iter_unpack(chunks[b"inst"]))
    for (label, bag), (_, next_bag) in pairwise(entries):
        text = label.split(b"\0")[0].decode("ascii", "replace").lower()
        name = "-".join("".join(c if c.isalnum() else " " for c in text).split())
        common: dict[int, int] = {}
        zones, single_keys = [], 0
        for first, last in pairwise(bags[bag : next_bag + 1]):
            values = common | dict(generators[first:last])
            if SAMPLE not in values:
                # The first zone without a recording holds defaults for the others.
                common = values
                continue
            keys = values.get(KEY_RANGE, 0x7F00) & 0xFFFF
            single_keys += keys & 0xFF == keys >> 8
            root = values.get(ROOT_KEY, 0)
            zones.append(_Zone(values[SAMPLE] & 0xFFFF, max(root, 0), values.get(LOOPING, 0) > 0))
        # A drum kit has one recording for each key.
        kit = len(zones) > 2 and single_keys > len(zones) / 2
        # Variants for another standard (GS) play the same recordings.
        twin = name.endswith(("-gs", "-g"))
        if zones and name and not (kit or twin or any(word in name for word in NOT_TONES)):
            found[name] = zones
    return found


def _tone(
    pool: NDArray[np.int16],
    header: Header,
    rate: int,
    *,
    looped: bool,
) -> NDArray[np.float32]:
    """Return one recorded note at the given rate, held for `NOTE_SECONDS` if it loops."""
    _, start, end, loop_start, loop_end, note_rate, *_ = header
    length = int(NOTE_SECONDS * note_rate)
    note = pool[start : min(end, start + length)].astype(np.float32) / 32768.0
    if looped and loop_end - loop_start >= 8:
        note = _held(pool[start:end].astype(np.float32) / 32768.0,
                     loop_start - start, loop_end - start, length)  # fmt: skip
    resampled_note: NDArray[np.float32] = soxr.resample(note, note_rate, rate)
    return resampled_note


def _phrase(
    notes: list[tuple[NDArray[np.float32], int]], rate: int, random: np.random.Generator
) -> NDArray[np.int16]:
    """Play one instrument: two melodies of half the length each, with some chords."""
    out = np.zeros(PHRASE_SECONDS * rate, np.float32)
    half = PHRASE_SECONDS / 2
    for start in (0.0, half):
        scale = SCALES[random.integers(len(SCALES))]
        key = int(np.median([pitch for _, pitch in notes])) + int(random.integers(-5, 6))
        beat, legato = random.uniform(0.1, 0.7), random.uniform(0.4, 1.6)
        chords = float(random.choice([0.0, 0.15, 0.8]))
        degree, at = 0, start
        while at < start + half - NOTE_SECONDS / 2:
            degree = int(np.clip(degree + random.integers(-3, 4), -7, 9))
            length = beat * float(random.choice([1, 1, 2, 3, 4]))
            for third in (0, 2, 4) if random.random() < chords else (0,):
                octave, step = divmod(degree + third, len(scale))
                tone = _pitched(notes, key + 12 * octave + scale[step])
                held = tone[: int(rate * min(length * legato + 0.1, NOTE_SECONDS))].copy()
                fade = min(len(held), int(0.08 * rate))
                held[len(held) - fade :] *= np.linspace(1, 0, fade, dtype=np.float32)
                place = int(at * rate)
                held = held[: len(out) - place]
                out[place : place + len(held)] += held * random.uniform(0.3, 1.0)
            at += length + (beat * random.integers(1, 4) if random.random() < 0.1 else 0.0)
    peak = max(float(np.abs(out).max()), 1e-6)
    rounded: NDArray[np.int16] = np.rint(out * (24_000 / peak)).astype(np.int16)
    return rounded


def _pitched(notes: list[tuple[NDArray[np.float32], int]], pitch: int) -> NDArray[np.float32]:
    """Resample the recorded note nearest to a pitch to that pitch."""
    note, recorded = min(notes, key=lambda entry: abs(entry[1] - pitch))
    places = np.arange(0, len(note) - 1, 2 ** ((pitch - recorded) / 12))
    played: NDArray[np.float32] = np.interp(places, np.arange(len(note)), note).astype(np.float32)
    return played


def _held(note: NDArray[np.float32], start: int, end: int, length: int) -> NDArray[np.float32]:
    """Repeat a note's loop to a length, with a decay."""
    loop = note[start:end]
    repeats = max(0, (length - end) // max(len(loop), 1)) + 1
    held = np.concatenate([note[:end], np.tile(loop, repeats)])[:length]
    decay = np.exp(-np.arange(len(held), dtype=np.float32) / (0.6 * length))
    held *= decay
    return held


def _chunks(riff: bytes) -> dict[bytes, bytes]:
    """Return the leaf chunks of a RIFF file by name."""
    found: dict[bytes, bytes] = {}
    if riff[:4] != b"RIFF":
        return found
    at = 12
    while at + 8 <= len(riff):
        name, size = riff[at : at + 4], int.from_bytes(riff[at + 4 : at + 8], "little")
        if name == b"LIST":
            at += 12
            continue
        found[name] = riff[at + 8 : at + 8 + size]
        at += 8 + size + size % 2
    return found
