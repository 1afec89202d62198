"""Synthetic beats: drums alone, count-ins, and drums with a bass, from formulas.

Drums without other instruments are rare in game music, and a network that does not know them takes
a voice over a beat for speech alone. Every beat has a kit of its own: a swept sine for the kick,
tones and noise for snare, toms and claps, filtered noise for the cymbals.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy import signal

from model.spec import SAMPLE_RATE as RATE

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Sound = NDArray[np.float64]
    Drum = Callable[[np.random.Generator], Sound]

STEPS = 16  # of a bar
# Probability of each drum at the steps on the beat, between beats, and elsewhere.
ODDS: dict[str, tuple[float, float, float]] = {
    "kick": (0.7, 0.25, 0.1),
    "snare": (0.5, 0.08, 0.05),
    "hat": (0.9, 0.8, 0.4),
    "tom": (0.12, 0.12, 0.08),
    "click": (0.3, 0.3, 0.25),
}
SCALE = (0, 3, 5, 7, 10)


def beat(n: int, random: np.random.Generator) -> Sound:
    """Return drums, in half of the cases with a bass [shape=(n,)]."""
    kit = {name: make(random) for name, make in DRUMS.items()}
    chosen = [name for name in DRUMS if random.random() < 0.7] or ["kick", "hat"]
    step = RATE * 60.0 / random.uniform(65.0, 175.0) / 4.0
    swing = random.uniform(0.0, 0.33) if random.random() < 0.4 else 0.0
    out = np.zeros(n)
    bar = {name: _pattern(ODDS[name], random) for name in chosen}
    notes = [int(random.choice(SCALE)) for _ in range(STEPS)]
    bass = _bass(random) if random.random() < 0.5 else None
    plays = _pattern((0.8, 0.4, 0.2), random)
    for number in range(int(n / step) + 1):
        place = number % STEPS
        if place == 0 and number % (4 * STEPS) == 3 * STEPS:
            # Every fourth bar is a variation.
            bar = {name: _pattern(ODDS[name], random) for name in chosen}
        at = int((number + (swing if number % 2 else 0.0)) * step + random.normal(0.0, 40.0))
        for name in chosen:
            if bar[name][place]:
                _add(out, kit[name] * random.uniform(0.5, 1.0), at)
        if bass is not None and plays[place]:
            _add(out, bass(notes[place], int(step * random.integers(1, 5))), at)
    return out


def count_in(n: int, random: np.random.Generator) -> Sound:
    """Return strokes of a stick or a metronome, and a beat after every 4, 8 or 64 of them."""
    stick = _click(random)
    step = RATE * 60.0 / random.uniform(60.0, 180.0)
    out = np.zeros(n)
    at, strokes = random.uniform(0.0, step), int(random.choice([4, 8, 64]))
    while at < n:
        for number in range(strokes):
            _add(out, stick * (1.0 if number % 4 == 0 else 0.7), int(at + number * step))
        at += strokes * step
        length = min(n - int(at), int(step * random.integers(8, 33)))
        if length > 0:
            _add(out, beat(length, random), int(at))
            at += length
    return out


BEATS = (beat, beat, beat, count_in)


def make_beat(n: int, number: int) -> tuple[str, NDArray[np.float32]]:
    """Return the name and the samples of a beat; the same number gives the same beat."""
    random = np.random.default_rng([number, 77])
    make = BEATS[number % len(BEATS)]
    samples = make(n, random)
    level = max(float(np.sqrt(np.mean(samples**2))), 1e-9)
    return make.__name__, (0.1 / level * samples).astype(np.float32)


def _pattern(odds: tuple[float, float, float], random: np.random.Generator) -> NDArray[np.bool_]:
    on, between, other = odds
    probabilities = np.full(STEPS, other)
    probabilities[2::4], probabilities[::4] = between, on
    return random.random(STEPS) < probabilities


def _add(out: Sound, sound: Sound, at: int) -> None:
    first = max(at, 0)
    part = sound[first - at : first - at + max(0, len(out) - first)]
    out[first : first + len(part)] += part


def _times(seconds: float) -> Sound:
    return np.arange(int(seconds * RATE)) / RATE


def _kick(random: np.random.Generator) -> Sound:
    times = _times(random.uniform(0.12, 0.6))
    low, high = random.uniform(38.0, 75.0), random.uniform(90.0, 350.0)
    fall = random.uniform(0.008, 0.06)
    phase = 2 * np.pi * (low * times + (high - low) * fall * (1 - np.exp(-times / fall)))
    body = np.sin(phase) * np.exp(-times / random.uniform(0.05, 0.2))
    click = random.standard_normal(len(times)) * np.exp(-times / 0.003) * random.uniform(0.0, 0.4)
    struck: Sound = np.tanh(random.uniform(1.0, 4.0) * (body + click))
    return struck


def _snare(random: np.random.Generator) -> Sound:
    times = _times(random.uniform(0.1, 0.4))
    tone = np.sin(2 * np.pi * random.uniform(140.0, 260.0) * times) * np.exp(-times / 0.05)
    rattle = _noise(len(times), random.uniform(600.0, 2500.0), random)
    decay = np.exp(-times / random.uniform(0.03, 0.14))
    mixed: Sound = random.uniform(0.2, 0.9) * tone + random.uniform(0.4, 1.0) * rattle * decay
    return mixed


def _hat(random: np.random.Generator) -> Sound:
    times = _times(random.uniform(0.03, 0.5))
    hiss = _noise(len(times), random.uniform(3000.0, 6500.0), random)
    struck: Sound = 0.5 * hiss * np.exp(-times / random.uniform(0.01, 0.15))
    return struck


def _tom(random: np.random.Generator) -> Sound:
    times = _times(random.uniform(0.2, 0.6))
    pitch = random.uniform(70.0, 450.0)
    swept = pitch * times + 0.1 * pitch * np.exp(-times / 0.05)
    struck: Sound = np.sin(2 * np.pi * swept) * np.exp(-times / random.uniform(0.05, 0.25))
    return struck


def _click(random: np.random.Generator) -> Sound:
    times = _times(0.08)
    pitch = random.uniform(700.0, 3500.0)
    tone = np.sin(2 * np.pi * pitch * times) + 0.5 * np.sin(2 * np.pi * 2.3 * pitch * times)
    noise = random.standard_normal(len(times)) * random.uniform(0.0, 1.0)
    struck: Sound = 0.6 * (tone + noise) * np.exp(-times / random.uniform(0.004, 0.02))
    return struck


def _noise(n: int, above_hz: float, random: np.random.Generator) -> Sound:
    high = signal.butter(2, above_hz, "highpass", fs=RATE, output="sos")
    filtered: Sound = signal.sosfilt(high, random.standard_normal(n))
    return filtered


def _bass(random: np.random.Generator) -> Callable[[int, int], Sound]:
    """Return a function of semitones and length that plays a note of one bass."""
    root, harmonics = random.uniform(36.0, 75.0), int(random.integers(1, 9))
    decay, tilt = random.uniform(0.1, 1.0), random.uniform(0.8, 2.0)

    def play(semitones: int, length: int) -> Sound:
        times = np.arange(length) / RATE
        pitch = root * 2 ** (semitones / 12)
        note = np.zeros(length)
        for harmonic in range(1, harmonics + 1):
            note += np.sin(2 * np.pi * pitch * harmonic * times) / harmonic**tilt
        edge = np.minimum(1.0, np.minimum(times, times[::-1]) / 0.005)
        played: Sound = 0.7 * note * np.exp(-times / decay) * edge
        return played

    return play


DRUMS: dict[str, Drum] = {
    "kick": _kick, "snare": _snare, "hat": _hat, "tom": _tom, "click": _click,
}  # fmt: skip
