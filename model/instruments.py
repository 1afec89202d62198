"""Solo instruments for training, played from a General MIDI sound font.

Debian's music is mostly whole bands; solo instruments are what classifiers of speech and
music get wrong. A SoundFont 2 file holds recordings of single notes. Phrases are drawn at
random from a seed: notes of one scale, with rests, chords and vibrato.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

import numpy as np
import soxr

from airsift.errors import DecodeError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

PHRASE_SECONDS = 40
NOTE_SECONDS = 4.0
SAMPLE_HEADER = struct.Struct("<20s5IBbHH")
SCALES = ((0, 2, 4, 5, 7, 9, 11), (0, 2, 3, 5, 7, 8, 10), (0, 2, 4, 7, 9), (0, 3, 5, 7, 10))

# Drums and effects of the sound font: not solo instruments, whatever else they are.
NOT_TONES = (
    "hat", "snare", "e-sn", "brush", "kick", "drum", "tom", "agogo", "applau", "bird", "tambour",
    "cabas", "castanet", "cym", "clap", "cow", "stick", "bongo", "noise", "fretnois", "guiro",
    "gun", "helicop", "tumba", "maraca", "click", "slap", "ocean", "quica", "quinto", "ride",
    "rim", "claves", "scratch", "whist", "sleigh", "telephon", "timbale", "trian", "block",
    "orch-hit", "808", "wav",
)  # fmt: skip


def resampled(samples: NDArray[np.float32], rate: int, wanted: int) -> NDArray[np.int16]:
    """Change the sample rate and round to 16 bits."""
    changed = soxr.resample(samples, rate, wanted)
    rounded: NDArray[np.int16] = np.clip(np.rint(changed * 32767.0), -32768, 32767).astype(np.int16)
    return rounded


def solos(sound_font: bytes, rate: int) -> Iterator[tuple[str, NDArray[np.int16]]]:
    """Yield a phrase for every sampled instrument of a sound font.

    Parameters
    ----------
    sound_font : bytes
        A SoundFont 2 file.
    rate : int > 0
        Sample rate wanted.

    Yields
    ------
    name : str
        ``program-`` and the sample's name without the pitch.
    np.ndarray [shape=(n,), int16]
        About `PHRASE_SECONDS`, mono.

    Raises
    ------
    DecodeError
        It is not a SoundFont 2 file.
    """
    chunks = _chunks(sound_font)
    if b"smpl" not in chunks or b"shdr" not in chunks:
        raise DecodeError("the sound font has no samples: use a SoundFont 2 file")
    pool = np.frombuffer(chunks[b"smpl"], dtype="<i2")
    tones: dict[str, list[tuple[NDArray[np.float32], int]]] = {}
    for fields in SAMPLE_HEADER.iter_unpack(chunks[b"shdr"]):
        name, start, end, loop_start, loop_end, note_rate, pitch = fields[:7]
        label = name.split(b"\0")[0].decode("ascii", "replace").strip()
        stem = label.rstrip("0123456789#-_() LRlrABCDEFGabcdefg") or label
        note = pool[start:end].astype(np.float32) / 32768.0
        stem = stem.lower().replace(" ", "-")
        short = len(note) < 1000 or loop_end - loop_start < 8
        unwanted = stem in ("sn", "ri") or any(word in stem for word in NOT_TONES)
        if short or unwanted or not 0 < pitch < 128:
            continue
        long = _held(note, loop_start - start, loop_end - start, int(NOTE_SECONDS * note_rate))
        tones.setdefault(stem, []).append((soxr.resample(long, note_rate, rate), pitch))
    for number, (stem, notes) in enumerate(sorted(tones.items())):
        random = np.random.default_rng(number)
        yield f"program-{stem}", _phrase(notes, rate, random)


def _phrase(
    notes: list[tuple[NDArray[np.float32], int]], rate: int, random: np.random.Generator
) -> NDArray[np.int16]:
    """Play one instrument: a melody with chords now and then."""
    out = np.zeros(PHRASE_SECONDS * rate, np.float32)
    scale = SCALES[random.integers(len(SCALES))]
    key = int(np.median([pitch for _, pitch in notes])) + int(random.integers(-5, 6))
    beat, legato = random.uniform(0.12, 0.6), random.uniform(0.5, 1.6)
    degree, at = 0, 0.0
    while at < PHRASE_SECONDS - NOTE_SECONDS:
        degree = int(np.clip(degree + random.integers(-3, 4), -7, 9))
        length = beat * float(random.choice([1, 1, 2, 3, 4]))
        chord = (0, 2, 4) if random.random() < 0.15 else (0,)
        for third in chord:
            octave, step = divmod(degree + third, len(scale))
            tone = _pitched(notes, key + 12 * octave + scale[step])
            held = tone[: int(rate * min(length * legato + 0.1, NOTE_SECONDS))].copy()
            fade = min(len(held), int(0.08 * rate))
            held[len(held) - fade :] *= np.linspace(1, 0, fade, dtype=np.float32)
            start = int(at * rate)
            out[start : start + len(held)] += held * random.uniform(0.3, 1.0)
        at += length + (beat * random.integers(1, 4) if random.random() < 0.1 else 0.0)
    peak = max(float(np.abs(out).max()), 1e-6)
    rounded: NDArray[np.int16] = np.rint(out * (24_000 / peak)).astype(np.int16)
    return rounded


def _pitched(notes: list[tuple[NDArray[np.float32], int]], pitch: int) -> NDArray[np.float32]:
    """Play the recorded note nearest to a pitch faster or slower, so that it has it."""
    note, recorded = min(notes, key=lambda entry: abs(entry[1] - pitch))
    places = np.arange(0, len(note) - 1, 2 ** ((pitch - recorded) / 12))
    played: NDArray[np.float32] = np.interp(places, np.arange(len(note)), note).astype(np.float32)
    return played


def _held(note: NDArray[np.float32], start: int, end: int, length: int) -> NDArray[np.float32]:
    """Repeat a note's loop until it is long enough, decaying as held notes do."""
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
