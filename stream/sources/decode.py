"""The audio in a file, URL or file object, as mono float32 blocks counted in samples.

PyAV carries FFmpeg's demuxers and decoders. Damage does not end a reading: packets that do
not decode are left out by jumping over their samples, and each damage adds one line to
`problems`, so that all sound audio is heard and nobody takes a broken file for a whole one.
"""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

import av.error

from airsift.errors import DecodeError
from stream.sources.downmix import Downmix
from stream.sources.open import first_audio, open_container, reason_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import numpy as np
    from av.audio.frame import AudioFrame
    from av.audio.stream import AudioStream
    from av.container import InputContainer
    from av.packet import Packet
    from numpy.typing import NDArray

MAX_CHANNELS = 64  # FFmpeg's mixing matrix holds no more
MIN_RATE, MAX_RATE = 1_000, 768_000  # samples per second; beyond lies nothing but damage
MAX_FRAME = 1 << 24  # samples of one decoded frame, all channels: 64 MB of float32
MAX_BAD_PACKETS = 2_000  # in a row; about a minute of most codecs
MAX_PROBLEMS = 20  # lines of its own for each damage; the rest is counted
SHORT_S = 0.25  # encoders round what they state of the length by less

# Containers that state their length; for the others FFmpeg estimates it from the bit rate.
_STATES_LENGTH = {"flac", "matroska,webm", "mov,mp4,m4a,3gp,3g2,mj2", "wav"}


class Block(NamedTuple):
    """Consecutive mono samples.

    `start` is the index of the first one at the reader's rate; it jumps over packets that did
    not decode. `samples` has shape (n,) and may hold values that are not finite.
    """

    start: int
    samples: NDArray[np.float32]


