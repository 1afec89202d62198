"""Samples decoded, cut exactly, faded and made as loud as wanted, and encoded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import numpy as np

from airsift.errors import ConfigError
from airsift.podcasts.cutting.packets import Piece, tags_of
from stream.decoding.reader import AudioReader
from stream.levels.gated_loudness import Loudness
from stream.levels.meter import Meter

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from av.audio.frame import AudioFrame
    from av.audio.stream import AudioStream
    from numpy.typing import NDArray

    Samples = NDArray[np.float32]

MAX_PEAK_DBTP = -1.0  # of what was made louder, as EBU R128 asks
_LAYOUTS = {1: "mono", 2: "stereo", 3: "2.1", 4: "quad", 5: "5.0", 6: "5.1", 7: "6.1", 8: "7.1"}
_RATES = {  # Hz that an encoder takes; the nearest one that is not below
    "libopus": (8_000, 12_000, 16_000, 24_000, 48_000),
    "libmp3lame": (8_000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000),
}


@dataclass(frozen=True, slots=True)
class Encoding:
    """How samples are written.

    Parameters
    ----------
    container, codec : str
        FFmpeg's names.
    bit_rate : int
        Of codecs with loss; 0 for their default.
    """

    container: str
    codec: str
    bit_rate: int = 0


@dataclass(frozen=True, slots=True)
class Treatment:
    """What is done to the samples of a piece.

    Parameters
    ----------
    fade_s : float >= 0
        Seconds of the fades at both ends of each stretch.
    loudness : float, optional
        Integrated loudness of the piece, LUFS.
    """

    fade_s: float = 0.0
    loudness: float | None = None


def encode_samples(
    source: Path,
    pieces: list[Piece],
    encoding: Encoding,
    treatment: Treatment,
    track: str | None,
    on_time: Callable[[float], object],
) -> list[str]:
    """Write stretches of a recording into files, exact to the sample; return what is to be told.

    Parameters
    ----------
    source : Path
        The recording.
    pieces : list of Piece
        In order of time, without overlap.
    encoding : Encoding
        How they are written.
    treatment : Treatment
        What is done to their samples.
    track : str, optional
        Number, language or title of the audio track; by default the container's default.
    on_time : callable
        Is called with the position of the reading, in seconds; it may raise.

    Raises
    ------
    AirsiftError
        The recording cannot be read.
    """
    gains, notes = [1.0] * len(pieces), list[str]()
    if treatment.loudness is not None:
        gains, notes = _gains(source, pieces, treatment, track, on_time)
    writer: _Encoder | None = None
    current = -1
    try:
        with_tags = _tags(source, track)
        for number, samples, rate in _cut(source, pieces, treatment.fade_s, track, on_time):
            if number != current:
                if writer is not None:
                    writer.close()
                writer = _Encoder(pieces[number].path, encoding, rate, samples.shape[1], with_tags)
                current = number
            assert writer is not None
            writer.write(samples if gains[number] == 1.0 else samples * np.float32(gains[number]))
    finally:
        if writer is not None:
            writer.close()
    return notes


def _cut(
    source: Path,
    pieces: list[Piece],
    fade_s: float,
    track: str | None,
    on_time: Callable[[float], object],
) -> Iterator[tuple[int, Samples, int]]:
    """Yield (number of the piece, samples of shape [n, channels], rate), in order of time.

    Audio that is missing in the recording is silence, so that every piece is as long as stated.
    """
    reader = AudioReader(source, track=track, keep_channels=True)
    try:
        rate = reader.rate
        spans = [
            (number, round(start * rate), round(end * rate))
            for number, piece in enumerate(pieces)
            for start, end in piece.spans
        ]
        at, done = 0, 0  # the span, and how much of it was given
        shape = 0
        for first, samples, _ in reader:
            block = samples if samples.ndim > 1 else samples[:, None]
            shape = shape or block.shape[1]
            if block.shape[1] != shape:
                raise ConfigError(
                    f"{source}: changes from {shape} to {block.shape[1]} channels, which one file "
                    "cannot have; cut it there first"
                )
            on_time(first / rate)
            last = first + len(block)
            while at < len(spans) and spans[at][1] + done < last:
                number, start, end = spans[at]
                begin, until = start + done, min(end, last)
                part = block[max(begin - first, 0) : until - first]
                if begin < first:
                    silence = np.zeros((min(first, until) - begin, shape), np.float32)
                    part = np.concatenate([silence, part if until > first else part[:0]])
                yield number, _faded(part, done, end - start, round(fade_s * rate)), rate
                done = until - start
                if until < end:
                    break
                at, done = at + 1, 0
            if at == len(spans):
                return
    finally:
        reader.close()


def _faded(samples: Samples, offset: int, length: int, fade: int) -> Samples:
    """Return samples from `offset` on of a stretch that is faded in and out."""
    fade = min(fade, length // 2)
    if not fade or (offset >= fade and offset + len(samples) <= length - fade):
        return samples
    place = np.arange(offset, offset + len(samples)) + 0.5
    gain = np.minimum(np.minimum(place, length - place) / fade, 1)
    faded: Samples = (samples * gain[:, None]).astype(np.float32)
    return faded


def _gains(
    source: Path,
    pieces: list[Piece],
    treatment: Treatment,
    track: str | None,
    on_time: Callable[[float], object],
) -> tuple[list[float], list[str]]:
    """Return the gain of each piece, and what is to be told of those that stay too quiet."""
    assert treatment.loudness is not None
    measured: dict[int, tuple[Loudness, float]] = {}
    meter: Meter | None = None
    current = -1

    def measure() -> None:
        assert meter is not None
        loudness, peak = measured.get(current, (Loudness(), 0.0))
        second = meter.measure(peak)
        loudness.push(second.weighted)
        measured[current] = loudness, second.peak

    for number, samples, rate in _cut(source, pieces, treatment.fade_s, track, on_time):
        if number != current:
            if meter is not None:
                measure()
            meter, current = Meter(samples.shape[1], rate, 0), number
        assert meter is not None
        left = samples
        while len(left):
            left = left[meter.take(left) :]
            if meter.is_full:
                measure()
    if meter is not None:
        measure()
    gains, notes = [], []
    ceiling = 10 ** (MAX_PEAK_DBTP / 20)
    for number, piece in enumerate(pieces):
        loudness, peak = measured.get(number, (Loudness(), 0.0))
        integrated = loudness.integrated
        if integrated is None:
            gains.append(1.0)
            notes.append(
                f"{piece.path.name}: is silent or shorter than 0.4 s, so it has no loudness and "
                "stays as it is"
            )
            continue
        gain = 10 ** ((treatment.loudness - integrated) / 20)
        if gain > 1 and gain * peak > ceiling:
            gain = max(ceiling / peak, 1.0)
            reached = integrated + 20 * np.log10(gain)
            notes.append(
                f"{piece.path.name}: has {reached:.1f} LUFS, because its peaks would be over "
                f"{MAX_PEAK_DBTP:g} dBTP at {treatment.loudness:g}"
            )
        gains.append(float(gain))
    return gains, notes


def _tags(source: Path, track: str | None) -> dict[str, str]:
    import av

    from stream.decoding.tracks import choose_track

    with av.open(str(source)) as given:
        return tags_of(given, choose_track(given, str(source), track))


class _Encoder:
    """One file that is encoded."""

    def __init__(
        self, path: Path, encoding: Encoding, rate: int, channels: int, tags: dict[str, str]
    ) -> None:
        import av

        self._layout = _LAYOUTS[channels]
        self._rate = rate
        known = _RATES.get(encoding.codec, (rate,))
        out_rate = min((each for each in known if each >= rate), default=known[-1])
        self._made = av.open(str(path), "w", format=encoding.container)
        self._made.metadata.update(tags)
        self._stream = cast(
            "AudioStream",
            self._made.add_stream(encoding.codec, rate=out_rate, layout=self._layout),
        )
        if encoding.bit_rate:
            self._stream.bit_rate = encoding.bit_rate
        context = self._stream.codec_context
        self._resampler = av.AudioResampler(context.format, self._layout, out_rate)
        self._at = 0

    def write(self, samples: Samples) -> None:
        import av

        for first in range(0, len(samples), self._rate):
            part = np.ascontiguousarray(samples[first : first + self._rate])
            frame = av.AudioFrame.from_ndarray(part.reshape(1, -1), "flt", self._layout)
            frame.sample_rate, frame.pts = self._rate, self._at
            self._at += len(part)
            self._encode(frame)

    def close(self) -> None:
        self._encode(None)
        self._made.mux(self._stream.encode(None))
        self._made.close()

    def _encode(self, frame: AudioFrame | None) -> None:
        for each in self._resampler.resample(frame):
            self._made.mux(self._stream.encode(each))
