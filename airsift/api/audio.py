"""Arrays of samples as recordings: any usual kind of number, mono or of several channels."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, SupportsIndex, TypeAlias, Union

import numpy as np

from airsift.errors import DecodeError
from stream.audio import AudioChunk
from stream.decoding.damage import MAX_CHANNELS, MAX_RATE, MIN_RATE
from stream.sources.base import Source
from stream.sources.settings import FileSettings

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from airsift.config import Config
    from stream.sources.base import Recording

# What `airsift.segment` takes: a path, or an address, or samples.
Audio: TypeAlias = Union[str, "os.PathLike[str]", "ArrayLike"]

# A float mix is a few decibels over full scale. Integers that were made floats without a division
# are further over it: 30 dB, in all that is louder than a whisper.
MAX_LEVEL = 32.0
_SCALES = {
    "int16": (2.0**-15, 0.0),
    "int32": (2.0**-31, 0.0),
    "int8": (2.0**-7, 0.0),
    "uint8": (2.0**-7, -1.0),  # as in WAV files, where 128 is silence
}


def open_recording(
    audio: Audio,
    rate: SupportsIndex | float | None,
    config: Config,
    *,
    name: str | None = None,
    track: str | None = None,
    channels_first: bool | None = None,
) -> Recording:
    """Open what a caller of the Python interface calls audio; see `airsift.segment`.

    Raises
    ------
    AirsiftError
        It cannot be opened, or is no audio.
    """
    checked_name(name)
    if isinstance(audio, str | os.PathLike):
        from airsift.inputs import open_input
        from stream.runner import Stop

        path = os.fspath(audio)
        if not isinstance(path, str):
            raise DecodeError(f"{path!r} is a path in bytes: give a str or a pathlib.Path")
        for what, value in (("rate", rate), ("channels_first", channels_first)):
            if value is not None:
                raise DecodeError(
                    f"{what}={value!r} is given for {path}: a file says that itself; leave it out"
                )
        return open_input(path, config, Stop(), track)
    if track is not None:
        raise DecodeError(f"track={track!r} is given for an array, which has none; leave it out")
    samples = samples_of(audio)
    if rate is None:
        raise DecodeError(
            "rate is missing: an array does not say its samples per second; give rate=16000, for "
            "example"
        )
    return ArrayRecording(
        in_rows(samples, channels_first), rate_of(rate), name or "array", config.file
    )


def checked_name(name: object) -> None:
    """Refuse a name that is no text."""
    if name is not None and not isinstance(name, str):
        raise DecodeError(f"name={name!r} must be a text: give str(name), for example")


class ArrayRecording(Source):
    """Samples in memory, converted piece by piece.

    Parameters
    ----------
    samples : np.ndarray [shape=(n,) or (n, channels)]
        From `in_rows`.
    rate : int > 0
        Samples per second.
    name : str
        The station.
    settings : FileSettings
        Length of a piece.
    """

    def __init__(self, samples: NDArray[Any], rate: int, name: str, settings: FileSettings) -> None:
        self.station = name
        self.rate = rate
        self.duration_s: float | None = len(samples) / rate
        self.decoded_s = 0.0
        self.warnings: Sequence[str] = ()
        self._samples = samples
        self._piece = max(round(settings.chunk_s * rate), 1)

    def __iter__(self) -> Iterator[list[AudioChunk]]:
        for start in range(0, len(self._samples), self._piece):
            piece = converted(self._samples[start : start + self._piece], start)
            self.decoded_s += len(piece) / self.rate
            yield [AudioChunk(self.station, start, piece, self.rate)]


def rate_of(rate: SupportsIndex | float) -> int:
    """Return samples per second as an integer.

    Raises
    ------
    DecodeError
        It is no whole number, or out of range.
    """
    wrong = DecodeError(
        f"rate={rate!r} must be a whole number of samples per second from {MIN_RATE} to {MAX_RATE}"
    )
    if isinstance(rate, bool | np.bool_ | str | bytes):
        raise wrong
    try:
        whole = int(rate)
        is_whole = whole == rate
    except (TypeError, ValueError, OverflowError):
        raise wrong from None
    if not is_whole or not MIN_RATE <= whole <= MAX_RATE:
        raise wrong
    return whole


def samples_of(audio: object) -> NDArray[Any]:
    """Return samples as an array of numpy: those of lists, of torch and of others, without a copy.

    Raises
    ------
    DecodeError
        It is no array of numbers whose full scale is known.
    """
    kind = type(audio).__name__
    if audio is None or isinstance(audio, bytes | bytearray | memoryview | dict | set):
        raise DecodeError(
            f"a {kind} is no audio: give a path, or an array of samples"
            + (", as of numpy.frombuffer" if isinstance(audio, bytes | bytearray) else "")
        )
    if hasattr(audio, "__next__") or (
        not hasattr(audio, "__array__") and not hasattr(audio, "__len__")
    ):
        raise DecodeError(
            f"a {kind} is no array: give all samples at once, or chunk after chunk to "
            "airsift.Stream(rate).events(chunks)"
            + ("; of a file, its path" if hasattr(audio, "read") else "")
        )
    for step in ("detach", "cpu"):  # of torch: away from gradients and GPUs
        if hasattr(audio, step):
            audio = getattr(audio, step)()
    try:
        samples = np.asarray(audio)
    except (TypeError, ValueError, RuntimeError) as error:
        raise DecodeError(
            f"a {kind} of {getattr(audio, 'dtype', 'unequal lengths')} is no array of numbers "
            f"({error}): give float32 or int16"
        ) from None
    name = samples.dtype.name
    if name not in _SCALES and samples.dtype.kind != "f":
        wrong = "do not say what full scale is" if samples.dtype.kind in "iu" else "are no samples"
        raise DecodeError(
            f"samples of {name} {wrong}: give float32 or float64 with full scale 1.0, or int16, "
            "int32, int8 or uint8, as with samples.astype('int16')"
        )
    return samples


def in_rows(samples: NDArray[Any], channels_first: bool | None) -> NDArray[Any]:
    """Return samples of shape (n,) or (n, channels), as a view.

    Parameters
    ----------
    samples : np.ndarray [shape=(n,), (n, channels) or (channels, n)]
        From `samples_of`.
    channels_first : bool, optional
        Whether they are (channels, n); by default, the longer axis is time.

    Raises
    ------
    DecodeError
        They have another shape.
    """
    if samples.ndim == 1:
        return samples
    rule = f"give (n,), (n, channels) or (channels, n), with 1 to {MAX_CHANNELS} channels"
    if samples.ndim != 2:
        raise DecodeError(f"samples have the shape {samples.shape}: {rule}")
    if channels_first is None:
        channels_first = samples.shape[0] < samples.shape[1]
    rows = samples.T if channels_first else samples
    if not 1 <= rows.shape[1] <= MAX_CHANNELS:
        raise DecodeError(
            f"samples of the shape {samples.shape} have {rows.shape[1]} channels: {rule}"
            + ("" if channels_first else "; channels_first=True says which axis they are")
        )
    return rows


def converted(samples: NDArray[Any], start: int = 0) -> NDArray[np.float32]:
    """Return a copy of samples as float32 with full scale 1.0, as files are decoded to.

    Parameters
    ----------
    samples : np.ndarray [shape=(n,) or (n, channels)]
        From `in_rows`.
    start : int >= 0
        Index of the first of them, for the message.

    Raises
    ------
    DecodeError
        A value is not finite, or is so far over full scale that it must be an integer.
    """
    scale = _SCALES.get(samples.dtype.name)
    with np.errstate(over="ignore", invalid="ignore"):
        found: NDArray[np.float32] = samples.astype(np.float32)
    if scale is not None:
        factor, offset = scale
        found *= np.float32(factor)
        if offset:
            found += np.float32(offset)
        return found
    if len(found) and not (found.max() <= MAX_LEVEL and found.min() >= -MAX_LEVEL):  # or NaN
        bad = ~(np.abs(found) <= MAX_LEVEL)
        first = int(np.argmax(bad if bad.ndim == 1 else bad.any(axis=1)))
        value = samples[first] if bad.ndim == 1 else samples[first][bad[first]][0]
        rule, way_out = (
            (f"over full scale, which is 1.0, by more than {20 * np.log10(MAX_LEVEL):.0f} dB",
             "divide integers by their full scale, as by 32768 for 16 bit")
            if np.isfinite(value)
            else ("not finite", "replace such values, as with numpy.nan_to_num(samples)")
        )  # fmt: skip
        raise DecodeError(f"sample {start + first} is {value}: it is {rule}; {way_out}")
    return found