class AudioReader:
    """The first audio stream of a file, URL or file object, opened and known to decode.

    Iterate once for :class:`Block` after block; memory does not grow with the length.

    Parameters
    ----------
    source : path, URL or binary file object
        What to read. Only a string with ``://`` in it is a URL; any other is a local path.
    name : str, optional
        What messages call it; the path or URL unless told.
    block_s : float > 0
        Seconds in a block.
    options : dict, optional
        FFmpeg's options for the demuxer and the protocol.
    timeout_s : float, optional
        Seconds that opening may take, and seconds that one read may.

    Attributes
    ----------
    rate : int
        Samples per second of all blocks: that of the first decoded frame.
    channels : int
        Channels of the first decoded frame; blocks are their mean.
    duration_s : float or None
        What the container says, for progress bars; an estimate in some formats.
    problems : list of str
        One line for each damage met so far, with the file's name and the position.
    error : str or None
        Why the audio ended too early, known at its end; None if it is whole.

    Raises
    ------
    SourceError
        There is nothing to open, or it cannot be reached.
    DecodeError
        It holds no audio, or none that decodes.
    """

    def __init__(
        self,
        source: str | Path | BinaryIO,
        *,
        name: str | None = None,
        block_s: float = 1.0,
        options: dict[str, str] | None = None,
        timeout_s: float | None = None,
    ) -> None:
        self.name = name or str(getattr(source, "name", source))
        self.problems: list[str] = []
        self.error: str | None = None
        self._damage = _Damage()
        self._unsaid = 0
        self._container = open_container(source, self.name, options or {}, timeout_s)
        try:
            self._stream = first_audio(self._container, self.name)
            self._frames = self._decode()
            first = next(self._frames, None)
            if first is None:
                raise DecodeError(
                    f"{self.name}: none of its {self._stream.codec_context.name} audio decodes "
                    f"({self.error or self._damage.reason}); check the file, or convert it to FLAC"
                )
        except BaseException:
            self._container.close()
            raise
        if self._damage.seconds < 1.0:
            self._damage = _Damage()  # a recorded broadcast begins in the middle of a packet
        self._first = first
        self.rate = first.sample_rate
        self.channels = first.layout.nb_channels
        self.duration_s = _duration_s(self._container, self._stream)
        self._downmix = Downmix(self.rate, max(1, round(block_s * self.rate)))
        self._end = 0  # index of the sample after the last block

    def __iter__(self) -> Iterator[Block]:
        for frame in chain([self._first], self._frames):
            if self._damage.packets:
                yield from self._number(self._downmix.flush())
                self._skip()
            yield from self._number(self._downmix.push(frame))
        yield from self._number(self._downmix.flush())
        self._judge_end()

    def close(self) -> None:
        """Close the file or connection. Not while another thread is iterating."""
        self._container.close()

    def _decode(self) -> Iterator[AudioFrame]:
        for packet in self._packets():
            try:
                frames = packet.decode() if packet else self._stream.decode(None)
            except av.error.FFmpegError as error:
                self._damage.add(_length_s(packet), reason_of(error))
                continue
            for frame in frames:
                if fault := _fault(frame):
                    self._damage.add(frame.samples / max(frame.sample_rate, 1), fault)
                else:
                    yield frame
            if packet and packet.is_corrupt:
                self._damage.add(0.0, "a packet is cut short", cut=True)

    def _packets(self) -> Iterator[Packet[AudioStream] | None]:
        try:
            for packet in self._container.demux(self._stream):
                if packet.size:  # to a decoder, an empty packet is the end
                    yield packet
                if self._damage.packets > MAX_BAD_PACKETS:
                    self.error = f"{self._damage.packets} packets in a row: {self._damage.reason}"
                    return
        except av.error.FFmpegError as error:
            self.error = reason_of(error)
        yield None  # for what the decoder holds back

    def _number(self, blocks: list[NDArray[np.float32]]) -> Iterator[Block]:
        for samples in blocks:
            yield Block(self._end, samples)
            self._end += len(samples)

    def _skip(self) -> None:
        """Jump over what did not decode, and say so."""
        damage, self._damage = self._damage, _Damage()
        at_s = self._end / self.rate
        self._end += round(damage.seconds * self.rate)
        self._report(
            f"{damage.seconds:.2f} s of audio at {at_s:.2f} s do not decode ({damage.reason}) "
            "and are left out; get a sound copy of the file"
        )

    def _judge_end(self) -> None:
        end_s = self._end / self.rate
        if self.error is None and self._stated_s() - end_s > SHORT_S:
            self.error = f"its header promises {self._stated_s():.2f} s"
        if self.error is None and (self._damage.cut or self._damage.seconds > SHORT_S):
            self.error = self._damage.reason
        if self._unsaid:
            self.problems.append(f"{self.name}: has {self._unsaid} more damaged places")
        if self.error is not None:
            self.problems.append(
                f"{self.name}: ends early at {end_s:.2f} s ({self.error}); all before that is "
                "used, get a whole copy of the file for the rest"
            )

    def _stated_s(self) -> float:
        """Seconds the file should have, where that is stated; 0 where it is not."""
        stream, kind = self._stream, self._container.format.name
        # Of MP3, only a file with LAME's header has a start time, and that header is exact.
        stated = kind in _STATES_LENGTH or (kind == "mp3" and bool(stream.start_time))
        # Without a duration of its own, a stream may be shorter than the film around it.
        own = stream.duration is not None or len(self._container.streams) == 1
        return (self.duration_s or 0.0) if stated and own else 0.0

    def _report(self, problem: str) -> None:
        if len(self.problems) < MAX_PROBLEMS:
            self.problems.append(f"{self.name}: {problem}")
        else:
            self._unsaid += 1


class _Damage:
    """What has not decoded since the last frame that did."""

    def __init__(self) -> None:
        self.packets = 0
        self.seconds = 0.0
        self.reason = "no packet in it"
        self.cut = False

    def add(self, seconds: float, reason: str, *, cut: bool = False) -> None:
        self.packets += 1
        self.seconds += seconds
        self.reason = reason
        self.cut = self.cut or cut


def _fault(frame: AudioFrame) -> str | None:
    """Return why a decoded frame cannot be meant, None for a sound one."""
    channels, rate = frame.layout.nb_channels, frame.sample_rate
    if not 1 <= channels <= MAX_CHANNELS:
        return f"{channels} channels, 1 to {MAX_CHANNELS} can be read"
    if not MIN_RATE <= rate <= MAX_RATE:
        return f"{rate} samples per second, {MIN_RATE} to {MAX_RATE} can be read"
    if frame.samples * channels > MAX_FRAME:
        return f"{frame.samples} samples in one frame, {MAX_FRAME // channels} can be read"
    return None


def _length_s(packet: Packet[AudioStream] | None) -> float:
    if packet is None or not packet.duration or not packet.time_base:
        return 0.0
    return float(packet.duration * packet.time_base)


def _duration_s(container: InputContainer, stream: AudioStream) -> float | None:
    if stream.duration is not None and stream.time_base:
        return float(stream.duration * stream.time_base)
    if container.duration is not None:
        return container.duration / 1e6
    return None
