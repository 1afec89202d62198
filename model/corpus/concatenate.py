"""Concatenate clips of seconds to takes of 40 s, without audible joins.

Samples are joined and not columns: a column of a low bin spans half a second, and joined columns
would have shapes that no broadcast has.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from model.corpus import augment, recordings
from model.spec import HOP
from model.spec import SAMPLE_RATE as RATE

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from model.corpus.recordings import Recording
    from model.corpus.sources import Kind

    Samples = NDArray[np.float32]
    # Samples, and for each column or sample whether the class is active.
    ActiveSamples = tuple[Samples, NDArray[np.bool_]]

COLUMNS_PER_SECOND = RATE // HOP
TAKE_SECONDS = 40
TAKE_LEVEL = 0.1
# Shorter pauses count as speech: a speaker may pause within a sentence.
PAUSE_SECONDS = 2.0


def concatenate_clips(
    folder: Path,
    members: Sequence[Recording],
    kind: Kind,
    random: np.random.Generator,
    *,
    sparse: bool,
) -> Iterator[ActiveSamples]:
    """Yield takes of about `TAKE_SECONDS`, and for each column whether the class is active.

    Parameters
    ----------
    folder : Path
        The corpus.
    members : sequence of Recording
        Of one group, in order.
    kind : Kind
        Their class; the gaps depend on it.
    random : np.random.Generator
        Draws the gaps.
    sparse : bool
        Whether some takes of speech have long pauses throughout.
    """
    parts: list[Samples] = []
    activity: list[NDArray[np.bool_]] = []
    length = 0
    longest = _longest_gap(kind, random, sparse=sparse)
    for member in members:
        stored = recordings.samples_of(folder, member)
        for start in range(0, len(stored), TAKE_SECONDS * RATE):
            clip = stored[start : start + TAKE_SECONDS * RATE].astype(np.float32) / 32768.0
            clip, active = normalise(clip, kind)
            if not len(clip):
                continue
            gap = _gap(kind, longest, random)
            parts += [fade_edges(clip), np.zeros(gap, np.float32)]
            activity += [active, np.full(gap, gap < PAUSE_SECONDS * RATE and kind != "music")]
            length += len(clip) + gap
            if length >= TAKE_SECONDS * RATE:
                yield add_noise_floor(np.concatenate(parts), np.concatenate(activity), random)
                parts, activity, length = [], [], 0
                longest = _longest_gap(kind, random, sparse=sparse)
    if length > RATE:
        yield add_noise_floor(np.concatenate(parts), np.concatenate(activity), random)


def conversation(clips: Sequence[Samples], random: np.random.Generator) -> ActiveSamples:
    """Mix a conversation of voices in one room, near and far from the microphone.

    Parameters
    ----------
    clips : sequence of np.ndarray
        Speech of several voices at `TAKE_LEVEL`, in order.
    random : np.random.Generator
        Draws pauses of up to 1.9 s, interruptions, distances and the room.

    Returns
    -------
    samples, active
        `TAKE_SECONDS` or shorter; speech is active throughout.
    """
    length = TAKE_SECONDS * RATE
    mix = np.zeros(length, np.float32)
    hurried = random.random() < 0.5
    room = random.integers(2**32)
    at = 0
    for clip in clips:
        # One room: the same impulse response for all, at individual distances.
        placed = clip
        if random.random() < 0.8:
            placed = augment.room(clip, np.random.default_rng(room), random.uniform(-12.0, 12.0))
        turn = placed[: length - at] * np.float32(10.0 ** (random.uniform(-12.0, 0.0) / 20.0))
        mix[at : at + len(turn)] += fade_edges(turn)
        pause = random.uniform(-0.6, 0.4) if hurried else random.uniform(-0.2, 1.9)
        at += max(0, len(clip) + int(pause * RATE))
        if at >= length - RATE:
            break
    samples = mix[: min(length, at)]
    return add_noise_floor(samples, np.ones(len(samples), np.bool_), random)


def crowd(clips: Sequence[Samples], random: np.random.Generator) -> Samples:
    """Sum many distant voices: babble noise."""
    length = TAKE_SECONDS * RATE
    mix = np.zeros(length, np.float32)
    for clip in clips:
        repeated = np.resize(np.roll(clip, random.integers(len(clip))), length)
        mix += repeated * np.float32(10.0 ** (random.uniform(-6.0, 0.0) / 20.0))
    return augment.room(mix, random, random.uniform(-12.0, 0.0))


def add_noise_floor(
    samples: Samples, active: NDArray[np.bool_], random: np.random.Generator
) -> ActiveSamples:
    """Add faint noise, so that gaps are not digital silence; reduce `active` to columns."""
    count = len(samples) // HOP
    floor = TAKE_LEVEL * 10.0 ** (random.uniform(-60.0, -25.0) / 20.0)
    noise = np.cumsum(random.standard_normal(len(samples)).astype(np.float32))
    noise = noise - np.convolve(noise, np.full(64, 1 / 64, np.float32), "same")
    samples = samples + noise * (floor / max(float(noise.std()), 1e-9))
    columns = active[: count * HOP].reshape(count, HOP).mean(axis=1) >= 0.5
    return samples[: count * HOP].astype(np.float32), columns


def normalise(clip: Samples, kind: Kind) -> ActiveSamples:
    """Trim silence at the ends and normalise the level; return which samples are active."""
    count = len(clip) // HOP
    if count < 5:
        return clip[:0], np.zeros(0, np.bool_)
    power = np.square(clip[: count * HOP]).reshape(count, HOP).mean(axis=1)
    loud = float(np.quantile(power, 0.9))
    if loud < 1e-9:
        return clip[:0], np.zeros(0, np.bool_)
    sounding = power > loud * (1e-4 if kind == "speech" else 10**-4.5)
    first, last = int(np.argmax(sounding)), count - int(np.argmax(sounding[::-1]))
    sounding = _pauses_filled(sounding[first:last], int(PAUSE_SECONDS * COLUMNS_PER_SECOND))
    trimmed = clip[first * HOP : last * HOP]
    level = float(np.sqrt(power[first:last][sounding].mean()))
    return trimmed * np.float32(TAKE_LEVEL / level), np.repeat(sounding, HOP)


def fade_edges(clip: Samples) -> Samples:
    """Fade 10 ms at both ends, so that a join does not click."""
    n = min(160, len(clip) // 2)
    ramp = np.linspace(0.0, 1.0, n, dtype=np.float32)
    changed = clip.copy()
    changed[:n] *= ramp
    changed[len(clip) - n :] *= ramp[::-1]
    return changed


def _pauses_filled(sounding: NDArray[np.bool_], longest: int) -> NDArray[np.bool_]:
    """Fill pauses shorter than `longest`."""
    places = np.flatnonzero(sounding)
    filled = sounding.copy()
    for before, after in pairwise(places):
        if 1 < after - before < longest:
            filled[before:after] = True
    return filled


def _longest_gap(kind: Kind, random: np.random.Generator, *, sparse: bool) -> float:
    """Draw the longest ordinary gap of a take, in seconds."""
    if kind == "speech":
        return 1.9 if sparse and random.random() < 0.3 else 0.7
    return 1.0 if kind == "noise" else 0.0


def _gap(kind: Kind, longest: float, random: np.random.Generator) -> int:
    """Draw the samples of silence after a clip."""
    if kind == "speech" and random.random() < 0.06:
        return int(random.uniform(1.5, 4.0) * COLUMNS_PER_SECOND) * HOP
    seconds = random.uniform(0.0, longest)
    if kind == "noise" and random.random() < 0.3:
        seconds = 0.0
    return int(seconds * COLUMNS_PER_SECOND) * HOP
