"""Augmentations: rooms, telephones, codecs, overload; the same for every class.

An augmentation is a function of samples and a random generator. Speech in the corpus is mostly
narrow-band and coded, music mostly wide-band and clean: without augmentation the network would
learn this difference.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import av
import numpy as np
from scipy import signal

from model.corpus.synthetic_noise import coloured
from model.spec import SAMPLE_RATE as RATE

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Augmentation = Callable[["Samples", np.random.Generator], "Samples"]
    Samples = NDArray[np.float32]

MULAW = 255.0
# Container, sample format and the options of the fastest encoding.
CODECS = {
    "mp3": ("mp3", "s16p", {"compression_level": "9"}),
    "libopus": ("ogg", "s16", {"compression_level": "0"}),
    "g726": ("wav", "s16", {}),
}


def room(samples: Samples, random: np.random.Generator, direct_db: float | None = None) -> Samples:
    """Add a room: decaying noise of 0.15 to 1.2 s, 12 to -6 dB direct to reverberant."""
    seconds = random.uniform(0.15, 1.2)
    n = int(seconds * RATE)
    tail = random.standard_normal(n) * 10.0 ** (-3.0 * np.arange(n) / n)
    # Rooms swallow treble.
    pole = random.uniform(0.0, 0.7)
    tail = signal.lfilter([1.0 - pole], [1.0, -pole], tail)
    tail[: int(random.uniform(0.001, 0.02) * RATE)] = 0.0
    wet_db = random.uniform(-12.0, 6.0) if direct_db is None else -direct_db
    tail *= 10.0 ** (wet_db / 20.0) / max(float(np.sqrt(np.sum(tail**2))), 1e-9)
    tail[0] = 1.0
    wet = signal.oaconvolve(samples, tail)[: len(samples)]
    return _at_level_of(samples, wet)


def far(samples: Samples, random: np.random.Generator) -> Samples:
    """Add distance: 0 to -15 dB direct to reverberant, and noise 5 to 30 dB below."""
    wet = room(samples, random, random.uniform(-15.0, 0.0))
    noise = np.asarray(coloured(len(samples), random), np.float32)
    under = 10.0 ** (random.uniform(-30.0, -5.0) / 20.0)
    return _at_level_of(samples, wet + noise * (under * _level(samples) / _level(noise)))


def telephone(samples: Samples, random: np.random.Generator) -> Samples:
    """Narrow to 300-3400 Hz at 8 kHz and code as mu-law (G.711)."""
    del random
    narrow = signal.sosfilt(
        signal.butter(4, (300, 3400), "bandpass", fs=RATE, output="sos"), samples
    )
    slow = signal.resample_poly(narrow, 1, 2)
    peak = max(float(np.abs(slow).max()), 1e-9)
    folded = np.sign(slow) * np.log1p(MULAW * np.abs(slow) / peak) / np.log1p(MULAW)
    steps = np.rint(folded * 127.0) / 127.0
    coded = np.sign(steps) * np.expm1(np.abs(steps) * np.log1p(MULAW)) / MULAW * peak
    return _at_level_of(samples, signal.resample_poly(coded, 2, 1)[: len(samples)])


def overload(samples: Samples, random: np.random.Generator) -> Samples:
    """Clip between 2 and 12 dB above the level."""
    limit = _level(samples) * 10.0 ** (random.uniform(2.0, 12.0) / 20.0)
    return _at_level_of(samples, np.clip(samples, -limit, limit))


def low_pass(samples: Samples, random: np.random.Generator) -> Samples:
    """Cut treble above 1.8 to 6 kHz, as AM and old tapes do."""
    edge = float(np.exp(random.uniform(np.log(1800), np.log(6000))))
    wanted = signal.butter(int(random.integers(2, 7)), edge, "lowpass", fs=RATE, output="sos")
    return _at_level_of(samples, signal.sosfilt(wanted, samples))


def mp3(samples: Samples, random: np.random.Generator) -> Samples:
    """Code as MP3 at 16 to 64 kb/s."""
    return coded(samples, "mp3", int(random.choice([16, 24, 32, 48, 64])) * 1000)


def opus(samples: Samples, random: np.random.Generator) -> Samples:
    """Code as Opus at 8 to 32 kb/s."""
    return coded(samples, "libopus", int(random.choice([8, 12, 16, 24, 32])) * 1000)


def g726(samples: Samples, random: np.random.Generator) -> Samples:
    """Code with a G.726, a speech codec, at 32 kb/s and 8 kHz."""
    del random
    return coded(samples, "g726", 32_000, rate=8000)


def clean(samples: Samples, random: np.random.Generator) -> Samples:
    """Return the samples unchanged."""
    del random
    return samples


PROBABILITIES: dict[Augmentation, float] = {
    clean: 0.28, room: 0.16, far: 0.16, telephone: 0.08, overload: 0.05, low_pass: 0.07,
    mp3: 0.06, opus: 0.09, g726: 0.05,
}  # fmt: skip


def random_augmentation(samples: Samples, random: np.random.Generator) -> Samples:
    """Apply one augmentation drawn by `PROBABILITIES`, in 10 % of the cases after a room."""
    if random.random() < 0.1:
        samples = room(samples, random)
    names = list(PROBABILITIES)
    chosen = names[int(random.choice(len(names), p=list(PROBABILITIES.values())))]
    return chosen(samples, random)


def coded(samples: Samples, codec: str, bits: int, *, rate: int = RATE) -> Samples:
    """Encode and decode with one of FFmpeg's codecs.

    Parameters
    ----------
    samples : np.ndarray [shape=(n,), float32]
        Mono at 16 kHz.
    codec : str
        FFmpeg's name of an encoder.
    bits : int > 0
        Bits per second.
    rate : int
        Sample rate inside the codec.

    Returns
    -------
    np.ndarray [shape=(n,), float32]
        Of the input's length, and aligned with it: FFmpeg removes the delay of the codec.
    """
    peak = max(float(np.abs(samples).max()), 1e-9)
    scaled = np.rint(samples * (29_000.0 / peak)).astype(np.int16)[None]
    frame = av.AudioFrame.from_ndarray(scaled, format="s16", layout="mono")
    frame.sample_rate = RATE
    container, sample_format, fastest = CODECS[codec]
    rate = 48_000 if codec == "libopus" else rate
    buffer = io.BytesIO()
    with av.open(buffer, "w", format=container) as out:
        stream = out.add_stream(codec, rate=rate, options=fastest)
        assert isinstance(stream, av.AudioStream)
        stream.layout, stream.bit_rate = "mono", bits
        resampler = av.AudioResampler(format=sample_format, layout="mono", rate=rate)
        for piece in [*resampler.resample(frame), *resampler.resample(None), None]:
            out.mux(stream.encode(piece))
    buffer.seek(0)
    parts = []
    with av.open(buffer, "r") as back:
        resampler = av.AudioResampler(format="s16", layout="mono", rate=RATE)
        for decoded in back.decode(audio=0):
            parts += [part.to_ndarray()[0] for part in resampler.resample(decoded)]
        parts += [part.to_ndarray()[0] for part in resampler.resample(None)]
    decoded_samples = np.concatenate(parts).astype(np.float32) * (peak / 29_000.0)
    fitted = np.zeros_like(samples)
    fitted[: len(decoded_samples)] = decoded_samples[: len(samples)]
    return fitted


def _level(samples: Samples) -> float:
    return max(float(np.sqrt(np.mean(np.square(samples)))), 1e-9)


def _at_level_of(reference: Samples, changed: NDArray[np.float64]) -> Samples:
    narrowed = changed.astype(np.float32)
    return (narrowed * (_level(reference) / _level(narrowed))).astype(np.float32)
