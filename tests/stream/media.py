"""Audio files for tests, made on the spot."""

from __future__ import annotations

import io
from fractions import Fraction
from typing import TYPE_CHECKING, BinaryIO

import av
import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from stream.decoding.reader import AudioReader


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


def mux(
    target: Path | BinaryIO,
    samples: NDArray[np.float32],
    rate: int,
    codec: str,
    *,
    start: int = 0,
    cuts: Sequence[tuple[int, int]] = (),
    video_s: float = 0.0,
    format: str | None = None,  # noqa: A002 PyAV's word
    options: dict[str, str] | None = None,
    stamp: Callable[[int], int] = lambda sample: sample,
) -> None:
    """Write a mono signal with the time stamps it is meant to have.

    The signal's first sample is due at sample `start`, and the film's first picture, if it has
    `video_s` seconds of them, at 0. Packets that have samples in one of `cuts` are left out;
    `stamp` maps the first sample of each of the others to the stamp that is written.
    """
    file = target if hasattr(target, "write") else str(target)
    with av.open(file, "w", format=format, options=options or {}) as container:
        video = container.add_stream("mpeg4", rate=25, width=64, height=64) if video_s else None
        stream = container.add_stream(codec, rate=rate, layout="mono")
        for i in range(round(video_s * 25)):
            picture = av.VideoFrame(64, 64, "yuv420p")
            picture.pts = i
            container.mux(video.encode(picture))
        if video is not None:
            container.mux(video.encode(None))
        step = stream.codec_context.frame_size or 1024
        for at in range(0, len(samples) + step, step):
            frame = None
            if at < len(samples):
                piece = np.ascontiguousarray(samples[None, at : at + step])
                frame = av.AudioFrame.from_ndarray(piece, format="flt", layout="mono")
                frame.sample_rate, frame.pts, frame.time_base = rate, at, Fraction(1, rate)
            for packet in stream.encode(frame):
                first, end = packet.pts, packet.pts + (packet.duration or step)
                if any(first < cut_end and cut < end for cut, cut_end in cuts):
                    continue
                packet.pts = packet.dts = stamp(first + start)
                container.mux(packet)


def runs(reader: AudioReader) -> list[tuple[int, NDArray[np.float32]]]:
    """Return the stretches of audio without a gap: where each begins, and its samples."""
    out: list[tuple[int, list[NDArray[np.float32]]]] = []
    end = -1
    for start, samples, _ in reader:
        if start != end:
            out.append((start, []))
        out[-1][1].append(samples)
        end = start + len(samples)
    return [(start, np.concatenate(parts)) for start, parts in out]


def lag(run: NDArray[np.float32], signal: NDArray[np.float32], at: int, most: int = 2_000) -> int:
    """Return by how many samples the middle of `run`, placed at `at`, is later than `signal`."""
    n = min(4_096, len(run) // 2)
    middle = (len(run) - n) // 2
    low = max(at + middle - most, 0)
    near = signal[low : at + middle + n + most]
    score = np.correlate(near, run[middle : middle + n], "valid")
    return at + middle - low - int(np.argmax(score))


def ogg_of(codec: str, layout: str, n: int) -> bytes:
    """Return `n` samples of a tone as an Ogg file."""
    buffer = io.BytesIO()
    options = {"strict": "experimental"}
    with av.open(buffer, "w", format="ogg") as out:
        stream = out.add_stream(codec, rate=48_000, layout=layout, options=options)
        kind = stream.codec_context.codec.audio_formats[0].name
        frame = av.AudioFrame(format=kind, layout=layout, samples=n)
        for i, plane in enumerate(frame.planes):
            dtype = np.int16 if kind.startswith("s16") else np.float32
            size = plane.buffer_size // np.dtype(dtype).itemsize
            plane.update((np.sin(np.arange(size) / 9 + i) * 0.3).astype(dtype).tobytes())
        frame.sample_rate, frame.pts = 48_000, 0
        out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return buffer.getvalue()
