"""Audio of which each second can be told, and the clips that are made of it."""

from __future__ import annotations

import wave
from pathlib import Path

import numpy as np

from stream.audio import AudioChunk

RATE = 16_000


def audio(start: int, length: float = 1.0, station: str = "a") -> AudioChunk:
    """Return audio of which each second has a value of its own."""
    at = start * RATE + np.arange(round(length * RATE))
    return AudioChunk(station, start * RATE, (at // RATE / 100).astype(np.float32), RATE)


def seconds(path: Path) -> list[int]:
    """Return the seconds of which a clip is made."""
    with wave.open(str(path)) as file:
        assert (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (RATE, 1, 2)
        samples = np.frombuffer(file.readframes(file.getnframes()), "<i2")
    return [round(float(value) / 327.67) for value in samples[RATE // 2 :: RATE]]
