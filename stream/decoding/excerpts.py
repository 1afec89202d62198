"""A few pieces of a long file, spread over it, without decoding what lies between them.

::

    duration   ├───────────────────────────────────────────────────────┤
    pieces          ├──┤           ├──┤           ├──┤           ├──┤
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import av.error
import numpy as np

from airsift.errors import DecodeError
from stream.decoding.container import open_container, reason_of
from stream.decoding.damage import fault_of, split_sound
from stream.decoding.downmix import Downmix
from stream.decoding.tracks import choose_track

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from av.audio.frame import AudioFrame
    from av.audio.stream import AudioStream
    from av.container import InputContainer
    from numpy.typing import NDArray

# Packets after a jump that may fail: MP3 and AAC refer to packets before them.
_AFTER_JUMP = 3
_MAX_BAD_PACKETS = 100  # in one piece


class Excerpt(NamedTuple):
    """A piece of a file.

    Parameters
    ----------
    start_s : float >= 0
        Where it begins, as requested; formats without an index jump there approximately.
    samples : np.ndarray [shape=(n,), float32]
        Mono; shorter than requested where the file ends or is damaged, and perhaps empty.
    rate : int > 0
        Samples per second.
    """

    start_s: float
    samples: NDArray[np.float32]
    rate: int


def spread(duration_s: float, count: int, piece_s: float) -> list[float]:
    """Return where `count` pieces begin: in the middle of equal parts of the duration."""
    part_s = duration_s / count
    return [max((index + 0.5) * part_s - piece_s / 2, 0.0) for index in range(count)]


def read_excerpts(
    path: Path, starts_s: list[float], piece_s: float, problems: list[str]
) -> list[Excerpt]:
    """Read pieces of the default audio track of a file.

    Parameters
    ----------
    path : Path
        A file in which FFmpeg can jump.
    starts_s : list of float
        Where they begin, in seconds.
    piece_s : float > 0
        Length of each.
    problems : list of str
        Takes one line for each piece that is not complete.

    Raises
    ------
    SourceError
        The file does not exist or may not be read.
    DecodeError
        No piece has any audio.
    """
    name = str(path)
    excerpts = []
    with open_container(path, name, {}, None) as container:
        stream = choose_track(container, name)
        for start_s in starts_s:
            samples, rate, fault = _read(container, stream, start_s, piece_s)
            missing_s = piece_s - len(samples) / rate
            if fault or missing_s > 0.1:
                problems.append(
                    f"{name}: {max(missing_s, 0):.2f} s of audio after {start_s:.0f} s are left "
                    f"out ({fault or 'the file ends early'}); get a sound copy of the file"
                )
            excerpts.append(Excerpt(start_s, samples, rate))
    if not any(len(excerpt.samples) for excerpt in excerpts):
        raise DecodeError(
            f"{name}: none of {len(starts_s)} pieces of {piece_s:g} s decodes; check the file, or "
            "convert it"
        )
    return excerpts


def _read(
    container: InputContainer, stream: AudioStream, start_s: float, piece_s: float
) -> tuple[NDArray[np.float32], int, str]:
    """Return a piece, its rate, and what is wrong with it."""
    blocks: list[NDArray[np.float32]] = []
    rate, fault = stream.rate or 16_000, ""
    downmix: Downmix | None = None
    needed = 0
    try:
        _jump(container, stream, start_s)
        for item in _frames(container, stream):
            if isinstance(item, str):
                fault = item
                continue
            if _end_s(item, stream) <= start_s:
                continue
            if downmix is None:
                rate = item.sample_rate
                needed = round(piece_s * rate)
                downmix = Downmix(rate, rate, lambda _: None)
            blocks += downmix.push(item)
            if sum(map(len, blocks)) >= needed:
                break
    except av.error.FFmpegError as error:
        fault = reason_of(error)
    if downmix is not None:
        blocks += downmix.flush()
    whole = np.concatenate(blocks)[:needed] if blocks else np.zeros(0, np.float32)
    sound = [samples for samples, bad in split_sound(whole, rate) if not bad]
    return np.concatenate(sound) if sound else whole[:0], rate, fault


def _jump(container: InputContainer, stream: AudioStream, start_s: float) -> None:
    tick = stream.time_base
    if tick is None:
        container.seek(round(start_s * av.time_base))
    else:
        container.seek(round(start_s / tick) + (stream.start_time or 0), stream=stream)


def _end_s(frame: AudioFrame, stream: AudioStream) -> float:
    """Return where a frame ends, in seconds from the beginning; infinite if it does not say."""
    if frame.pts is None or frame.time_base is None:
        return np.inf
    begin_s = (stream.start_time or 0) * float(stream.time_base or 0)
    return float(frame.pts * frame.time_base) - begin_s + frame.samples / frame.sample_rate


def _frames(container: InputContainer, stream: AudioStream) -> Iterator[AudioFrame | str]:
    """Yield frames after a jump, and a line for each packet that does not decode."""
    bad = 0
    for number, packet in enumerate(container.demux(stream)):
        try:
            frames = packet.decode()
        except av.error.FFmpegError as error:
            if number >= _AFTER_JUMP:
                bad += 1
                yield f"undecodable: {reason_of(error)}"
            if bad > _MAX_BAD_PACKETS:
                return
            continue
        for frame in frames:
            yield fault_of(frame) or frame
