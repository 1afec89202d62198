"""Music made by rule: the kinds that matchers confuse, with chosen things in common.

Each kind of music is a function of (rng, pack, seconds). A `pack` is a set of samples: two pieces
made from one pack share kick, snare, hat, and the spectra of their instruments, as pieces made
with one sample library do. What else two pieces share is the caller's choice of the generators.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import signal

from bench.matching.music import RATE

Audio = NDArray[np.float32]
Generator = np.random.Generator

SCALES = ((0, 2, 4, 5, 7, 9, 11), (0, 2, 3, 5, 7, 8, 10), (0, 3, 5, 7, 10), (0, 2, 4, 7, 9))
TEMPOS = (90, 100, 110, 120, 125, 126, 128, 130, 140, 150, 174)  # beats a minute, of sequencers
_STEPS = 16  # in a bar


@dataclass(frozen=True)
class Pack:
    """A sample library: drums and the harmonics of three instruments."""

    drums: tuple[Audio, Audio, Audio]
    harmonics: tuple[NDArray[np.float64], ...]
    decay: tuple[float, ...]


def pack(seed: int) -> Pack:
    """Return sample library number `seed`."""
    rng = np.random.default_rng([77, seed])
    t = np.arange(RATE // 4) / RATE
    fall = rng.uniform(40, 70) * (1 - np.exp(-t * rng.uniform(20, 60)))
    low = rng.uniform(45, 60)
    kick = np.sin(2 * np.pi * (low * t + fall / 20)) * np.exp(-t * rng.uniform(8, 20))
    kick[:200] += 0.3 * rng.standard_normal(200)
    snare = _noise(len(t), rng, 800, 5000) * np.exp(-t * rng.uniform(12, 30))
    snare += 0.5 * np.sin(2 * np.pi * rng.uniform(160, 240) * t) * np.exp(-t * 30)
    hat = _noise(len(t), rng, 4500, 7500) * np.exp(-t * rng.uniform(30, 90))
    harmonics = tuple(
        rng.uniform(0.2, 1, 12) / np.arange(1, 13) ** rng.uniform(0.6, 1.6) for _ in range(3)
    )
    drums = tuple((0.8 * x / np.abs(x).max()).astype(np.float32) for x in (kick, snare, hat))
    return Pack((drums[0], drums[1], drums[2]), harmonics, tuple(rng.uniform(2, 10, 3)))


def drum_loop(rng: Generator, kit: Pack, bar: int, bars: int = 2) -> Audio:
    """Return a loop of drums, `bars` of `bar` samples each."""
    out = np.zeros(bars * bar + RATE, np.float32)
    house = rng.random() < 0.6
    kicks = [0, 4, 8, 12] if house else [0, *sorted(rng.choice(16, 3, replace=False))]
    for number in range(bars):
        hats = rng.random(_STEPS) < rng.uniform(0.4, 0.9)
        for step in range(_STEPS):
            at = number * bar + step * bar // _STEPS
            if step in kicks:
                _add(out, at, kit.drums[0])
            if step in (4, 12) or rng.random() < 0.05:
                _add(out, at, 0.7 * kit.drums[1])
            if hats[step]:
                _add(out, at, np.float32(rng.uniform(0.2, 0.5)) * kit.drums[2])
    return out[: bars * bar]


def phrase(
    rng: Generator, kit: Pack, bar: int, scale: NDArray[np.int64], voice: int, bars: int = 2
) -> Audio:
    """Return `bars` of one instrument: 0 plays bass, 1 chords, 2 a melody in semiquavers."""
    out = np.zeros(bars * bar + 2 * RATE, np.float32)
    for number in range(bars):
        if voice == 1:
            root = int(rng.integers(len(scale)))
            long = bar if rng.random() < 0.5 else bar // 4
            for at in range(0, bar, long):
                for third in (0, 2, 4):
                    note = scale[(root + third) % len(scale)] + 60
                    _add(out, number * bar + at, 0.4 * tone(kit, 1, int(note), long / RATE))
            continue
        steps = rng.random(_STEPS) < (0.5 if voice == 0 else 0.6)
        for step in np.flatnonzero(steps):
            note = int(rng.choice(scale) + (36 if voice == 0 else 72))
            _add(
                out,
                number * bar + int(step) * bar // _STEPS,
                (0.5 if voice == 0 else 0.3) * tone(kit, voice, note, bar / _STEPS / RATE * 1.5),
            )
    return out[: bars * bar]


def tone(kit: Pack, voice: int, pitch: int, seconds: float) -> Audio:
    """Return a note, `pitch` as in MIDI."""
    t = np.arange(int(seconds * RATE)) / RATE
    hz = 440 * 2 ** ((pitch - 69) / 12)
    count = min(12, int(7000 / hz))
    number = np.arange(1, count + 1)[:, None]
    wave = (kit.harmonics[voice][:count, None] * np.sin(2 * np.pi * hz * number * t)).sum(axis=0)
    ends = np.minimum(np.minimum(t, t[-1] - t) / 0.004, 1)
    return (wave * ends * np.exp(-t * kit.decay[voice])).astype(np.float32)


def electronic(rng: Generator, kit: Pack, seconds: float) -> Audio:
    """Return dance music: loops of two bars that come and go every four or eight bars."""
    bar = round(RATE * 240 / int(rng.choice(TEMPOS)))
    scale = np.asarray(SCALES[rng.integers(len(SCALES))]) + int(rng.integers(12))
    n = int(seconds * RATE)
    count = n // (2 * bar) + 1
    out = np.zeros((count, 2 * bar), np.float32)
    for layer in range(6):
        at = 0
        while at < count:
            lasts = int(rng.choice([2, 4, 4, 8]))
            if layer < 2 and rng.random() < 0.85:
                loop = drum_loop(rng, kit, bar)
            elif layer >= 2 and rng.random() < 0.6:
                loop = phrase(rng, kit, bar, scale, layer % 3)
            else:
                loop = np.zeros(2 * bar, np.float32)
            out[at : at + lasts] += loop * np.float32(rng.uniform(0.4, 1))
            at += lasts
    return normal(out.ravel()[:n])


def chip(rng: Generator, _: Pack, seconds: float) -> Audio:
    """Return chip music: two square waves with fast arpeggios, a triangle bass and noise."""
    step = round(RATE * 15 / int(rng.choice(TEMPOS)))
    tick = round(RATE / 60)
    scale = np.asarray(SCALES[rng.integers(len(SCALES))]) + int(rng.integers(12))
    n = int(seconds * RATE)
    count = n // step + 1
    out = np.zeros(count * step, np.float32)
    pattern = rng.integers(len(scale), size=(4, 64))
    sounds = rng.random((4, 64)) < 0.7
    for voice in range(3):
        pitch = np.zeros(count * step)
        on = np.zeros(count * step, np.float32)
        for number in range(count):
            # Patterns of 64 steps; every fourth is another one.
            row = (number // 64) % 4
            cell = number % 64
            if number % 64 == 0 and rng.random() < 0.5:
                pattern[row] = rng.integers(len(scale), size=64)
            degree = int(pattern[(row + voice) % 4, cell])
            span = slice(number * step, (number + 1) * step)
            if sounds[(row + voice) % 4, cell]:
                on[span] = np.linspace(1, 0.3, step)
            note = scale[degree] + (72 if voice == 0 else 60 if voice == 1 else 40)
            if voice == 1:
                ticks = (np.arange(step) // tick) % 3
                chord = [scale[(degree + third) % len(scale)] + 60 for third in (0, 2, 4)]
                pitch[span] = np.asarray(chord)[ticks]
            else:
                pitch[span] = note
        phase = np.cumsum(440 * 2 ** ((pitch - 69) / 12) / RATE) % 1
        wave = 2 * np.abs(2 * phase - 1) - 1 if voice == 2 else np.where(phase < 0.25, 1.0, -0.33)
        out += on * wave.astype(np.float32) * np.float32(0.3)
    hits = np.repeat(rng.random(count) < 0.4, step) * np.tile(
        np.exp(-np.arange(step) / RATE * 50), count
    )
    out += (0.3 * hits * rng.standard_normal(len(out))).astype(np.float32)
    return normal(out[:n])


def loops(rng: Generator, kit: Pack, seconds: float) -> Audio:
    """Return one loop of two bars that repeats for ever, with a melody now and then."""
    bar = round(RATE * 240 / int(rng.choice(TEMPOS)))
    scale = np.asarray(SCALES[rng.integers(len(SCALES))]) + int(rng.integers(12))
    n = int(seconds * RATE)
    loop = drum_loop(rng, kit, bar) + phrase(rng, kit, bar, scale, int(rng.integers(2)))
    out = np.tile(loop, n // len(loop) + 1)
    for at in range(0, n - 2 * bar, 8 * bar):
        if rng.random() < 0.5:
            out[at : at + 2 * bar] += phrase(rng, kit, bar, scale, 2)
    return normal(out[:n])


def tones(rng: Generator, kit: Pack, seconds: float) -> Audio:
    """Return notes of equal length, drawn from a scale."""
    long = float(rng.choice([0.125, 0.2, 0.25, 0.5]))
    scale = np.asarray(SCALES[rng.integers(len(SCALES))])
    n = int(seconds * RATE)
    out = np.zeros(n + RATE, np.float32)
    plain = rng.random() < 0.5
    for at in range(0, n, round(long * RATE)):
        pitch = int(rng.choice(scale) + 12 * rng.integers(4, 7))
        if plain:
            t = np.arange(round(long * RATE)) / RATE
            note = np.sin(2 * np.pi * 440 * 2 ** ((pitch - 69) / 12) * t).astype(np.float32)
        else:
            note = tone(kit, 2, pitch, long)
        _add(out, at, note)
    return normal(out[:n])


def pads(rng: Generator, kit: Pack, seconds: float) -> Audio:
    """Return slow chords that fade into each other."""
    n = int(seconds * RATE)
    out = np.zeros(n + 20 * RATE, np.float32)
    scale = np.asarray(SCALES[rng.integers(len(SCALES))]) + int(rng.integers(12))
    t = np.arange(10 * RATE) / RATE
    fade = np.sin(np.pi * t / 10) ** 2
    for at in range(0, n, 5 * RATE):
        root = int(rng.integers(len(scale)))
        for third in (0, 2, 4, 7):
            note = scale[(root + third) % len(scale)] + 48 + 12 * int(rng.integers(2))
            hz = 440 * 2 ** ((note - 69) / 12) * np.array([0.998, 1.002])
            for each in hz:
                count = min(6, int(7000 / each))
                harmonics = each * np.arange(1, count + 1)[:, None]
                wave = kit.harmonics[1][:count, None] * np.sin(2 * np.pi * harmonics * t)
                _add(out, at, (wave.sum(axis=0) * fade).astype(np.float32))
    return normal(out[:n])


KINDS: dict[str, Callable[[Generator, Pack, float], Audio]] = {
    "electronic": electronic,
    "chip": chip,
    "loops": loops,
    "tones": tones,
    "pads": pads,
}


def same_drums(rng: Generator, kit: Pack, seconds: float, pieces: int) -> list[Audio]:
    """Return pieces over one drum loop, each with its own bass, chords and melody."""
    bar = round(RATE * 240 / int(rng.choice(TEMPOS)))
    loop = drum_loop(rng, kit, bar)
    return [_over(rng, kit, bar, loop, seconds, (0, 1, 2)) for _ in range(pieces)]


def same_loop(rng: Generator, kit: Pack, seconds: float, pieces: int) -> list[Audio]:
    """Return pieces over one loop of drums and bass, each with its own chords."""
    bar = round(RATE * 240 / int(rng.choice(TEMPOS)))
    scale = np.asarray(SCALES[rng.integers(len(SCALES))]) + int(rng.integers(12))
    loop = drum_loop(rng, kit, bar) + phrase(rng, kit, bar, scale, 0)
    return [_over(rng, kit, bar, loop, seconds, (1,)) for _ in range(pieces)]


def normal(samples: Audio) -> Audio:
    """Return samples at the level of a mastered recording, without clipping."""
    return (samples * np.float32(0.7 / max(float(np.abs(samples).max()), 1e-6))).astype(np.float32)


def _over(
    rng: Generator, kit: Pack, bar: int, loop: Audio, seconds: float, voices: tuple[int, ...]
) -> Audio:
    n = int(seconds * RATE)
    scale = np.asarray(SCALES[rng.integers(len(SCALES))]) + int(rng.integers(12))
    parts = []
    while sum(map(len, parts)) < n:
        parts.append(loop + sum(phrase(rng, kit, bar, scale, voice) for voice in voices))
    return normal(np.concatenate(parts)[:n])


def _noise(n: int, rng: Generator, low: float, high: float) -> NDArray[np.float64]:
    band = signal.butter(2, [low, high], "bandpass", fs=RATE, output="sos")
    filtered: NDArray[np.float64] = signal.sosfilt(band, rng.standard_normal(n))
    return filtered


def _add(out: Audio, at: int, note: Audio) -> None:
    end = min(at + len(note), len(out))
    out[at:end] += note[: end - at]
