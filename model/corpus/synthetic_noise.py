"""Synthetic noise: studios, cables, weather and machines.

The corpus has about an hour of recorded noise; these add kinds that it lacks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy import signal

from model.spec import SAMPLE_RATE as RATE

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Noise = Callable[[int, np.random.Generator], NDArray[np.float64]]


def coloured(n: int, random: np.random.Generator) -> NDArray[np.float64]:
    """Steady noise with a spectral slope of -12 to 3 dB per octave."""
    spectrum = np.fft.rfft(random.standard_normal(n))
    frequency = np.maximum(np.fft.rfftfreq(n, 1 / RATE), 20.0)
    shaped: NDArray[np.float64] = np.fft.irfft(
        spectrum * frequency ** -random.uniform(-0.5, 2.0), n
    )
    return shaped


def gusts(n: int, random: np.random.Generator) -> NDArray[np.float64]:
    """Wind, waves, passing cars: noise with a level that wanders over seconds."""
    knots = int(n / RATE * random.uniform(0.3, 2.0)) + 4
    wander = np.interp(np.arange(n), np.linspace(0, n, knots), random.normal(0.0, 8.0, knots))
    return coloured(n, random) * 10.0 ** (wander / 20.0)


def patter(n: int, random: np.random.Generator) -> NDArray[np.float64]:
    """Rain, applause, crackle: 2 to 3000 short bursts per second."""
    rate = 10.0 ** random.uniform(0.3, 3.5)
    hits = (random.random(n) < rate / RATE) * random.exponential(1.0, n)
    length = int(10.0 ** random.uniform(-3.0, -1.2) * RATE)
    burst = random.standard_normal(length) * np.exp(-5.0 * np.arange(length) / length)
    bursts: NDArray[np.float64] = signal.oaconvolve(hits, burst)[:n]
    return bursts + 1e-3 * random.standard_normal(n)


def hum(n: int, random: np.random.Generator) -> NDArray[np.float64]:
    """Mains and ventilators: a few steady harmonics in noise."""
    base = float(random.choice([50.0, 60.0, 100.0, 120.0])) * random.uniform(0.98, 1.02)
    time = np.arange(n) / RATE
    tones = sum(
        random.exponential(1.0) / k**0.7 * np.sin(2 * np.pi * (base * k * time + random.random()))
        for k in range(1, int(random.integers(3, 30)))
    )
    sound: NDArray[np.float64] = tones + coloured(n, random) * 10.0 ** random.uniform(-2.0, 1.0)
    return sound


def engine(n: int, random: np.random.Generator) -> NDArray[np.float64]:
    """Motors and machines: pulses at a drifting rate, through a resonance."""
    knots = int(n / RATE) + 4
    rates = random.uniform(15, 90) * 2 ** random.normal(0, 0.3, knots)
    speed = np.interp(np.arange(n), np.linspace(0, n, knots), rates)
    phase = np.cumsum(speed) / RATE
    pulses = np.diff(np.floor(phase), prepend=0.0) * random.exponential(1.0, n)
    centre = random.uniform(80, 1500)
    ringing = signal.butter(2, (centre * 0.7, centre * 1.5), "bandpass", fs=RATE, output="sos")
    sound: NDArray[np.float64] = signal.sosfilt(ringing, pulses)
    sound /= max(float(sound.std()), 1e-9)
    rest = coloured(n, random)
    sound += rest / max(float(rest.std()), 1e-9) * 10.0 ** random.uniform(-1.5, 0.0)
    return sound


def static(n: int, random: np.random.Generator) -> NDArray[np.float64]:
    """Between stations: band noise, sometimes with a drifting whistle."""
    low = random.uniform(100, 1000)
    band = signal.butter(3, (low, low * random.uniform(2, 7)), "bandpass", fs=RATE, output="sos")
    sound: NDArray[np.float64] = signal.sosfilt(band, random.standard_normal(n))
    drift = random.uniform(300, 3000) * (1 + 0.02 * np.cumsum(random.standard_normal(n)) / n**0.5)
    whistle = np.sin(2 * np.pi * np.cumsum(drift) / RATE)
    sound /= max(float(sound.std()), 1e-9)
    sound += whistle * random.uniform(0.0, 0.5) * (random.random() < 0.4)
    return sound


NOISES: tuple[Noise, ...] = (coloured, gusts, patter, hum, engine, static)


def make_noise(
    n: int, seed: int, kinds: tuple[Noise, ...] = NOISES
) -> tuple[str, NDArray[np.float32]]:
    """Synthesise one noise.

    Parameters
    ----------
    n : int > 0
        Length in samples.
    seed : int >= 0
        The same seed gives the same noise; consecutive seeds cycle through the kinds.
    kinds : tuple of Noise
        Generators to choose from.

    Returns
    -------
    name : str
        Name of the kind.
    np.ndarray [shape=(n,), float32]
        Samples of RMS 0.1.
    """
    noise = kinds[seed % len(kinds)]
    made = noise(n, np.random.default_rng(seed))
    made = made - made.mean()
    return noise.__name__, (0.1 * made / max(float(made.std()), 1e-9)).astype(np.float32)
