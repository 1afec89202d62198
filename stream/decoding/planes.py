"""The samples of a decoded frame, channel by channel.

PyAV's `to_ndarray` is not called: on planar frames of eight channels (7.1), version 18 reads past
the list of planes. The list itself has one entry too many there, and is not read where there are
more channels, see `is_readable`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from av.audio.frame import AudioFrame
    from numpy.typing import NDArray

_DTYPES = {"flt": "f4", "dbl": "f8", "s16": "i2", "s32": "i4", "s64": "i8", "u8": "u1"}
_SCALES = {"u8": 2.0**-7, "s16": 2.0**-15, "s32": 2.0**-31, "s64": 2.0**-63}
_MAX_PLANES = 8


def is_readable(frame: AudioFrame) -> bool:
    """Return whether `planes_of` can read a frame; else convert it to a packed format."""
    return not frame.format.is_planar or frame.layout.nb_channels <= _MAX_PLANES


def planes_of(frame: AudioFrame) -> NDArray[np.float32]:
    """Return a copy of the samples, full scale +-1.

    Parameters
    ----------
    frame : AudioFrame
        Of any sample format.

    Returns
    -------
    np.ndarray [shape=(channels, n), float32]
        Each channel in one piece.
    """
    kind, channels, n = frame.format.name.removesuffix("p"), frame.layout.nb_channels, frame.samples
    dtype = np.dtype(_DTYPES[kind])
    out = np.empty((channels, n), np.float32)
    with np.errstate(over="ignore", invalid="ignore"):  # the caller refuses it
        if frame.format.is_planar:
            for samples, plane in zip(out, frame.planes, strict=False):
                samples[:] = np.frombuffer(memoryview(plane), dtype, n)
        else:
            packed = np.frombuffer(memoryview(frame.planes[0]), dtype, n * channels)
            out[:] = packed.reshape(n, channels).T
    if kind in _SCALES:
        out *= np.float32(_SCALES[kind])
    if kind == "u8":
        out -= 1
    return out
