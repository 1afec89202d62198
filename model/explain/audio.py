"""Audio of an explanation: a window of a file, and small files of sounds."""

from __future__ import annotations

from typing import TYPE_CHECKING

import av
import numpy as np

from airsift.errors import SourceError
from airsift.files import replacing
from model.corpus.decoding import decode
from model.spec import SAMPLE_RATE

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from model.explain.subject import Subject

    Floats = NDArray[np.float32]

_OPUS_BITS = 32_000  # a second: what a reconstruction sounds like is not lost


def window_of(audio: Path, start: float, subject: Subject) -> Floats:
    """Return a window of a file, of the length of a network's input.

    Raises
    ------
    SourceError, DecodeError
        The file cannot be read, or ends before the window does.
    """
    try:
        data = audio.read_bytes()
    except OSError as error:
        raise SourceError(
            f"{audio} cannot be read: {error.strerror or error}; check the path"
        ) from error
    samples = decode(data, audio.name, seconds=start + subject.seconds + 1.0)
    first = round(start * SAMPLE_RATE)
    found = samples[first : first + subject.samples]
    if len(found) < subject.samples:
        raise SourceError(
            f"{audio} has {len(found) / SAMPLE_RATE:.2f} s from {start:g} s on, and a window of "
            f"this network is {subject.seconds:g} s: name a longer file, or an earlier --start"
        )
    return found.astype(np.float32) / np.float32(32768)


def write_opus(samples: Floats, path: Path) -> None:
    """Write mono samples at `SAMPLE_RATE` as Ogg Opus: 20 kB for 5 s, and browsers play it."""
    whole = np.rint(np.clip(samples, -1, 1) * 32767).astype(np.int16)
    with (
        replacing(path) as partial,
        av.open(str(partial), "w", format="ogg") as container,
    ):
        stream = container.add_stream("libopus", rate=SAMPLE_RATE, layout="mono")
        stream.bit_rate = _OPUS_BITS
        frame = av.AudioFrame.from_ndarray(whole[None], format="s16", layout="mono")
        frame.sample_rate = SAMPLE_RATE
        fifo = av.AudioFifo()
        fifo.write(frame)
        while (part := fifo.read(stream.codec_context.frame_size or 320, partial=True)) is not None:
            container.mux(stream.encode(part))
        container.mux(stream.encode(None))
