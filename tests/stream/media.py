"""Audio files for tests, made on the spot."""

from __future__ import annotations

from typing import TYPE_CHECKING, BinaryIO

import av
import numpy as np

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray


def tone(
    seconds: float, rate: int, *, hz: float = 440.0, level: float = 0.5
) -> NDArray[np.float32]:
    n = round(seconds * rate)
    return (level * np.sin(2 * np.pi * hz * np.arange(n) / rate)).astype(np.float32)


def noise(seconds: float, rate: int, *, channels: int = 1, seed: int = 0) -> NDArray[np.float32]:
    """Return white noise of shape [channels, n]."""
    shape = (channels, round(seconds * rate))
    return np.random.default_rng(seed).uniform(-0.5, 0.5, shape).astype(np.float32)


def encode(
    target: Path | BinaryIO,
    samples: NDArray[np.float32],
    rate: int,
    codec: str,
    *,
    layout: str | None = None,
    format: str | None = None,  # noqa: A002 PyAV's word
    options: dict[str, str] | None = None,
) -> None:
    """Write samples of shape [n] or [channels, n] with a codec of FFmpeg."""
    samples = np.atleast_2d(samples)
    layout = layout or {1: "mono", 2: "stereo", 6: "5.1", 8: "7.1"}[len(samples)]
    file = target if hasattr(target, "write") else str(target)
    with av.open(file, "w", format=format, options=options or {}) as container:
        stream = container.add_stream(codec, rate=rate, layout=layout)
        for start in range(0, samples.shape[1], rate):
            packed = np.ascontiguousarray(samples[:, start : start + rate].T).reshape(1, -1)
            frame = av.AudioFrame.from_ndarray(packed, format="flt", layout=layout)
            frame.sample_rate, frame.pts = rate, start
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
