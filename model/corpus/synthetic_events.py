"""Synthetic sound events of the class noise: alarms, birds, knocks, rain.

`model.corpus.synthetic_noise` makes steady background noise. These events have a pitch, a rhythm or
an onset, as music and speech have: a classifier confuses them unless it was trained on them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy import signal

from model.corpus.synthetic_noise import coloured
from model.spec import SAMPLE_RATE as RATE

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from model.corpus.synthetic_noise import Noise

    Wave = NDArray[np.float64]


def alarm(n: int, random: np.random.Generator) -> Wave:
    """Beepers and telephones: one or two pitches, switched on and off in a steady rhythm."""
    time = np.arange(n) / RATE
    period, share = 10.0 ** random.uniform(-0.9, 0.4), random.uniform(0.2, 0.9)
    base = np.exp(random.uniform(np.log(350), np.log(3800)))
    second = base * (random.uniform(1.05, 1.5) if random.random() < 0.4 else 1.0)
    pitch = np.where(time / period % 2 < 1, base, second)
    return _harmonic(pitch, random, max_harmonics=6) * _smooth(time / period % 1 < share, 0.004)


def siren(n: int, random: np.random.Generator) -> Wave:
    """Sirens: a pitch that sweeps up and down, slowly or quickly."""
    time = np.arange(n) / RATE
    period = 10.0 ** random.uniform(-0.7, 0.9)
    sweep = signal.sawtooth(2 * np.pi * time / period, random.uniform(0.1, 1.0))
    centre, width = np.exp(random.uniform(np.log(400), np.log(2000))), random.uniform(0.1, 0.6)
    return _harmonic(centre * 2 ** (width * sweep), random, max_harmonics=8)


def horn(n: int, random: np.random.Generator) -> Wave:
    """Horns of trains and ships: the same few tones repeated, with long pauses."""
    out = np.zeros(n)
    base, power = random.uniform(90, 500), random.uniform(0.6, 1.5)
    tones = base * np.array([1.0, random.uniform(1.15, 1.3), random.uniform(1.4, 1.7)])
    tones = tones[: random.integers(1, 4)]
    for start, length in _times(n, random, 0.3, (0.2, 2.5)):
        time = np.arange(length) / RATE
        held = _total(
            np.sin(2 * np.pi * tone * k * time + k) / k**power
            for tone in tones
            for k in range(1, 16)
            if tone * k < RATE / 2
        )
        out[start : start + length] += held * _smooth(np.ones(length), 0.03)
    return out


def honking(n: int, random: np.random.Generator) -> Wave:
    """Car horns in traffic: one or two buzzing tones of 250 to 600 Hz, tapped or held.

    Up to four cars, near and far, each with its own horn, over the noise of a street. A pair of
    horns is usually about a third apart.
    """
    street = coloured(n, random)
    out: Wave = street * (10.0 ** random.uniform(-2.0, -0.2) / max(float(street.std()), 1e-9))
    for _ in range(int(random.integers(1, 5))):
        base = random.uniform(250, 600)
        tones = [base, base * random.uniform(1.15, 1.3)][: random.integers(1, 3)]
        bell = np.exp(random.uniform(np.log(800), np.log(4000)))
        longest = 10.0 ** random.uniform(-0.7, 0.9)
        gain = 10.0 ** random.uniform(-1.2, 0.0)
        rate = random.uniform(0.1, 0.8) / min(longest, 2.0)
        for start, length in _times(n, random, rate, (0.12, max(0.2, longest))):
            time = np.arange(length) / RATE
            # The diaphragm hits its stop in each period: a pulse wave, coloured by the bell.
            buzz = _total(
                np.sin(np.pi * k * 0.3) / k * np.sin(2 * np.pi * k * tone * time)
                for tone in tones
                for k in range(1, 24)
                if k * tone < RATE / 2
            )
            held = buzz + 2.0 * _band(buzz, bell, 0.6)
            out[start : start + length] += gain * held * _smooth(np.ones(length), 0.02)
    return out


def chirps(n: int, random: np.random.Generator) -> Wave:
    """Birds: short whistled sweeps in phrases, repeated with variations."""
    out = np.zeros(n)
    phrase = [
        (np.exp(random.uniform(np.log(1200), np.log(6000))), random.normal(0, 0.4),
         random.uniform(0.02, 0.25), random.uniform(0.0, 40.0), random.uniform(0.0, 0.2))
        for _ in range(random.integers(1, 8))
    ]  # fmt: skip
    at = 0.0
    while at < n / RATE - 4:
        for pitch, sweep, seconds, trill, gap in phrase:
            length = int(seconds * RATE)
            time = np.arange(length) / RATE
            bend = sweep * time / seconds + 0.06 * np.sin(2 * np.pi * trill * time)
            note = np.sin(
                2 * np.pi * np.cumsum(pitch * random.uniform(0.97, 1.03) * 2**bend) / RATE
            )
            start = int(at * RATE)
            out[start : start + length] += note * np.hanning(length) * random.uniform(0.3, 1.0)
            at += seconds + gap * 0.5
        at += random.exponential(1.2)
    return out


def insects(n: int, random: np.random.Generator) -> Wave:
    """Crickets and cicadas: a high tone or band, modulated at 8 to 60 Hz."""
    time = np.arange(n) / RATE
    carrier = np.exp(random.uniform(np.log(1800), np.log(7000)))
    if random.random() < 0.5:
        song = np.sin(2 * np.pi * carrier * time + np.cumsum(random.standard_normal(n)) * 0.02)
    else:
        song = _band(random.standard_normal(n), carrier, random.uniform(0.05, 0.4))
    gate = 0.5 + 0.5 * signal.square(2 * np.pi * random.uniform(8, 60) * time, 0.5)
    period = random.uniform(0.3, 4.0)
    phrases = _smooth(time / period % 1 < random.uniform(0.3, 1.1), 0.01)
    shaped: Wave = _smooth(gate, 0.004) * phrases * song
    return shaped


def barks(n: int, random: np.random.Generator) -> Wave:
    """Dogs, crows, cattle, a cough: short rough calls with one pair of formants."""
    out = np.zeros(n)
    pitch = np.exp(random.uniform(np.log(70), np.log(900)))
    throat = np.exp(random.uniform(np.log(400), np.log(2500), 2))
    rough, length_s = random.uniform(0.1, 1.5), 10.0 ** random.uniform(-1.0, 0.1)
    for start, length in _times(n, random, random.uniform(0.3, 2.5), (length_s, 1.3 * length_s)):
        place = np.linspace(0, 1, length)
        bend = pitch * 2 ** (random.normal(0.0, 0.1) + 0.5 * np.sin(np.pi * place) - 0.3 * place)
        pulses = np.diff(np.floor(np.cumsum(bend) / RATE), prepend=0.0) * pitch**0.5
        source = pulses + rough * 0.3 * random.standard_normal(length)
        call = _total(_band(source, formant, 0.35) for formant in throat)
        out[start : start + length] += call * np.hanning(length) * random.uniform(0.5, 1.0)
    return out


def knocks(n: int, random: np.random.Generator) -> Wave:
    """Knocks, steps, hammers, clocks, typing: struck objects in a more or less even rhythm."""
    out = np.zeros(n)
    gap = 10.0 ** random.uniform(-1.1, 0.4)
    even = random.choice([0.0, 0.05, 0.5])
    modes = [
        (np.exp(random.uniform(np.log(80), np.log(5000))), 10.0 ** random.uniform(-2.3, -0.7))
        for _ in range(random.integers(1, 6))
    ]
    noisy, at = random.uniform(0.0, 2.0), random.uniform(0.0, 1.0)
    time = np.arange(int(0.4 * RATE)) / RATE
    while at < n / RATE - 0.5:
        struck = _total(
            random.uniform(0.3, 1.0) * np.sin(2 * np.pi * pitch * time) * np.exp(-time / decay)
            for pitch, decay in modes
        )
        struck = struck + noisy * random.standard_normal(len(time)) * np.exp(-time / 0.008)
        start = int(at * RATE)
        out[start : start + len(time)] += struck * 10.0 ** random.uniform(-0.6, 0.0)
        at += gap * max(0.1, 1.0 + even * random.standard_normal())
        at += random.exponential(2.0) * (random.random() < 0.08)
    return out


def bell(n: int, random: np.random.Generator) -> Wave:
    """Bells: one set of partials, struck at random times."""
    out = np.zeros(n)
    base, longest = np.exp(random.uniform(np.log(150), np.log(3000))), random.uniform(0.2, 3.0)
    partials = base * np.sort(random.uniform(0.5, 6.0, random.integers(3, 9)))
    time = np.arange(int(4 * RATE)) / RATE
    for start, _ in _times(n - len(time), random, random.uniform(0.3, 2.0), (0.3, 0.3)):
        struck = _total(
            random.exponential(1.0)
            * np.sin(2 * np.pi * p * time)
            * np.exp(-time * p / base / longest)
            for p in partials
            if p < RATE / 2
        )
        out[start : start + len(time)] += struck
    return out


def water(n: int, random: np.random.Generator) -> Wave:
    """Drips, streams and rain on things: few or many bubbles over band noise."""
    out = np.zeros(n + RATE)
    for start in random.integers(0, n, int(n / RATE * 10.0 ** random.uniform(0.0, 2.0))):
        length = int(random.uniform(0.01, 0.08) * RATE)
        time = np.arange(length) / RATE
        pitch = np.exp(random.uniform(np.log(400), np.log(4000))) * (
            1 + random.uniform(0, 8) * time
        )
        bubble = np.sin(2 * np.pi * np.cumsum(pitch) / RATE) * np.exp(
            -6 * np.arange(length) / length
        )
        out[start : start + length] += bubble * random.exponential(1.0)
    rush = _band(random.standard_normal(n), random.uniform(800, 4000), 0.9)
    rush *= 10.0 ** random.uniform(-1.5, 0.7)
    rush += out[:n] / max(float(out.std()), 1e-9)
    return rush


def creaks(n: int, random: np.random.Generator) -> Wave:
    """Doors, brakes and squeaking wheels: stick-slip pulses through resonances."""
    knots = int(n / RATE * 3) + 4
    speed = np.interp(np.arange(n), np.linspace(0, n, knots), random.normal(0, 0.7, knots))
    rate = np.exp(random.uniform(np.log(20), np.log(900))) * 2**speed
    slips = np.diff(np.floor(np.cumsum(rate) / RATE), prepend=0.0)
    sound = _total(
        _band(slips, np.exp(random.uniform(np.log(300), np.log(4500))), 0.12) for _ in range(3)
    )
    moving = np.interp(np.arange(n), np.linspace(0, n, knots), random.random(knots))
    return sound * _smooth(moving > random.uniform(0.2, 0.7), 0.03)


def rubble(n: int, random: np.random.Generator) -> Wave:
    """Crumpling, pouring, thunder and blasts: bursts of noise of 20 ms to 2 s."""
    out = np.zeros(n)
    for start, length in _times(n, random, random.uniform(0.3, 8.0), (0.02, 2.0)):
        fall = np.exp(-np.linspace(0, random.uniform(2, 7), length))
        rise = np.minimum(np.arange(length) / (random.uniform(0.001, 0.2) * RATE), 1.0)
        burst = coloured(max(length, 64), random)[:length]
        out[start : start + length] += burst / max(float(burst.std()), 1e-9) * fall * rise
    return out


def whistling(n: int, random: np.random.Generator) -> Wave:
    """Wind in a gap, a kettle, a turbine, feedback: narrow noise with a wandering pitch."""
    knots = int(n / RATE * random.uniform(0.2, 2.0)) + 4
    wander = np.interp(np.arange(n), np.linspace(0, n, knots), random.normal(0, 0.4, knots))
    pitch = np.exp(random.uniform(np.log(200), np.log(4000))) * 2**wander
    jitter = np.cumsum(random.standard_normal(n)) * random.uniform(0.0, 0.15)
    tone = np.sin(2 * np.pi * np.cumsum(pitch) / RATE + jitter)
    hiss = coloured(n, random)
    hiss *= 10.0 ** random.uniform(-1.0, 0.3) / max(float(hiss.std()), 1e-9)
    hiss += tone * 2 ** (2 * wander)
    return hiss


EVENTS: tuple[Noise, ...] = (
    alarm, siren, horn, honking, chirps, insects, barks, knocks, bell, water, creaks, rubble,
    whistling,
)  # fmt: skip


def _harmonic(pitch: Wave, random: np.random.Generator, max_harmonics: int) -> Wave:
    """Return a harmonic tone with a pitch in Hz for each sample."""
    phase = 2 * np.pi * np.cumsum(pitch) / RATE
    count = int(random.integers(1, max_harmonics + 1))
    fall = random.uniform(0.5, 2.0)
    return _total(np.sin(k * phase) * (k * pitch < RATE / 2) / k**fall for k in range(1, count + 1))


def _times(
    n: int, random: np.random.Generator, rate: float, seconds: tuple[float, float]
) -> list[tuple[int, int]]:
    """Draw starts, `rate` per second, and lengths in samples that end within n."""
    starts = random.integers(0, max(n, 1), max(1, random.poisson(rate * n / RATE)))
    lengths = np.exp(random.uniform(np.log(seconds[0]), np.log(seconds[1]), len(starts))) * RATE
    return [
        (int(start), min(int(length), n - int(start)))
        for start, length in zip(starts, lengths, strict=True)
        if n - start > 64
    ]


def _total(waves: Iterable[Wave]) -> Wave:
    """Return the sum of waves."""
    total: Wave = np.sum(list(waves), axis=0)
    return total


def _band(samples: Wave, centre: float, width: float) -> Wave:
    """Band-pass filter; the band is `width` times its centre wide."""
    edges = (centre * (1 - width / 2), min(centre * (1 + width / 2), 0.49 * RATE))
    passed: Wave = signal.sosfilt(
        signal.butter(2, edges, "bandpass", fs=RATE, output="sos"), samples
    )
    return passed


def _smooth(gate: NDArray[np.float64] | NDArray[np.bool_], seconds: float) -> Wave:
    """Smooth the edges of a gate of zeros and ones, so that they do not click."""
    size = max(1, int(seconds * RATE))
    rounded: Wave = signal.oaconvolve(gate.astype(np.float64), np.full(size, 1 / size), "same")
    return rounded
