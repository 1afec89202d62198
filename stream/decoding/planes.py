"""The samples of decoded frames, channel by channel.

PyAV's `to_ndarray` is not called: on planar frames of eight channels (7.1), version 18 reads past
the list of planes. The list itself has one entry too many there, and is not read where there are
more channels, see `is_readable`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from av.audio.frame import AudioFrame
    from numpy.typing import NDArray

_DTYPES = {"flt": "f4", "dbl": "f8", "s16": "i2", "s32": "i4", "s64": "i8", "u8": "u1"}
_SCALES = {"u8": 2.0**-7, "s16": 2.0**-15, "s32": 2.0**-31, "s64": 2.0**-63}
_MAX_PLANES = 8


def is_readable(frame: AudioFrame) -> bool:
    """Return whether `planes_of` can read a frame; else convert it to a packed format."""
    return not frame.format.is_planar or frame.layout.nb_channels <= _MAX_PLANES


def planes_of(frames: Sequence[AudioFrame]) -> NDArray[np.float32]:
    """Return a copy of the samples of consecutive frames, full scale +-1.

    Parameters
    ----------
    frames : sequence of AudioFrame
        At least one; all of one sample format and number of channels.

    Returns
    -------
    np.ndarray [shape=(channels, n), float32]
        Each channel in one piece.
    """
    first = frames[0]
    kind, channels = first.format.name.removesuffix("p"), first.layout.nb_channels
    dtype = np.dtype(_DTYPES[kind])
    lengths = [frame.samples for frame in frames]
    out = np.empty((channels, sum(lengths)), np.float32)
    with np.errstate(over="ignore", invalid="ignore"):  # the caller refuses it
        if first.format.is_planar:
            planes = [frame.planes for frame in frames]
            for channel, samples in enumerate(out):
                parts = [
                    np.frombuffer(memoryview(of_frame[channel]), dtype, n)
                    for of_frame, n in zip(planes, lengths, strict=True)
                ]
                np.concatenate(parts, out=samples, casting="unsafe")
        else:
            at = 0
            for frame, n in zip(frames, lengths, strict=True):
                packed = np.frombuffer(memoryview(frame.planes[0]), dtype, n * channels)
                out[:, at : at + n] = packed.reshape(n, channels).T
                at += n
    if kind in _SCALES:
        out *= np.float32(_SCALES[kind])
    if kind == "u8":
        out -= 1
    return out
