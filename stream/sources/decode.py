"""The audio in a file, URL or file object, as mono float32 blocks counted in samples.

PyAV carries FFmpeg's demuxers and decoders. Damage does not end a reading: packets that do
not decode are left out by jumping over their samples, and each damage adds one line to
`problems`, so that all sound audio is heard and nobody takes a broken file for a whole one.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from fractions import Fraction
from itertools import chain
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

import av.error

from airsift.errors import DecodeError
from stream.sources.damage import Damage, fault_of, is_last_cut, length_of, split_sound
from stream.sources.downmix import Downmix
from stream.sources.open import open_container, reason_of, stated_wav_s
from stream.sources.tracks import choose_track, describe, list_tracks

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import numpy as np
    from av.audio.frame import AudioFrame
    from av.audio.stream import AudioStream
    from av.container import InputContainer
    from av.packet import Packet
    from numpy.typing import NDArray

log = logging.getLogger(__name__)

MAX_BAD_PACKETS = 2_000  # in a row; about a minute of most codecs
MAX_PROBLEMS = 20  # lines of its own for each damage; the rest is counted
SHORT_S = 0.25  # encoders round what they state of the length by less

# Containers that state their length; for the others FFmpeg estimates it from the bit rate.
_STATES_LENGTH = {"aiff", "flac", "matroska,webm", "mov,mp4,m4a,3gp,3g2,mj2"}


class Block(NamedTuple):
    """Consecutive mono samples.

    Parameters
    ----------
    start : int >= 0
        Index of the first sample at the reader's rate. It jumps over lost audio.
    samples : np.ndarray [shape=(n,), float32]
        Finite, full scale is +-1.
    lost : str, optional
        Why audio before `start` is lost, where some is.
    """

    start: int
    samples: NDArray[np.float32]
    lost: str | None = None


class AudioReader:
    """One audio track of a file, URL or file object, opened and known to decode.

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
    track : str, optional
        Number, language or title of the audio track; the default one unless given.

    Attributes
    ----------
    rate : int
        Samples per second of all blocks: that of the first decoded frame.
    channels : int
        Channels of the first decoded frame; blocks are their mean.
    duration_s : float or None
        What the container says, for progress bars; an estimate in some formats.
    finite : bool
        Whether the end is known beforehand; that of a live stream is not.
    heard_at : float
        `time.monotonic` when the latest packet came.
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
        track: str | None = None,
    ) -> None:
        self.name = name or str(getattr(source, "name", source))
        self.problems: list[str] = []
        self.error: str | None = None
        self.heard_at = time.monotonic()
        self._undecoded = Damage()  # after the last decoded frame
        self._left_out = Damage()  # after the last block
        self._unsaid = 0
        self._sizes: deque[int] = deque(maxlen=8)  # bytes of the latest packets
        self._source = source
        self._container = open_container(source, self.name, options or {}, timeout_s)
        try:
            self._stream = choose_track(self._container, self.name, track)
            self._frames = self._decode()
            first = next(self._frames, None)
            if first is None:
                codec, reason = self._stream.codec_context.name, self._undecoded.reason
                raise DecodeError(
                    f"{self.name}: no packet of its {codec} audio decodes "
                    f"({self.error or reason}); check the file, or convert it{self._others()}"
                )
            self._tell_track()
        except BaseException:
            self._container.close()
            raise
        if self._undecoded.seconds < 1:
            self._undecoded = Damage()  # a recorded broadcast begins in the middle of a packet
        self._first = first
        self.rate = first.sample_rate
        self.channels = first.layout.nb_channels
        self.duration_s = _duration_s(self._container, self._stream)
        hls = self._container.format.name == "hls"
        self.finite = self.duration_s is not None if hls else self._container.size > 0
        block = max(1, round(block_s * self.rate))
        self._downmix = Downmix(self.rate, block, self._note)
        self._end = 0  # index of the sample after the last block

    def __iter__(self) -> Iterator[Block]:
        for frame in chain([self._first], self._frames):
            if self._undecoded:
                yield from self._number(self._downmix.flush())
                self._left_out.add(self._undecoded.seconds, self._undecoded.reason)
                self._undecoded = Damage()
            yield from self._number(self._downmix.push(frame))
        yield from self._number(self._downmix.flush())
        self._judge_end()

    def _tell_track(self) -> None:
        """Log which track is read, where there are several."""
        tracks = self._container.streams.audio
        if len(tracks) > 1:
            number = tracks.index(self._stream) + 1
            log.warning(
                "%s: audio track %d of %d is read (%s)%s",
                self.name, number, len(tracks), describe(self._stream), self._others(),
            )  # fmt: skip

    def _others(self) -> str:
        tracks = self._container.streams.audio
        return f"; --track chooses from {list_tracks(tracks)}" if len(tracks) > 1 else ""

    def _note(self, line: str) -> None:
        """Log what is wrong with the channels; the audio is whole all the same."""
        log.warning("%s: %s", self.name, line)

    def close(self) -> None:
        """Close the file or connection. Not while another thread is iterating."""
        self._container.close()

    def _packets(self) -> Iterator[Packet[AudioStream] | None]:
        try:
            for packet in self._container.demux(self._stream):
                self.heard_at = time.monotonic()
                if packet.size:  # to a decoder, an empty packet is the end
                    self._sizes.append(packet.size)
                    yield packet
                if self._undecoded.count > MAX_BAD_PACKETS:
                    self.error = f"{MAX_BAD_PACKETS} packets on end: {self._undecoded.reason}"
                    return
        except av.error.FFmpegError as error:
            self.error = reason_of(error)
        yield None  # for what the decoder holds back

    def _decode(self) -> Iterator[AudioFrame]:
        for packet in self._packets():
            try:
                frames = packet.decode() if packet else self._stream.decode(None)
            except av.error.FFmpegError as error:
                self._undecoded.add(length_of(packet), f"undecodable: {reason_of(error)}")
                continue
            for frame in frames:
                if fault := fault_of(frame):
                    self._undecoded.add(length_of(frame), fault)
                else:
                    yield frame

    def _number(self, blocks: list[NDArray[np.float32]]) -> Iterator[Block]:
        """Give blocks their place, and leave out what is not sound."""
        for block in blocks:
            for samples, fault in split_sound(block, self.rate):
                if fault:
                    self._left_out.add(Fraction(len(samples), self.rate), fault)
                    continue
                lost = self._skip() if self._left_out else None
                yield Block(self._end, samples, lost)
                self._end += len(samples)

    def _skip(self) -> str:
        """Jump over what is left out, say so, and return why."""
        damage, self._left_out = self._left_out, Damage()
        self._report(
            f"{float(damage.seconds):.4f} s of audio at {self._end / self.rate:.3f} s are left out "
            f"({damage.reason}); get a sound copy of the file"
        )
        self._end += round(damage.seconds * self.rate)
        return damage.reason

    def _judge_end(self) -> None:
        if self._left_out:
            self._skip()
        end_s = self._end / self.rate
        if self.error is None and self._stated_s() - end_s > SHORT_S:
            self.error = f"its header promises {self._stated_s():.2f} s"
        if self.error is None and self._undecoded.seconds > SHORT_S:
            self.error = self._undecoded.reason
        if self.error is None and self._container.format.name == "mp3" and is_last_cut(self._sizes):
            self.error = "its last packet is cut short"
        if self._unsaid:
            self.problems.append(f"{self.name}: {self._unsaid} more places are left out")
        if self.error is not None:
            self.problems.append(
                f"{self.name}: ends early at {end_s:.2f} s ({self.error}); all before that is "
                "used, get a whole copy of the file for the rest"
            )

    def _stated_s(self) -> float:
        """Seconds the file should have, where that is stated; 0 where it is not."""
        container, stream = self._container, self._stream
        kind, duration_s = container.format.name, self.duration_s or 0.0
        if kind == "wav":  # FFmpeg corrects the header by the size of the file
            return stated_wav_s(self._source)
        if kind == "mp3":  # a guess fits the size; LAME's count of frames may not
            needed = duration_s * (stream.codec_context.bit_rate or 0) / 8
            return duration_s if needed > 1.01 * container.size > 0 else 0.0
        # Without a duration of its own, a stream may be shorter than the film around it.
        own = stream.duration is not None or len(container.streams) == 1
        return duration_s if own and kind in _STATES_LENGTH else 0.0

    def _report(self, problem: str) -> None:
        if len(self.problems) < MAX_PROBLEMS:
            self.problems.append(f"{self.name}: {problem}")
        else:
            self._unsaid += 1


def _duration_s(container: InputContainer, stream: AudioStream) -> float | None:
    if stream.duration is not None and stream.time_base:
        return float(stream.duration * stream.time_base)
    if container.duration is not None:
        return container.duration / 1e6
    return None
